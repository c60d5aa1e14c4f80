"""The stream engine on a real broker and a real registry: counts, poison pills, kill -9, retries, governance, and joins over unequal topics."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aiokafka.partitioner import DefaultPartitioner
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from trueloop.streams.shell import group_of, needed_topics

from tests.factories import START, example
from tests.integration.stream_processors import PROCESSORS, Seen
from trueloop import topics
from trueloop.adapters.dead_letters import DeadLetter, parse
from trueloop.adapters.faust_batch.partition_states import MARK_KEY
from trueloop.adapters.kafka import Publisher, client_config, producer_config, read_events, read_to_end
from trueloop.adapters.kafka_admin import ensure_topics
from trueloop.adapters.registry import connect
from trueloop.codec import Codec
from trueloop.config import KafkaSettings, RegistrySettings
from trueloop.embedded.runtime import EmbeddedRuntime
from trueloop.events import Appeal, Label, Release, ReviewTask, Trace
from trueloop.events.identity import derive_id
from trueloop.rubrics import Policy, Rubric
from trueloop.rubrics.publication import policy_event, rubric_event
from trueloop.topics import PhysicalTopic, Topic

ROOT = Path(__file__).parents[2]
DEADLINE_S = 25.0
DOCUMENT = {"id": "test", "version": 1}
DIMENSION = {"name": "tone", "description": "Kind.", "scale": {"min": 0, "max": 1}}
SECTIONS = {"sampling": {"rate": 1.0}, "gate": {"dimensions": [{"dimension": "tone", "evaluator": "check:test"}]}}
SECRET = "words of a user that belong in no log"


def wait_for(condition: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"not within {deadline_s:g} s: {what}"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRuntime]:
    runtime = EmbeddedRuntime(tmp_path_factory.mktemp("streams"))
    runtime.start()
    try:
        runtime.wait_ready()
        yield runtime
    finally:
        runtime.stop()


class Stage:
    """One processor with topics of its own, and the worker processes that run it."""

    def __init__(self, runtime: EmbeddedRuntime, name: str, tmp_path: Path) -> None:
        self.processor = PROCESSORS[name]
        self.prefix = f"{tmp_path.name}-"
        self.kafka = KafkaSettings(bootstrap_servers=runtime.endpoints.kafka, topic_prefix=self.prefix)
        self.codec: Codec = connect(RegistrySettings(url=runtime.endpoints.registry))
        self._env = os.environ | {"TRUELOOP_STATE_DIR": str(runtime.layout.state_dir), "TRUELOOP_KAFKA__TOPIC_PREFIX": self.prefix}
        self._tmp_path = tmp_path
        self._workers: list[subprocess.Popen[bytes]] = []
        self.producer = Producer(producer_config(self.kafka))
        self._consumer = Consumer(client_config(self.kafka) | {"group.id": self.prefix + group_of(self.processor)})
        extra = [topics.APPEALS, topics.DRIFT_OBSERVATIONS, topics.RUBRICS, topics.POLICIES, topics.REVIEW_QUOTAS, topics.SLICE_DISAGREEMENTS]
        known = {t.name: t for t in needed_topics(self.processor)}
        ensure_topics(self.kafka, [*known.values(), *(PhysicalTopic(t.name, t.partitions, -1, t.cleanup_policy, t.max_message_bytes) for t in extra)])

    def start(self, instance: str | None = "one") -> subprocess.Popen[bytes]:
        ready = self._tmp_path / f"ready-{len(self._workers)}"
        command = [sys.executable, "-m", "tests.integration.stream_processors", self.processor.name, *([instance] if instance else [])]
        with self.log.open("ab") as log:
            worker = subprocess.Popen(command, cwd=ROOT, env=self._env | {"TRUELOOP_READY_FILE": str(ready)}, stderr=log)
        self._workers.append(worker)
        wait_for(lambda: ready.exists() or worker.poll() is not None, f"{self.processor.name} is ready")
        assert worker.poll() is None, self.log.read_text()
        return worker

    @property
    def log(self) -> Path:
        return self._tmp_path / "worker.log"

    def send(self, topic: Topic, value: bytes | None, key: bytes = b"key", partition: int = -1) -> None:
        self.producer.produce(self.prefix + topic.name, value, key, partition)

    def states(self) -> dict[str, Seen]:
        """The newest state per partition and key, as a worker would recover it."""
        name = f"{group_of(self.processor)}-state-changelog"
        newest = {(m.partition(), m.key()): m.value() for m in read_to_end(self.kafka, name) if m.key() != MARK_KEY}
        assert len({key for _, key in newest}) == len(newest), "a key has state in two partitions"
        return {key.decode(): Seen.model_validate_json(value) for (_, key), value in newest.items() if value is not None}

    def dead_letters(self, topic: Topic) -> list[DeadLetter]:
        return [parse(m.key(), m.value(), m.headers()) for m in read_to_end(self.kafka, topic.dead_letters)]

    def committed(self, topic: Topic) -> bool:
        """Whether the group has committed everything that the topic holds."""
        name, partitions = self.prefix + topic.name, range(topic.partitions)
        ends = [self._consumer.get_watermark_offsets(TopicPartition(name, number), timeout=5)[1] for number in partitions]
        found = self._consumer.committed([TopicPartition(name, number) for number in partitions], timeout=5)
        import os

        if os.environ.get("DBG"):
            print([p.offset for p in found], ends, flush=True)
        return sum(ends) > 0 and [max(place.offset, 0) for place in found] == ends

    def stop(self) -> None:
        for worker in self._workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGTERM)
        for worker in self._workers:
            worker.wait(15)
        self._consumer.close()


@pytest.fixture
def stage(runtime: EmbeddedRuntime, tmp_path: Path) -> Iterator[Callable[[str], Stage]]:
    stages: list[Stage] = []

    def make(name: str) -> Stage:
        stages.append(Stage(runtime, name, tmp_path))
        return stages[-1]

    yield make
    for one in stages:
        one.stop()


def trace(index: int, **changes: object) -> Trace:
    values = {"event_id": f"e-{index}", "trace_id": f"t-{index}", "slices": {"key": f"k-{index % 23}"}, "error": None, "embedding": None}
    return example(Trace, **(values | changes))


def in_partition_of_key(stage: Stage, events: list[Trace]) -> None:
    """Send traces so that the key of their state, not their id, chooses the partition."""
    for event in events:
        stage.send(topics.TRACES, stage.codec.encode(topics.TRACES, event), event.slices["key"].encode())


def test_every_record_is_counted_once_and_poison_hurts_only_itself(stage: Callable[[str], Stage]) -> None:
    count = stage("count")
    good = [trace(index) for index in range(1000)]
    valid = count.codec.encode(topics.TRACES, trace(5000))
    header = valid[:5]
    foreign_id = count.codec.encode(topics.RELEASES, example(Release))[1:5]
    poison = {
        # The last: a trace under the id of a release's schema, which wants more bytes than it has.
        "TRUNCATED": [b"", b"\0\0", valid[:40], None, b"\0" + foreign_id + valid[5:]],
        "WRONG_MAGIC": [b"\7" + valid[1:], b'{"json": "and long enough"}'],
        "UNKNOWN_SCHEMA": [b"\0\xff\xff\xff\x01" + valid[5:]],
        "SCHEMA_MISMATCH": [header + b"\xff" * 60, valid + b"more"],
        "UNKNOWN_CANDIDATE": [count.codec.encode(topics.TRACES, trace(6000, error="refuse", completion=SECRET))],
    }
    in_partition_of_key(count, good[:500])
    for values in poison.values():
        for value in values:
            for partition in range(topics.KEYED):
                count.send(topics.TRACES, value, b"poison", partition)
    in_partition_of_key(count, good[500:])
    count.producer.flush()
    worker = count.start()
    wait_for(lambda: count.committed(topics.TRACES), "everything is committed")
    states = count.states()
    assert {key: state.ids for key, state in states.items()} == {f"k-{k}": {e.event_id for e in good if e.slices["key"] == f"k-{k}"} for k in range(23)}
    letters = count.dead_letters(topics.TRACES)
    assert Counter(letter.reason.value for letter in letters) == {reason: len(values) * topics.KEYED for reason, values in poison.items()}
    originals = {(m.partition(), m.offset()): m.value() for m in read_to_end(count.kafka, "traces")}
    assert all(letter.value == originals[letter.partition, letter.offset] for letter in letters)
    assert all(letter.topic == "traces" and letter.consumer == "count" and letter.attempt == 1 for letter in letters)
    assert len(read_events(count.kafka, count.codec, topics.APPEALS)) == len(good)
    by_murmur2 = DefaultPartitioner()
    keys = {m.key(): m.partition() for m in read_to_end(count.kafka, topics.APPEALS.name)}
    assert keys == {key: by_murmur2(key, range(topics.KEYED), range(topics.KEYED)) for key in keys}, "our producers and Faust place keys differently"
    assert len(keys) == len(good)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(10) == 0
    log = count.log.read_text()
    assert "counted=1000" in log
    assert "refused=4" in log
    assert SECRET not in log


def under_load(stage: Stage, events: list[Trace]) -> threading.Thread:
    """Send traces at some 1,500 a second, in a thread."""
    payloads = [(stage.codec.encode(topics.TRACES, event), event.slices["key"].encode()) for event in events]

    def load() -> None:
        for index, (value, key) in enumerate(payloads):
            stage.send(topics.TRACES, value, key)
            if index % 40 == 39:
                stage.producer.poll(0)
                time.sleep(0.025)
        stage.producer.flush()

    producing = threading.Thread(target=load)
    producing.start()
    return producing


def assert_all_arrived(stage: Stage, events: list[Trace]) -> None:
    wait_for(lambda: stage.committed(topics.TRACES), "everything is committed")
    assert {key: state.ids for key, state in stage.states().items()} == {
        f"k-{k}": {e.event_id for e in events if e.slices["key"] == f"k-{k}"} for k in range(23)
    }


def test_kill_9_under_load_loses_nothing_and_doubles_nothing(stage: Callable[[str], Stage]) -> None:
    count = stage("count")
    events = [trace(index) for index in range(12_000)]
    rng = random.Random(7)
    worker = count.start()
    producing = under_load(count, events)
    for _ in range(4):
        end = time.monotonic() + rng.uniform(0.1, 0.9)
        wait_for(lambda end=end: time.monotonic() > end, "the moment to kill")
        worker.kill()
        worker.wait()
        worker = count.start()
    producing.join()
    assert_all_arrived(count, events)
    assert {e.trace_id for e in read_events(count.kafka, count.codec, topics.APPEALS)} == {e.trace_id for e in events}
    totals: dict[str, int] = {}
    for told in read_events(count.kafka, count.codec, topics.DRIFT_OBSERVATIONS):
        totals[told.series_id] = max(totals.get(told.series_id, 0), int(told.mark_values()[0]))
    assert sum(totals.values()) == len(events), "a view that was rebuilt after a crash tells another total"


def test_partitions_move_between_workers_with_their_state(stage: Callable[[str], Stage]) -> None:
    count = stage("count")
    events = [trace(index) for index in range(6000)]
    first = count.start(None)
    producing = under_load(count, events)
    second = count.start(None)
    wait_for(lambda: count.log.read_text().count("Recovery complete") >= 3, "the partitions were divided anew")
    first.send_signal(signal.SIGTERM)
    assert first.wait(15) == 0
    producing.join()
    assert_all_arrived(count, events)
    assert second.poll() is None


def test_a_step_that_fails_stops_the_worker_without_acknowledging_or_quoting(stage: Callable[[str], Stage]) -> None:
    count = stage("count")
    worker = count.start()
    count.send(topics.TRACES, count.codec.encode(topics.TRACES, trace(1, error="explode", completion=SECRET)))
    count.producer.flush()
    assert worker.wait(15) != 0
    assert not count.committed(topics.TRACES)
    log = count.log.read_text()
    assert "RuntimeError" in log
    assert "stream_processors.py" in log
    assert SECRET not in log


def test_without_dead_letters_the_worker_stops(stage: Callable[[str], Stage]) -> None:
    count = stage("count")
    worker = count.start()
    admin = AdminClient(client_config(count.kafka))
    admin.delete_topics([count.prefix + topics.TRACES.dead_letters])[count.prefix + topics.TRACES.dead_letters].result()
    count.send(topics.TRACES, b"poison")
    count.producer.flush()
    assert worker.wait(40) != 0
    assert not count.committed(topics.TRACES)


def test_a_label_before_its_task_is_tried_again(stage: Callable[[str], Stage]) -> None:
    late = stage("late")
    late.start()
    for task_id, event_id in (("task-1", "label-1"), ("task-never", "label-2")):
        label = late.codec.encode(topics.LABELS, example(Label, event_id=event_id, task_id=task_id))
        late.send(topics.LABELS, label, task_id.encode(), 3 if task_id == "task-1" else -1)  # the retry has to stay in the partition it came from
    late.producer.flush()
    wait_for(lambda: len(list(read_to_end(late.kafka, topics.LABELS.retry))) == 2, "both are on the retry topic")
    late.send(topics.REVIEW_QUEUE, late.codec.encode(topics.REVIEW_QUEUE, example(ReviewTask, task_id="task-1")), b"task-1", 3)
    late.producer.flush()
    wait_for(lambda: any("label-1" in state.ids for state in late.states().values()), "the label met its task")
    wait_for(lambda: len(late.dead_letters(topics.LABELS)) == 1, "the other is refused")
    (letter,) = late.dead_letters(topics.LABELS)
    assert (letter.topic, letter.reason.value, letter.key) == ("labels", "UNKNOWN_TASK", b"task-never")
    assert len(list(read_to_end(late.kafka, topics.LABELS.retry))) == 2, "a retried label was retried again"


def test_a_policy_is_in_force_for_what_is_produced_after_its_publication(stage: Callable[[str], Stage]) -> None:
    governed = stage("governed")
    worker = governed.start()
    publisher = Publisher(governed.kafka, governed.codec)
    publisher.publish([trace(1)])
    wait_for(lambda: governed.committed(topics.TRACES), "the trace without policy is seen")
    rubric = Rubric.model_validate(DOCUMENT | {"title": "Test", "statement": "Be kind.", "dimensions": [DIMENSION]})
    policy = Policy.model_validate(DOCUMENT | SECTIONS | {"application": trace(1).application, "rubric": DOCUMENT})
    # A policy whose rubric is missing must not keep the others out of force.
    orphan = Policy.model_validate(DOCUMENT | SECTIONS | {"version": 2, "application": "other", "rubric": {"id": "missing", "version": 9}})
    for event in (policy_event(orphan, START), rubric_event(rubric, START), policy_event(policy, START), trace(2)):
        publisher.publish([event])
    wait_for(lambda: governed.committed(topics.TRACES), "the trace after the policy is seen")
    assert [event.trace_id for event in read_events(governed.kafka, governed.codec, topics.APPEALS)] == ["t-2"]
    assert worker.poll() is None


def test_history_is_read_before_the_first_event(stage: Callable[[str], Stage]) -> None:
    recalling = stage("recalling")
    publisher = Publisher(recalling.kafka, recalling.codec)
    before = example(Appeal, event_id=derive_id("derived", "e-1"), trace_id="t-1")
    publisher.publish([before, trace(1), trace(2)])
    recalling.start()
    wait_for(lambda: recalling.committed(topics.TRACES), "both traces are seen")
    assert sorted(event.trace_id for event in read_events(recalling.kafka, recalling.codec, topics.APPEALS)) == ["t-1", "t-2"]


def test_unequal_topics_are_joined_by_one_worker_at_a_time(stage: Callable[[str], Stage]) -> None:
    joined = stage("joined")
    first, second = joined.start(None), joined.start(None)
    publisher = Publisher(joined.kafka, joined.codec)
    publisher.publish([*(trace(index) for index in range(40)), example(Release, event_id="release-1")])
    expected = {f"e-{index}" for index in range(40)} | {"release-1"}
    wait_for(lambda: joined.states().get("all", Seen()).ids == expected, "everything is under one key")
    first.send_signal(signal.SIGTERM)
    assert first.wait(10) == 0
    publisher.publish([trace(99)])
    wait_for(lambda: joined.states()["all"].ids == expected | {"e-99"}, "the other worker goes on from the same state")
    assert second.poll() is None
