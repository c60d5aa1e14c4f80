"""The one-machine runtime against what it must survive: real JVMs, real kill -9."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient

from trueloop.adapters.kafka_admin import TopicWatcher, ensure_topics
from trueloop.config import KafkaSettings
from trueloop.embedded import status
from trueloop.embedded.artifacts import KAFKA, REGISTRY
from trueloop.embedded.lockfile import AlreadyRunningError, StateLock
from trueloop.embedded.runtime import EmbeddedRuntime, Stack
from trueloop.embedded.service import WorkerSpec
from trueloop.embedded.store import ArtifactStore
from trueloop.errors import ConfigurationError, IntegrityError, UnavailableError
from trueloop.topics import PhysicalTopic

WAIT_READY = "import signal; from trueloop.readiness import announce_ready; announce_ready(); signal.pause()"


def eventually(condition: Callable[[], object], timeout_s: float = 20.0) -> float:
    """Poll until the condition holds; return the seconds that it took."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < timeout_s, "the condition did not come to hold"
        time.sleep(0.02)
    return time.monotonic() - begun


def service(runtime: EmbeddedRuntime, name: str) -> status.ServiceStatus:
    return next(service for service in runtime.status.services if service.name == name)


def call(runtime: EmbeddedRuntime, method: str, path: str, body: object = None) -> tuple[int, dict[str, object]]:
    location = urlsplit(runtime.endpoints.registry)
    connection = http.client.HTTPConnection(location.netloc, timeout=10)
    connection.request(method, location.path + path, json.dumps(body) if body else None, {"Content-Type": "application/json"})
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def record_schema(*fields: dict[str, object]) -> dict[str, str]:
    return {"schema": json.dumps({"type": "record", "name": "Note", "fields": list(fields)}), "schemaType": "AVRO"}


def topic(name: str, partitions: int = 1) -> PhysicalTopic:
    return PhysicalTopic(name, partitions, -1, "delete", 1024 * 1024)


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRuntime]:
    # A foreign server on a default port, if nothing has it yet: the runtime has to choose another.
    with socket.socket() as foreign:
        foreign.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            foreign.bind(("127.0.0.1", 19092))
            foreign.listen()
        except OSError:
            pass
        workers = (WorkerSpec("idle", (sys.executable, "-c", WAIT_READY)),)
        with EmbeddedRuntime(tmp_path_factory.mktemp("embedded"), Stack(workers)) as running:
            yield running


@pytest.fixture(scope="module")
def kafka(runtime: EmbeddedRuntime) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=runtime.endpoints.kafka)


def test_everything_is_ready_and_other_ports_are_chosen_when_the_default_is_taken(runtime: EmbeddedRuntime) -> None:
    found = status.read(runtime.layout.run)
    assert {service.name: service.state for service in found.services} == {"kafka": "ready", "registry": "ready", "idle": "ready"}
    assert found.phase == "ready"
    written = json.loads((runtime.layout.run / "endpoints.json").read_text())
    assert written["kafka"]["bootstrap_servers"] == runtime.endpoints.kafka != "127.0.0.1:19092"


def test_only_loopback_is_listened_on(runtime: EmbeddedRuntime) -> None:
    listening = [
        connection.laddr.ip
        for name in ("kafka", "registry")
        for connection in psutil.Process(service(runtime, name).pid).net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 3
    assert {address.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}


def test_a_second_runtime_on_the_same_directory_is_refused(runtime: EmbeddedRuntime) -> None:
    with pytest.raises(AlreadyRunningError, match=f"process {os.getpid()}.*trueloop down"):
        EmbeddedRuntime(runtime.layout.state_dir).start()
    assert service(runtime, "kafka").state == "ready"


def test_topics_are_created_once_and_a_difference_is_named(runtime: EmbeddedRuntime, kafka: KafkaSettings) -> None:
    assert ensure_topics(kafka, [topic("one"), topic("four", 4)]).created == ("one", "four")
    again = ensure_topics(kafka, [topic("one"), topic("four", 4)])
    assert (again.created, again.existing) == ((), ("one", "four"))
    with pytest.raises(ConfigurationError, match="four has 4, expected 3"):
        ensure_topics(kafka, [topic("four", 3)])
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:1"):
        TopicWatcher(KafkaSettings(bootstrap_servers="127.0.0.1:1"), timeout_s=0.2).observe()


def test_a_misspelt_topic_is_not_created(runtime: EmbeddedRuntime, kafka: KafkaSettings) -> None:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    admin.list_topics("tarces", timeout=5)
    assert "tarces" not in admin.list_topics(timeout=5).topics


def test_the_broker_is_back_after_kill_9_with_every_record(runtime: EmbeddedRuntime, kafka: KafkaSettings) -> None:
    ensure_topics(kafka, [topic("kept")])
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "acks": "all"})
    for number in range(500):
        producer.produce("kept", str(number).encode())
    assert producer.flush(10) == 0

    killed = service(runtime, "kafka")
    os.kill(killed.pid, signal.SIGKILL)
    eventually(lambda: service(runtime, "kafka").pid != killed.pid)
    # 5 s is the promise on an idle machine; the tests may share theirs.
    seconds = eventually(lambda: service(runtime, "kafka").state == "ready", timeout_s=15)
    print(f"broker ready {seconds:.1f} s after kill -9")
    assert service(runtime, "kafka").restarts == killed.restarts + 1

    producer.produce("kept", b"after")
    assert producer.flush(15) == 0
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap_servers, "group.id": "reader", "auto.offset.reset": "earliest"})
    consumer.subscribe(["kept"])
    values: list[bytes] = []
    eventually(lambda: values.extend(message.value() for message in consumer.consume(1000, 0.5)) or len(values) >= 501)
    consumer.commit(asynchronous=False)
    consumer.close()
    assert values == [*(str(number).encode() for number in range(500)), b"after"]

    activity = {found.name: found for found in TopicWatcher(kafka).observe()}
    assert (activity["kept"].end_offset, activity["kept"].lag) == (501, {"reader": 0})


def test_schema_ids_survive_kill_9_and_incompatible_schemas_are_refused(runtime: EmbeddedRuntime) -> None:
    first = record_schema({"name": "text", "type": "string"})
    code, registered = call(runtime, "POST", "/subjects/note-value/versions", first)
    assert code == 200
    killed = service(runtime, "registry")
    os.kill(killed.pid, signal.SIGKILL)
    eventually(lambda: service(runtime, "registry").pid not in (killed.pid, None) and service(runtime, "registry").state == "ready")
    kept = call(runtime, "GET", f"/schemas/ids/{registered['id']}")[1]["schema"]
    assert json.loads(str(kept)) == json.loads(first["schema"])

    added = {"name": "added", "type": "long"}
    code, refusal = call(runtime, "POST", "/subjects/note-value/versions", record_schema({"name": "text", "type": "string"}, added))
    assert code == 409, refusal
    code, _ = call(runtime, "POST", "/subjects/note-value/versions", record_schema({"name": "text", "type": "string"}, added | {"default": 0}))
    assert code == 200


def test_a_killed_worker_is_started_again(runtime: EmbeddedRuntime) -> None:
    killed = service(runtime, "idle")
    os.kill(killed.pid, signal.SIGKILL)
    eventually(lambda: service(runtime, "idle").pid not in (killed.pid, None) and service(runtime, "idle").state == "ready")


def start_in_background(state_dir: Path) -> None:
    subprocess.run([sys.executable, "-m", "trueloop.embedded", "up", "--detach", "--state-dir", str(state_dir)], check=True, timeout=60)


def test_no_orphans_after_kill_9_of_the_supervisor_and_the_next_start_goes_on(tmp_path: Path) -> None:
    start_in_background(tmp_path)
    before = status.read(tmp_path / "run")
    ports = (tmp_path / "run" / "ports.json").read_text()
    children = [psutil.Process(service.pid) for service in before.services]
    os.kill(before.pid, signal.SIGKILL)
    eventually(lambda: not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children), timeout_s=5)
    assert status.read(tmp_path / "run").phase == "stopped"
    assert StateLock(tmp_path / "run").dead_owner().pid == before.pid

    start_in_background(tmp_path)
    assert (tmp_path / "run" / "ports.json").read_text() == ports
    after = status.read(tmp_path / "run")
    subprocess.run([sys.executable, "-m", "trueloop.embedded", "down", "--state-dir", str(tmp_path)], check=True, timeout=60)
    assert not any(psutil.pid_exists(service.pid) for service in after.services)
    assert not (tmp_path / "run" / "endpoints.json").exists()


def test_a_worker_that_cannot_start_is_named_with_its_last_words(tmp_path: Path) -> None:
    broken = WorkerSpec("broken", (sys.executable, "-c", "raise SystemExit('no such rubric')"))
    with pytest.raises(UnavailableError, match=r"broken fails \(exit code 1\)[\s\S]*no such rubric"), EmbeddedRuntime(tmp_path, Stack((broken,))):
        pytest.fail("a broken worker was taken for ready")
    assert status.read(tmp_path / "run").phase == "stopped"


@pytest.fixture
def copied_store(tmp_path: Path) -> ArtifactStore:
    """A store whose files are hard links to the real one's, which a test may replace but not write to."""
    store = ArtifactStore()
    for name in (KAFKA, REGISTRY):
        shutil.copytree(store.directory(name), tmp_path / store.directory(name).name, copy_function=os.link)
    for file in (*store.root.glob("*.manifest"), *store.root.glob("*.aot")):
        os.link(file, tmp_path / file.name)
    return ArtifactStore(tmp_path)


def alter(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    path.write_bytes(content)


@pytest.mark.usefixtures("runtime")  # which has fetched the artifacts
def test_an_altered_artifact_is_refused_before_anything_starts(copied_store: ArtifactStore, tmp_path: Path) -> None:
    jar = copied_store.jars(KAFKA)[0]
    alter(jar)
    state_dir = tmp_path / "state"
    with pytest.raises(IntegrityError, match=rf"{jar.name} has sha256 \w+; expected \w+.*trueloop fetch"):
        EmbeddedRuntime(state_dir, store=copied_store).start()
    assert not (state_dir / "kafka").exists()
    assert StateLock(state_dir / "run").owner() is None


@pytest.mark.usefixtures("runtime")
@pytest.mark.parametrize("change", [alter, Path.unlink, lambda path: path.with_name("added.jar").write_bytes(b"")], ids=["altered", "removed", "added"])
def test_a_changed_file_of_the_registry_is_named(copied_store: ArtifactStore, change: Callable[[Path], object]) -> None:
    copied_store.verify(REGISTRY)
    change(copied_store.directory(REGISTRY) / "quarkus-run.jar")
    with pytest.raises(IntegrityError, match=r"(quarkus-run|added)\.jar"):
        copied_store.verify(REGISTRY)
