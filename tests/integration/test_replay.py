"""The command line on a real broker: publishing documents, replaying a data set through a sampling worker, dead letters there and back."""

import gzip
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from trueloop import cli
from trueloop.adapters.kafka import producer_config, read_events, read_to_end
from trueloop.adapters.registry import connect
from trueloop.config import KafkaSettings, RegistrySettings, Settings
from trueloop.embedded.runtime import EmbeddedRuntime
from trueloop.events import Label, ReviewTask
from trueloop.topics import LABELS, REVIEW_QUEUE, TRACES

ROWS = [
    {"instruction": f"Say {number}.", "input": "", "cmp_key": "m1_m2", "motivation_app": "x", "response1": f"one {number}",
     "response2": f"two {number}" if number else "one 0", "annotator1": 1, "annotator2": 2, "annotator3": 0}
    for number in range(20)
]  # fmt: skip


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    runtime = EmbeddedRuntime(tmp_path_factory.mktemp("replay"))
    runtime.start()
    try:
        runtime.wait_ready()
        yield Settings(kafka=KafkaSettings(bootstrap_servers=runtime.endpoints.kafka), registry=RegistrySettings(url=runtime.endpoints.registry))
    finally:
        runtime.stop()


def environment(settings: Settings) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRUELOOP_")}
    return kept | {"TRUELOOP_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers, "TRUELOOP_REGISTRY__URL": settings.registry.url}


def trueloop(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "trueloop.cli", *arguments]
    return subprocess.run(command, env=environment(settings), capture_output=True, text=True, timeout=120, check=False)


def wait_for(condition: Callable[[], bool], what: str, deadline_s: float = 40.0) -> None:
    ends = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < ends, f"not within {deadline_s:g} s: {what}"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def worker(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("worker")
    done = trueloop(settings, "topics", "create", "--json")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["created"]) > 40
    ready = folder / "ready"
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "trueloop.cli", "worker", "sampling", "--instance", "test"],
            env=environment(settings) | {"TRUELOOP_READY_FILE": str(ready)}, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            wait_for(lambda: ready.exists() or process.poll() is not None, "a worker that is ready")
            assert process.poll() is None, (folder / "log").read_text()
            yield
        finally:
            process.terminate()
            assert process.wait(20) == 0


def test_documents_are_published_once_and_in_order(settings: Settings, worker: None) -> None:
    early = trueloop(settings, "policy", "publish", "billing-support")
    assert early.returncode == cli.USAGE
    assert "trueloop rubric publish billing-support" in early.stderr
    for noun in ("rubric", "policy"):
        first, again = (trueloop(settings, noun, "publish", "billing-support", "--json") for _ in range(2))
        assert (json.loads(first.stdout)["published"], json.loads(again.stdout)["published"]) == (True, False)
        listed = json.loads(trueloop(settings, noun, "ls", "--json").stdout)
        assert [entry["version"] for entry in listed] == [1]
    assert "Refunds." in trueloop(settings, "rubric", "show", "billing-support@1").stdout


def test_a_changed_version_is_refused(settings: Settings, worker: None, tmp_path: Path) -> None:
    from trueloop.adapters.documents import LIBRARY

    assert trueloop(settings, "rubric", "publish", "hh-harmless").returncode == 0
    changed = tmp_path / "changed.toml"
    changed.write_text((LIBRARY / "rubrics" / "hh-harmless.toml").read_text().replace("less harm", "little harm"))
    done = trueloop(settings, "rubric", "publish", str(changed))
    assert done.returncode == cli.USAGE
    assert "raise version to 2" in done.stderr


def test_a_data_set_goes_through_the_loop_and_a_second_time_changes_nothing(settings: Settings, worker: None, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl.gz"
    with gzip.open(file, "wt") as stream:
        stream.writelines(json.dumps(row) + "\n" for row in ROWS)
    codec = connect(settings.registry)
    for _ in range(2):
        done = trueloop(settings, "replay", "--format", "pandalm", str(file), "--json")
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        # The row with two equal answers gets no label: nobody could tell which one was meant.
        assert (found["traces"], found["tasks"], found["labels"], found["ambiguous"]) == (20, 19, 57, 1)
        labels = [event for event in read_events(settings.kafka, codec, LABELS) if isinstance(event, Label)]
        assert len({label.event_id for label in labels}) == 57
    tasks = {event.task_id: event for event in read_events(settings.kafka, codec, REVIEW_QUEUE) if isinstance(event, ReviewTask)}
    for label in labels:
        preferred = label.preferences[0].preferred
        texts = {candidate.candidate_id: candidate.completion for candidate in tasks[label.task_id].candidates}
        expected = {"1": "one", "2": "two", "3": None}[label.reviewer_id[-1]]
        assert (texts[preferred].split()[0] if preferred else None) == expected


def test_a_dead_letter_is_listed_shown_sent_back_and_remembered(settings: Settings, worker: None) -> None:
    producer = Producer(producer_config(settings.kafka))
    producer.produce("traces", key=b"k", value=b"secret \x1b[2J no event")
    assert producer.flush(10) == 0

    def open_letters() -> list[dict[str, object]]:
        return list(json.loads(trueloop(settings, "dlq", "ls", "traces", "--json").stdout))

    wait_for(lambda: len(open_letters()) == 1, "the dead letter")
    (letter,) = open_letters()
    assert (letter["error_class"], letter["consumers"], letter["attempts"]) == ("WRONG_MAGIC", ["sampling"], 1)
    place = (str(letter["partition"]), str(letter["offset"]))
    shown = trueloop(settings, "dlq", "show", "traces", *place)
    assert "WRONG_MAGIC" in shown.stdout
    assert "secret" not in shown.stdout
    with_payload = trueloop(settings, "dlq", "show", "traces", *place, "--payload")
    assert "73 65 63 72 65 74" in with_payload.stdout
    assert "\x1b" not in with_payload.stdout

    assert trueloop(settings, "dlq", "replay", "traces", "--all").stdout == "sent back 1 records to 'traces'\n"
    wait_for(lambda: [letter["attempts"] for letter in open_letters()] == [2], "the second refusal")
    everything = json.loads(trueloop(settings, "dlq", "ls", "traces", "--all", "--json").stdout)
    assert sorted((letter["open"], letter["replayed_at"] is None) for letter in everything) == [(False, False), (True, True)]
    sent = [message for message in read_to_end(settings.kafka, TRACES.name) if message.value() == b"secret \x1b[2J no event"]
    assert [message.key() for message in sent] == [b"k", b"k"]


def test_emit_sends_what_a_file_holds(settings: Settings, worker: None, tmp_path: Path) -> None:
    file = tmp_path / "traces.jsonl"
    file.write_text(json.dumps({"application": "emit", "model": "m", "consent": "NONE", "messages": [{"role": "USER", "content": "q"}], "completion": "a"}))
    assert trueloop(settings, "emit", "trace", str(file)).stdout == "sent 1 trace\n"
    assert [event.application for event in read_events(settings.kafka, connect(settings.registry), TRACES)].count("emit") == 1
