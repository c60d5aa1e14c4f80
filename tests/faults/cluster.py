"""Three brokers on loopback, each also a controller (KRaft), killed and started again one by one."""

import base64
import contextlib
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

from confluent_kafka.admin import AdminClient, ClusterMetadata

from tests.faults.loop import until
from trueloop.embedded import class_cache, jvm, launcher
from trueloop.embedded.artifacts import KAFKA
from trueloop.embedded.broker import answers, properties, render_properties
from trueloop.embedded.ports import HOST, Claims
from trueloop.embedded.store import ArtifactStore

SIZE = 3
HEAP_MIB = 320


class Broker:
    """One of them."""

    def __init__(self, cluster: "Cluster", number: int) -> None:
        self.number = number
        self._directory = cluster.directory / str(number)
        self._log = self._directory / "kafka.log"
        self._scratch = self._directory / "scratch"
        self._scratch.mkdir(parents=True)
        self.port = cluster.ports[number][0]
        self._config = self._directory / "kafka.properties"
        self._config.write_text(render_properties(self._properties(cluster)), encoding="utf-8")
        self._run("kafka.tools.StorageTool", "format", "-t", cluster.identity, "-c", str(self._config)).wait(60)
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def _properties(self, cluster: "Cluster") -> dict[str, str]:
        client, controller = cluster.ports[self.number]
        return properties({"kafka": client, "kafka-controller": controller}, self._directory / "data") | {
            "node.id": str(self.number),
            "controller.quorum.voters": ",".join(f"{number}@{HOST}:{ports[1]}" for number, ports in cluster.ports.items()),
            "default.replication.factor": str(SIZE),
            "min.insync.replicas": "2",
            "offsets.topic.replication.factor": str(SIZE),
            "transaction.state.log.replication.factor": str(SIZE),
            "transaction.state.log.min.isr": "2",
            "share.coordinator.state.topic.replication.factor": str(SIZE),
            "share.coordinator.state.topic.min.isr": "2",
            # Seconds after which a follower that is behind counts no longer: 30 by default, which is long to wait in a test.
            "replica.lag.time.max.ms": "3000",
        }

    def _run(self, *main: str) -> subprocess.Popen[bytes]:
        store = ArtifactStore()
        classes = os.pathsep.join(str(jar) for jar in store.jars(KAFKA))
        cache = class_cache.of(store, KAFKA)
        java = jvm.command(heap_mib=HEAP_MIB, cache=cache, temporary=self._scratch, properties={}, launch=["-cp", classes, *main])
        with self._log.open("ab") as log:
            command = [sys.executable, "-I", "-S", launcher.__file__, str(os.getpid()), *java]
            return subprocess.Popen(command, cwd=self._scratch, env=jvm.environment(self._scratch), stdout=log, stderr=log)

    def start(self) -> None:
        """Start it."""
        self.process = self._run("kafka.Kafka", str(self._config))

    def kill(self) -> None:
        """End it by kill -9."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(20)

    def stop(self) -> None:
        """End it, whatever it does."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(20)


class Cluster:
    """The three of them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.identity = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        self._claims = Claims()
        free: set[int] = set()
        while len(free) < 2 * SIZE:
            free.add(self._claims.any())
        taken = sorted(free)
        self.ports = {number: (taken[2 * number - 2], taken[2 * number - 1]) for number in range(1, SIZE + 1)}
        self.brokers: dict[int, Broker] = {}
        self._admin = AdminClient({"bootstrap.servers": self.addresses, "log_level": 0})
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(self.stop)
            for number in self.ports:
                self.brokers[number] = Broker(self, number)
            until(lambda: all(answers(broker.port) for broker in self.brokers.values()), "three brokers serve", 120)
            until(lambda: len(self.metadata().brokers) == SIZE, "they know each other")
            on_failure.pop_all()

    @property
    def addresses(self) -> str:
        """Where they listen."""
        return ",".join(f"{HOST}:{ports[0]}" for ports in self.ports.values())

    def metadata(self) -> ClusterMetadata:
        """Return what the cluster says of itself."""
        return self._admin.list_topics(timeout=20)

    def leader(self, topic: str, partition: int = 0) -> int:
        """Return the broker that leads a partition."""
        return int(self.metadata().topics[topic].partitions[partition].leader)

    def in_sync(self, topic: str) -> list[set[int]]:
        """Return the replicas of each partition that have everything."""
        return [set(partition.isrs) for partition in self.metadata().topics[topic].partitions.values()]

    def whole(self) -> bool:
        """Whether every partition has all its replicas."""
        topics = self.metadata().topics.values()
        return all(len(p.isrs) == SIZE and p.leader > 0 for topic in topics for p in topic.partitions.values())

    def stop(self) -> None:
        """End all."""
        for broker in self.brokers.values():
            broker.stop()
        self._claims.release()
