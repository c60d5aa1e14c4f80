"""The client on a real broker and a real registry: delivery at exit, through a fork, and over an outage of the broker."""

import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from trueloop import Client
from trueloop.adapters.kafka import read_events
from trueloop.adapters.kafka_admin import ensure_topics
from trueloop.adapters.registry import connect
from trueloop.adapters.subscriber import Subscriber
from trueloop.config import KafkaSettings, RegistrySettings, Settings
from trueloop.embedded.runtime import EmbeddedRuntime
from trueloop.events import Trace
from trueloop.topics import TRACES, physical

PROMPT = [{"role": "user", "content": "how much"}]


def wait_for(condition: Callable[[], bool], what: str, deadline_s: float = 30.0) -> None:
    ends = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < ends, f"not within {deadline_s:g} s: {what}"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    runtime = EmbeddedRuntime(tmp_path_factory.mktemp("client"))
    runtime.start()
    try:
        runtime.wait_ready()
        kafka = KafkaSettings(bootstrap_servers=runtime.endpoints.kafka)
        ensure_topics(kafka, physical())
        yield Settings(kafka=kafka, registry=RegistrySettings(url=runtime.endpoints.registry))
    finally:
        runtime.stop()


def traces(settings: Settings, application: str) -> list[Trace]:
    found = read_events(settings.kafka, connect(settings.registry), TRACES)
    return [event for event in found if isinstance(event, Trace) and event.application == application]


def script(settings: Settings, text: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "TRUELOOP_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "TRUELOOP_REGISTRY__URL": settings.registry.url,
        "PATH": str(Path(sys.executable).parent),
    }
    return subprocess.run([sys.executable, "-c", text], env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_what_was_given_arrives(settings: Settings) -> None:
    with Client("arrives", "training", settings=settings) as client:
        ids = [client.trace(PROMPT, f"answer {number}", "m1") for number in range(2000)]
        assert client.flush(30) == 0
    assert client.stats.delivered == 2000
    assert {trace.trace_id for trace in traces(settings, "arrives")} == set(ids)


def test_a_script_that_ends_at_once_loses_nothing(settings: Settings) -> None:
    done = script(settings, "import trueloop; trueloop.Client('exits').trace([{'role': 'user', 'content': 'q'}], 'a', 'm1')")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(traces(settings, "exits")) == 1


def test_parent_and_forked_child_both_deliver_and_both_exit(settings: Settings) -> None:
    text = """
import os, sys, trueloop
client = trueloop.Client('forks')
say = lambda who: client.trace([{'role': 'user', 'content': 'q'}], who, 'm1')
say('before')
client.flush(20)
child = os.fork()
say('child' if child == 0 else 'parent')
if child:
    sys.exit(os.waitpid(child, 0)[1])
"""
    done = script(settings, text)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(trace.completion for trace in traces(settings, "forks")) == ["before", "child", "parent"]


def test_what_is_just_too_large_for_the_broker_is_counted_and_the_rest_arrives(settings: Settings) -> None:
    with Client("large", settings=settings) as client:
        client.trace(PROMPT, "é" * 1_047_000, "m1")  # two bytes each: fits as characters, does not as a record
        client.trace(PROMPT, "x" * 2_000_000, "m1")
        assert client.flush(30) == 0
    assert (client.stats.delivered, client.stats.dropped) == (1, {"too_large": 1})
    assert [len(trace.completion) for trace in traces(settings, "large")] == [2_000_000]


def test_without_a_broker_calls_return_at_once_and_a_warning_counts(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    away = settings.model_copy(update={"kafka": KafkaSettings(bootstrap_servers="127.0.0.1:1")})
    client = Client("away", settings=away, max_events=100, exit_timeout_s=0.0)
    started = time.perf_counter()
    for _ in range(1000):
        client.trace(PROMPT, "a", "m1")
    assert time.perf_counter() - started < 2.0
    wait_for(lambda: "no broker answers at '127.0.0.1:1'" in caplog.text, "a warning that names the broker")
    stats = client.stats
    assert stats.delivered == 0
    assert stats.pending + stats.dropped["buffer_full"] == 1000
    client.close()


def test_a_group_reads_on_where_it_committed(settings: Settings) -> None:
    codec = connect(settings.registry)

    def read(group: str | None, commit: bool, count: int = 2) -> set[str]:
        seen: set[str] = set()
        with Subscriber(settings.kafka, codec, [TRACES], group=group) as subscriber:
            wait_for(lambda: len(seen.union(wanted(subscriber, seen))) >= count, "the traces")
            if commit:
                subscriber.commit()
        return seen

    def wanted(subscriber: Subscriber, seen: set[str]) -> set[str]:
        seen.update(event.trace_id for event in subscriber.poll(0.2) if isinstance(event, Trace) and event.application == "group")
        return seen

    with Client("group", settings=settings) as client:
        first = {client.trace(PROMPT, "a", "m1"), client.trace(PROMPT, "b", "m1")}
    assert read("readers", commit=False) == first
    assert read("readers", commit=True) == first  # what was not committed comes again
    with Client("group", settings=settings) as client:
        second = {client.trace(PROMPT, "c", "m1"), client.trace(PROMPT, "d", "m1")}
    assert read("readers", commit=True) == second
    assert read(None, commit=False, count=4) == first | second
