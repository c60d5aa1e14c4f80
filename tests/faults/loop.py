"""The workers of a loop as processes of their own, on a broker and a registry that others start. Killed here, started again here."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import psutil
from confluent_kafka import Consumer, TopicPartition

from tests.faults.observed import observe
from tests.faults.reading import Place, Places, Tables, Topics
from tests.faults.reconciler import Reconciliation, Sent, reconcile
from trueloop.adapters.kafka_admin import ensure_topics
from trueloop.adapters.registry import register_schemas
from trueloop.config import ClickHouseSettings, KafkaSettings, RegistrySettings, Settings
from trueloop.embedded import launcher
from trueloop.embedded.ports import pick_any
from trueloop.embedded.stack import PROCESSORS
from trueloop.topics import physical

ROOT = Path(__file__).parents[2]
DEADLINE_S = 150.0
"""Of anything that is waited for: the longest wait of a worker for a broker is 60 s, and two cores may be busy with other things."""
LOOK_EVERY_S = 0.1
BLINDING_KEY = "faults"
STREAMS = ("worker", *PROCESSORS)
SINK = ("worker", "sink")
GROUPS = {
    "sampling": ("traces",), "profiles": ("traces",), "distributions": ("drift-values",), "families": ("drift",), "quotas": ("drift",),
    "disagreements": ("agreement",),
    "appeals": ("appeals",),
    "collection": ("review-queue", "labels", "labels.retry", "truths", "gold"),
    "agreement": ("agreement-units",), "drift": ("drift-observations",),
    "estimates": ("reviewed-traces", "truths", "drift-observations"),
    "reviewers": ("review-queue", "labels", "labels.retry", "gold"),
    "trigger": ("preference-pairs", "agreement", "releases", "gates", "training-results", "drift"),
    "trials": ("trials", "trial-outcomes"), "gating": ("evaluations", "trial-outcomes", "releases", "drift"),
}  # fmt: skip


def until(condition: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> float:
    """Poll until the condition holds; return the seconds that it took."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < deadline_s, f"not within {deadline_s:g} s: {what}"
        time.sleep(0.05)
    return time.monotonic() - begun


class Worker:
    """A worker process. With `kept` it is started again as soon as it ends, as a supervisor does."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], directory: Path, *, kept: bool) -> None:
        self.name = name
        self.log = directory / f"{name}.log"
        self.kept = kept
        self.endings: list[int] = []
        self._command, self._environment = tuple(command), dict(environment)
        self._ready_file = directory / f"{name}.ready"
        self._changing = threading.Lock()
        self.process = self._spawn()

    def _spawn(self) -> subprocess.Popen[bytes]:
        self._ready_file.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            environment = os.environ | self._environment | {"TRUELOOP_READY_FILE": str(self._ready_file)}
            # By the launcher, so that it ends with this process, however this process ends.
            command = [sys.executable, "-I", "-S", launcher.__file__, str(os.getpid()), sys.executable, *self._command]
            return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)

    @property
    def ready(self) -> bool:
        """Whether the present process works."""
        return self.process.poll() is None and self._ready_file.exists()

    def tend(self) -> None:
        """Note that the process has ended, and start it again if it is kept."""
        with self._changing:
            code = self.process.poll()
            if code is None or not self.kept:
                return
            self.endings.append(code)
            self.process = self._spawn()

    def wait_ready(self) -> float:
        """Return, with the seconds that it took, when it works."""
        took = until(lambda: self.ready or (not self.kept and self.process.poll() is not None), f"{self.name} is ready; see {self.log}")
        assert self.ready, self.log.read_text()[-3000:]
        return took

    def end(self, number: int = signal.SIGTERM, grace_s: float = 60.0) -> int:
        """End it for good; return its exit code."""
        with self._changing:
            self.kept = False
            self.process.send_signal(number)
        return self.process.wait(grace_s)

    def signal(self, number: int) -> None:
        """Send a signal to the present process."""
        with self._changing:
            self.process.send_signal(number)

    def restart(self) -> None:
        """Start it after it was ended."""
        with self._changing:
            assert self.process.poll() is not None
            self.process = self._spawn()

    def rss_mib(self) -> float:
        """Resident memory, MiB."""
        return float(psutil.Process(self.process.pid).memory_info().rss / 2**20)


class Loop:
    """Topics with a prefix of their own, and the workers on them."""

    def __init__(self, directory: Path, kafka: str, registry: str, prefix: str, *, worker_registry: str | None = None, replicas: int = 1) -> None:
        """Create the topics. `worker_registry` is where the workers look for the registry, when that is not where it is."""
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        clickhouse = ClickHouseSettings(url=f"http://127.0.0.1:{pick_any()}", embedded=True)
        self.settings = Settings(
            state_dir=directory,
            kafka=KafkaSettings(bootstrap_servers=kafka, topic_prefix=prefix, replication_factor=replicas),
            registry=RegistrySettings(url=registry),
            clickhouse=clickhouse,
        )
        self.places = Places(kafka, registry, clickhouse.url, prefix, clickhouse.database, BLINDING_KEY)
        self.topics, self.tables = Topics(self.places), Tables(self.places)
        self._environment = {
            "TRUELOOP_STATE_DIR": str(directory),
            "TRUELOOP_KAFKA__BOOTSTRAP_SERVERS": kafka,
            "TRUELOOP_KAFKA__TOPIC_PREFIX": prefix,
            "TRUELOOP_KAFKA__REPLICATION_FACTOR": str(replicas),
            "TRUELOOP_REGISTRY__URL": worker_registry or registry,
            "TRUELOOP_CLICKHOUSE__URL": clickhouse.url,
            "TRUELOOP_CLICKHOUSE__EMBEDDED": "true",
            "TRUELOOP_BLINDING_KEY": BLINDING_KEY,
        }
        self.workers: dict[str, Worker] = {}
        self._over = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)
        self._keeper.start()
        register_schemas(self.settings.registry)
        ensure_topics(self.settings.kafka, physical())
        self._groups: dict[str, Consumer] = {}

    def _keep(self) -> None:
        while not self._over.wait(0.02):
            for worker in list(self.workers.values()):
                worker.tend()

    def start(self, name: str, arguments: Sequence[str], *, instance: str | None = "local", kept: bool = True) -> Worker:
        """Start a worker by the command line of `trueloop`."""
        named = ("--instance", instance) if instance else ()
        return self._add(name, ("-m", "trueloop.cli", *arguments, *named), kept=kept)

    def start_with_seam(self, name: str, *arguments: str, kept: bool = False) -> Worker:
        """Start a worker through `tests.faults.worker`, which makes it fail at a chosen place."""
        return self._add(name, ("-m", "tests.faults.worker", *arguments), kept=kept)

    def _add(self, name: str, command: Sequence[str], *, kept: bool) -> Worker:
        before = self.workers.get(name)
        assert before is None or before.process.poll() is not None, f"{name} runs already"
        self.workers[name] = Worker(name, command, self._environment, self.directory, kept=kept)
        return self.workers[name]

    def start_all(self) -> None:
        """Start the workers of one machine, as `trueloop up` does but for the trainer, and wait until they work."""
        self.start("streams", STREAMS)
        self.start("sink", SINK)
        self.wait_ready()

    def wait_ready(self) -> None:
        """Return when every worker works."""
        for worker in self.workers.values():
            worker.wait_ready()

    def stop(self) -> None:
        """End every process."""
        self._over.set()
        self._keeper.join()
        for worker in self.workers.values():
            worker.kept = False
            if worker.process.poll() is None:
                worker.process.send_signal(signal.SIGCONT)
                worker.process.send_signal(signal.SIGTERM)
        for worker in self.workers.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.process.wait(20)
                continue
            worker.process.kill()
            worker.process.wait()
        for consumer in self._groups.values():
            consumer.close()

    def _consumer(self, group: str) -> Consumer:
        if group not in self._groups:
            name = f"{self.places.prefix}trueloop-{group}"
            self._groups[group] = Consumer({"bootstrap.servers": self.places.kafka, "group.id": name, "enable.auto.commit": False, "log_level": 2})
        return self._groups[group]

    def behind(self, ends: Mapping[Place, int]) -> Iterator[str]:
        """Yield what has not been dealt with up to these ends: by the offsets that groups have committed, and by the rows in ClickHouse."""
        for group in GROUPS:
            yield from self._behind_in_kafka(group, ends)
        yield from self._behind_in_clickhouse(ends)

    def _behind_in_kafka(self, group: str, ends: Mapping[Place, int]) -> Iterator[str]:
        wanted = [(place, end) for place, end in ends.items() if place[0] in GROUPS[group] and end > 0]
        asked = [TopicPartition(self.places.prefix + topic, number) for (topic, number), _ in wanted]
        committed = self._consumer(group).committed(asked, timeout=20) if asked else []
        return (f"{group} {place} at {at.offset} of {end}" for (place, end), at in zip(wanted, committed, strict=True) if at.offset < end)

    def _behind_in_clickhouse(self, ends: Mapping[Place, int]) -> Iterator[str]:
        stored = self.tables.positions()
        for place, end in ends.items():
            if not place[0].endswith((".retry", "-changelog")) and stored.get(place, 0) < end:
                yield f"sink {place} at {stored.get(place, 0)} of {end}"

    def caught_up(self, ends: Mapping[Place, int]) -> bool:
        """Return whether everything up to these ends has been dealt with; False when somebody does not answer."""
        try:
            return not list(self.behind(ends))
        except Exception:  # a broker or the sink is being killed just now: whatever it says, it is not done
            return False

    def recovery(self) -> float:
        """Return the seconds until what the brokers hold now has been dealt with."""
        return self._catch_up(self.topics.ends())

    def _catch_up(self, ends: Mapping[Place, int]) -> float:
        """Wait as long as something moves: how long it takes is measured, and a busy machine is no fault; standing still is.

        To ask takes the machine from what is waited for: so a group that has committed all is not asked again, and ClickHouse when all have.
        """
        begun = moved = time.monotonic()
        groups, before, now = list(GROUPS), ["unknown"], ["unknown"]
        while now:
            with contextlib.suppress(Exception):  # a broker or the sink is being killed just now: whatever it says, it is not done
                behind = {group: list(self._behind_in_kafka(group, ends)) for group in groups}
                groups = [group for group in groups if behind[group]]
                now = [each for group in groups for each in behind[group]] or list(self._behind_in_clickhouse(ends))
            if now != before:
                before, moved = now, time.monotonic()
            stood = time.monotonic() - moved
            assert stood < DEADLINE_S, f"nothing moved for {DEADLINE_S:g} s; behind: {before[:8]}; see {self.directory}"
            time.sleep(LOOK_EVERY_S)
        return time.monotonic() - begun

    def settle(self) -> None:
        """Return when everything has come to rest: all is dealt with, and dealing with it has brought nothing new."""
        begun = time.monotonic()
        while True:
            ends = self.topics.ends()
            self._catch_up(ends)
            if self.topics.ends() == ends:
                return
            assert time.monotonic() - begun < 20 * DEADLINE_S, "the loop goes round and round"

    def task_ids(self, application: str, since: Mapping[Place, int]) -> set[str]:
        """Return the tasks of an application that are queued."""
        name = "review-queue"
        found = self.topics.events({name: self.topics.names()[name]}, (), since)
        return {r.event["task_id"] for r in found if r.event and r.event["application"] == application}

    def reconcile(self, application: str, sent: Sent, since: Mapping[Place, int]) -> Reconciliation:
        """Compare what is there with what was sent. Call `settle` before."""
        return reconcile(observe(self.places, application, since), sent)
