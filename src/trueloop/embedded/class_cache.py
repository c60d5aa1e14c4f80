"""Class caches of the JVMs: recorded once per machine, they halve the time to start (Kafka 1.8 -> 0.9 s, the registry 2.8 -> 1.5 s)."""

import dataclasses
import json
import tempfile
import time
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from trueloop.embedded import broker, jvm, ports, schema_registry
from trueloop.embedded.artifacts import KAFKA, REGISTRY
from trueloop.embedded.endpoints import Endpoints
from trueloop.embedded.layout import Layout
from trueloop.embedded.store import ArtifactStore
from trueloop.embedded.supervisor import Supervisor
from trueloop.errors import TrueloopError

_START_TIMEOUT_S = 60.0
_WRITE_GRACE_S = 120.0


def of(store: ArtifactStore, bundle: str) -> jvm.ClassCache:
    """Return the class cache of a bundle, whether it is there yet or not."""
    return jvm.ClassCache(store.root / f"{bundle}-{jvm.class_cache_key(store.bundles[bundle].digest)}.aot")


def ensure(store: ArtifactStore, say: Callable[[str], None], *, try_again: bool = False) -> None:
    """Record the class caches when one is missing, by running both programs for a moment on a state of their own.

    They only save time: when they cannot be made, that is said and everything goes on without, until asked to `try_again`.
    """
    if try_again:
        _given_up(store).unlink(missing_ok=True)
    if all(of(store, bundle).file.exists() for bundle in (KAFKA, REGISTRY)) or _given_up(store).exists():
        return
    say("recording class caches, once per machine (about 12 s); later starts take half the time")
    try:
        with tempfile.TemporaryDirectory(prefix=".recording-", dir=store.root) as directory:
            _record(store, Path(directory))
    except (TrueloopError, OSError) as error:
        _given_up(store).touch()
        say(f"no class caches ({error}); starts will take two seconds longer")


def _given_up(store: ArtifactStore) -> Path:
    """Return the file that says that recording failed here: trying again at every start would cost more than the caches save."""
    return of(store, KAFKA).file.with_suffix(".given-up")


def _record(store: ArtifactStore, directory: Path) -> None:
    layout = Layout(directory)
    chosen = ports.choose(dict.fromkeys(ports.DEFAULT_PORTS, 0), {}, is_free=lambda port: port != 0)
    caches = {bundle: jvm.ClassCache(directory / f"{bundle}.aot", record=True) for bundle in (KAFKA, REGISTRY)}
    specs = [broker.service(layout, chosen, store, caches[KAFKA]), schema_registry.service(layout, chosen, store, caches[REGISTRY])]
    supervisor = Supervisor()
    supervisor.start()
    try:
        # The JVMs write their caches as they end; of one stage, they do so at the same time.
        supervisor.add([dataclasses.replace(spec, stage=0, stop_grace_s=_WRITE_GRACE_S) for spec in specs])
        supervisor.wait_ready(_START_TIMEOUT_S)
        _exercise(Endpoints.from_ports(chosen))
    finally:
        supervisor.stop()
    for bundle, cache in caches.items():
        cache.file.replace(of(store, bundle).file)


def _exercise(endpoints: Endpoints) -> None:
    """Use what every session uses, so that its classes are in the caches: topics, records, a consumer group, schemas."""
    from confluent_kafka import Consumer, KafkaException, Producer
    from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # re-exported without saying so

    address: dict[str, str | int | float | bool] = {"bootstrap.servers": endpoints.kafka, "log_level": 0}
    try:
        admin = AdminClient(address)  # a name of its own: its futures end with it
        for created in admin.create_topics([NewTopic("warm", 2, 1, config={"cleanup.policy": "compact"})]).values():
            created.result(10)
    except KafkaException as error:
        raise TrueloopError(f"the broker did not create a topic: {error}") from error
    producer = Producer({**address, "enable.idempotence": True})
    for number in range(100):
        producer.produce("warm", key=str(number), value=b"x" * 100)
    producer.flush(10)
    consumer = Consumer({**address, "group.id": "warm", "auto.offset.reset": "earliest"})
    consumer.subscribe(["warm"])
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and not consumer.consume(10, timeout=0.5):
        pass
    consumer.close()
    location = urlsplit(endpoints.registry)
    connection = HTTPConnection(location.netloc, timeout=10)
    for number in range(3):
        fields = [{"name": f"field{index}", "type": ["null", "long"], "default": None} for index in range(number + 1)]
        schema = json.dumps({"type": "record", "name": "Warm", "fields": fields})
        body = json.dumps({"schema": schema, "schemaType": "AVRO"})
        connection.request("POST", f"{location.path}/subjects/warm-value/versions", body, {"Content-Type": "application/json"})
        connection.getresponse().read()
    connection.close()
