"""Apache Kafka as a child process: one node that is broker and controller (KRaft)."""

import base64
import os
import socket
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path

from trueloop.embedded import jvm, log_files
from trueloop.embedded.artifacts import KAFKA
from trueloop.embedded.files import write_atomically
from trueloop.embedded.layout import Layout
from trueloop.embedded.ports import HOST
from trueloop.embedded.service import ServiceSpec
from trueloop.embedded.store import ArtifactStore
from trueloop.errors import UnavailableError

NAME = "kafka"
_HEAP_MIB = 512
_MIB = 1024 * 1024
_FORMAT_TIMEOUT_S = 60
_PROBE_TIMEOUT_S = 1.0

_LOGGING = """\
# Written by trueloop at every start. Standard output goes to logs/kafka.log, which the supervisor rotates.
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{ISO8601} %p %c{1} %m%n
rootLogger.level=INFO
rootLogger.appenderRef.out.ref=out
# These print every setting of every component at each start: 200 kB.
logger.config.name=org.apache.kafka.common.config
logger.config.level=WARN
logger.kafkaconfig.name=kafka.server.KafkaConfig
logger.kafkaconfig.level=WARN
"""


def properties(ports: Mapping[str, int], log_dir: Path) -> dict[str, str]:
    """Return the broker's settings, each that differs from Kafka's default with its reason."""
    client, controller = ports["kafka"], ports["kafka-controller"]
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{HOST}:{controller}",
        "listeners": f"PLAINTEXT://{HOST}:{client},CONTROLLER://{HOST}:{controller}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{client}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "log.dirs": str(log_dir),
        # One node: internal topics cannot have more replicas, and need few partitions.
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "share.coordinator.state.topic.num.partitions": "1",
        # A misspelt topic is an error, not a new topic.
        "auto.create.topics.enable": "false",
        # Groups are complete at once here; waiting for further members would delay every first record by three seconds.
        "group.initial.rebalance.delay.ms": "0",
        # After kill -9 the controller refuses the restarted broker until the old session has ended.
        "broker.session.timeout.ms": "2000",
        "broker.heartbeat.interval.ms": "500",
        "message.max.bytes": str(2 * _MIB + 64 * 1024),  # records of 2 MiB, and the framing of their batch
        "replica.fetch.max.bytes": str(2 * _MIB + 64 * 1024),
        # Kafka's default is 128 MiB, which the cleaner allocates from the heap at once.
        "log.cleaner.dedupe.buffer.size": str(8 * _MIB),
        # Indexes are preallocated: 10 MiB for each of a hundred partitions by default.
        "log.index.size.max.bytes": str(_MIB),
        "log.segment.bytes": str(256 * _MIB),
        "num.network.threads": "2",
        "num.io.threads": "4",
        "background.threads": "4",
    }


def render_properties(values: Mapping[str, str]) -> str:
    """Return the text of a Java properties file.

    >>> render_properties({"log.dirs": "C:\\\\data"})
    'log.dirs=C:\\\\\\\\data\\n'
    """
    return "".join(f"{key}={value.replace(chr(92), chr(92) * 2)}\n" for key, value in values.items())


def service(layout: Layout, ports: Mapping[str, int], store: ArtifactStore, cache: jvm.ClassCache) -> ServiceSpec:
    """Return the broker as a service of the supervisor."""
    scratch, config = layout.scratch(NAME), layout.run / "kafka.properties"
    logging = layout.run / "kafka-log4j2.properties"

    def java(*main: str, cache: jvm.ClassCache | None) -> tuple[str, ...]:
        return jvm.command(
            heap_mib=_HEAP_MIB,
            cache=cache,
            temporary=scratch,
            properties={"log4j2.configurationFile": str(logging)},
            launch=["-cp", os.pathsep.join(str(jar) for jar in store.jars(KAFKA)), *main],
        )

    log_file = layout.logs / f"{NAME}.log"

    def prepare() -> None:
        layout.clear_scratch(NAME)
        write_atomically(logging, _LOGGING)
        write_atomically(config, render_properties(properties(ports, layout.kafka)))
        if not (layout.kafka / "meta.properties").exists():
            # The recording run must not write the class cache of the formatter.
            formatter = java("kafka.tools.StorageTool", cache=None if cache.record else cache)
            _format_storage((*formatter, "format", "-t", _new_cluster_id(), "-c", str(config)), jvm.environment(scratch), log_file)

    return ServiceSpec(
        name=NAME,
        command=java("kafka.Kafka", str(config), cache=cache),
        env=jvm.environment(scratch),
        cwd=scratch,
        log_file=log_file,
        stage=0,
        prepare=prepare,
        probe=lambda: answers(ports["kafka"]),
        endpoint=f"{HOST}:{ports['kafka']}",
        stop_grace_s=20.0,
    )


def _new_cluster_id() -> str:
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def _format_storage(command: tuple[str, ...], env: Mapping[str, str], log_file: Path) -> None:
    log = log_files.open_for_child(log_file)
    try:
        code = subprocess.run(command, env=dict(env), stdout=log, stderr=log, timeout=_FORMAT_TIMEOUT_S, check=False).returncode
    finally:
        os.close(log)
    if code != 0:
        raise UnavailableError(f"formatting Kafka's storage ended with exit code {code}; expected 0. Read {log_file}")


def answers(port: int) -> bool:
    """Return whether the broker serves: it lists itself only when the controller has let it in."""
    try:
        socket.create_connection((HOST, port), timeout=_PROBE_TIMEOUT_S).close()
    except OSError:
        return False
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    try:
        return bool(AdminClient({"bootstrap.servers": f"{HOST}:{port}", "log_level": 0}).list_topics(timeout=_PROBE_TIMEOUT_S).brokers)
    except KafkaException:
        return False
