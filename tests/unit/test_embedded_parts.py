"""The parts of the one-machine runtime that need no JVM."""

import hashlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from trueloop import readiness
from trueloop.config import Settings
from trueloop.embedded import artifacts, background, broker, doctor, leftovers, log_files, maven, ports, schema_registry, status, status_view
from trueloop.embedded.endpoints import Endpoints
from trueloop.embedded.layout import Layout
from trueloop.embedded.lockfile import AlreadyRunningError, StateLock
from trueloop.embedded.managed import FAILING_AFTER, ManagedService, ServiceStatus, State
from trueloop.embedded.process import ProcessId
from trueloop.embedded.service import ServiceSpec
from trueloop.embedded.status import Phase, RuntimeStatus
from trueloop.embedded.store import ArtifactStore
from trueloop.errors import ConfigurationError, IntegrityError, UnavailableError

DEAD = ProcessId(2**22 + 1, 1.0)  # above the largest pid that Linux gives out


def leave_lock_of_dead_process(run_dir: Path) -> None:
    run_dir.mkdir(parents=True)
    (run_dir / "lock").write_text(json.dumps({"pid": DEAD.pid, "create_time": DEAD.create_time}))


class TestPorts:
    def test_the_remembered_port_comes_before_the_default(self) -> None:
        assert ports.choose({"kafka": 1}, {"kafka": 2}, is_free=lambda _: True) == {"kafka": 2}

    def test_the_default_comes_back_when_the_remembered_port_is_taken(self) -> None:
        assert ports.choose({"kafka": 1}, {"kafka": 2}, is_free=lambda port: port != 2) == {"kafka": 1}

    def test_no_port_is_given_out_twice(self) -> None:
        picks = iter([7, 7, 8])
        assert ports.choose({"a": 1, "b": 1, "c": 1}, {}, is_free=lambda port: port == 1, pick_any=lambda: next(picks)) == {"a": 1, "b": 7, "c": 8}

    def test_a_listener_is_found_out_and_named(self) -> None:
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            server.listen()
            port = server.getsockname()[1]
            assert not ports.is_free(port)
            assert f"pid {os.getpid()}" in str(ports.owner_of(port))
        assert ports.is_free(port)

    def test_ports_are_kept_over_restarts_and_nonsense_is_passed_over(self, tmp_path: Path) -> None:
        wanted = {"kafka": ports.pick_any()}
        claims = ports.Claims()
        first = ports.choose_for(tmp_path, claims, wanted)
        claims.release()
        assert ports.choose_for(tmp_path, ports.Claims(), {"kafka": 1}) == first
        (tmp_path / "ports.json").write_text("[1")
        assert ports.remembered(tmp_path) == {}

    @pytest.mark.skipif(sys.platform != "linux", reason="claims are abstract sockets, which only Linux has")
    def test_two_runtimes_that_start_together_choose_different_ports(self, tmp_path: Path) -> None:
        wanted = {"kafka": ports.pick_any(), "registry": ports.pick_any()}
        ours, theirs = ports.Claims(), ports.Claims()
        first = ports.choose_for(tmp_path / "ours", ours, wanted)
        second = ports.choose_for(tmp_path / "theirs", theirs, wanted)
        assert first == wanted
        assert not set(first.values()) & set(second.values())
        ours.release()
        assert ports.Claims().take(first["kafka"])

    @pytest.mark.skipif(sys.platform != "linux", reason="claims are abstract sockets, which only Linux has")
    def test_a_claim_ends_with_its_process_and_a_port_that_is_listened_to_is_not_claimed(self) -> None:
        port = ports.pick_any()
        code = f"import sys; from trueloop.embedded.ports import Claims; print(Claims().take({port})); claims = Claims(); print(claims.take({port}))"
        code += "; sys.stdout.flush(); sys.stdin.read()"
        with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
            assert other.stdout is not None
            assert [other.stdout.readline() for _ in range(2)] == ["True\n"] * 2
            assert not ports.Claims().take(port)
            other.kill()
            other.wait(10)
        claims = ports.Claims()
        assert claims.take(port)
        claims.release()
        with socket.socket() as server:
            server.bind(("127.0.0.1", port))
            server.listen()
            assert not claims.take(port)
        assert claims.take(port)


class TestLockOfArtifacts:
    def test_the_committed_lock_names_what_the_code_asks_for(self) -> None:
        bundles = artifacts.load_lock()
        coordinates = {name: [file.coordinate for file in bundle.files] for name, bundle in bundles.items()}
        for name, roots in artifacts.ROOTS.items():
            assert set(roots) <= set(coordinates[name])
        clients = [file.name for file in bundles[artifacts.KAFKA].files if file.name.startswith("kafka-clients")]
        assert clients == ["kafka-clients-4.3.1.jar"]
        assert all(len(file.sha256) == 64 and file.size > 0 for bundle in bundles.values() for file in bundle.files)

    def test_a_lock_survives_being_written_and_read(self, tmp_path: Path) -> None:
        bundles = artifacts.load_lock()
        path = tmp_path / "lock.json"
        path.write_text(artifacts.render_lock(bundles.values()))
        assert artifacts.load_lock(path) == bundles

    @pytest.mark.parametrize("text", ["", "{}", '{"format": 9}', '{"format": 1, "bundles": {"kafka": {"files": [{}]}}}'])
    def test_what_is_no_lock_is_refused(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "lock.json"
        path.write_text(text)
        with pytest.raises(ConfigurationError, match=r"lock\.json"):
            artifacts.load_lock(path)

    def test_the_digest_changes_with_any_file(self) -> None:
        bundle = artifacts.load_lock()[artifacts.KAFKA]
        changed = replace(bundle, files=(replace(bundle.files[0], sha256="0" * 64), *bundle.files[1:]))
        assert changed.digest != bundle.digest


class TestStore:
    @pytest.fixture
    def store(self, tmp_path: Path) -> ArtifactStore:
        content = b"a jar"
        file = artifacts.LockedFile("group:name:jar:1", "name-1.jar", len(content), "5" * 64)
        store = ArtifactStore(tmp_path, {"kafka": artifacts.Bundle("kafka", (file,))})
        store.directory("kafka").mkdir()
        (store.directory("kafka") / file.name).write_bytes(content)
        return store

    def test_an_altered_jar_is_named_with_both_sums_and_the_remedy(self, store: ArtifactStore) -> None:
        actual = artifacts.sha256_of(store.jars("kafka")[0])
        with pytest.raises(IntegrityError, match=rf"name-1\.jar has sha256 {actual}; expected {'5' * 64}.*trueloop fetch"):
            store.verify("kafka")

    def test_a_mirror_that_does_not_answer_is_named(self, store: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(maven.MIRROR_VARIABLE, "http://127.0.0.1:1/maven")
        with pytest.raises(UnavailableError, match=r"group:name:jar:1 from the mirror 'http://127\.0\.0\.1:1/maven'.*trueloop fetch"):
            store.repair("kafka")
        assert store.missing("kafka") == ["name-1.jar"]  # the altered one is gone, and nothing half-fetched is in its place
        assert list(store.directory("kafka").iterdir()) == []


class TestStateLock:
    def test_a_second_owner_is_refused_until_the_first_lets_go(self, tmp_path: Path) -> None:
        first, second = StateLock(tmp_path), StateLock(tmp_path)
        assert first.acquire() is False
        assert second.owner() == ProcessId.of(os.getpid())
        with pytest.raises(AlreadyRunningError, match=f"process {os.getpid()}"):
            second.acquire()
        first.release()
        assert second.owner() is None
        assert second.acquire() is False
        second.release()

    def test_the_lock_of_a_dead_process_is_seen_and_taken_over(self, tmp_path: Path) -> None:
        leave_lock_of_dead_process(tmp_path / "run")
        lock = StateLock(tmp_path / "run")
        assert (lock.owner(), lock.dead_owner()) == (None, DEAD)
        assert lock.acquire() is True
        lock.release()
        assert lock.dead_owner() is None

    def test_a_later_process_of_the_same_pid_is_another(self) -> None:
        mine = ProcessId.of(os.getpid())
        assert mine is not None
        assert mine.is_running()
        assert not replace(mine, create_time=mine.create_time - 3600).is_running()


PORTS = {"kafka": 1001, "kafka-controller": 1002, "registry": 1003, "clickhouse": 1004}


class TestRenderedConfiguration:
    def test_everything_listens_on_loopback_only(self, tmp_path: Path) -> None:
        listeners = broker.properties(PORTS, tmp_path)["listeners"]
        assert listeners == "PLAINTEXT://127.0.0.1:1001,CONTROLLER://127.0.0.1:1002"
        registry = schema_registry.properties(Layout(tmp_path), 1003)
        assert registry["quarkus.http.host"] == registry["quarkus.management.host"] == "127.0.0.1"

    def test_durability_does_not_depend_on_defaults(self, tmp_path: Path) -> None:
        assert "WRITE_DELAY=0" in schema_registry.properties(Layout(tmp_path), 1003)["apicurio.datasource.url"]
        assert broker.properties(PORTS, tmp_path)["auto.create.topics.enable"] == "false"

    def test_what_the_runtime_writes_is_what_the_settings_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        written = Endpoints.from_ports(PORTS)
        written.write(tmp_path / "run")
        monkeypatch.chdir(tmp_path)
        for settings in (Settings(state_dir=tmp_path), self._settings_of_worker(written, monkeypatch)):
            assert settings.kafka.bootstrap_servers == "127.0.0.1:1001"
            assert settings.registry.url == "http://127.0.0.1:1003/apis/ccompat/v7"
            assert (settings.clickhouse.url, settings.clickhouse.embedded) == ("http://127.0.0.1:1004", True)

    @staticmethod
    def _settings_of_worker(endpoints: Endpoints, monkeypatch: pytest.MonkeyPatch) -> Settings:
        for name, value in endpoints.environment().items():
            monkeypatch.setenv(name, value)
        return Settings(state_dir=Path("elsewhere"))


class TestLogFiles:
    def test_a_log_is_rotated_under_a_child_that_goes_on_writing(self, tmp_path: Path) -> None:
        path = tmp_path / "worker.log"
        descriptor = log_files.open_for_child(path)
        for piece in (b"one\n", b"two\n", b"three\n", b"four\n"):
            os.write(descriptor, piece)
            assert log_files.rotate_if_large(path, max_bytes=3, backups=2)
        os.write(descriptor, b"5\n")
        os.close(descriptor)
        assert not log_files.rotate_if_large(path, max_bytes=3, backups=2)
        assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"worker.log": "5\n", "worker.log.1": "four\n", "worker.log.2": "three\n"}

    def test_the_tail_leaves_out_empty_lines_and_decodes_anything(self, tmp_path: Path) -> None:
        path = tmp_path / "worker.log"
        path.write_bytes(b"a\n\n\xff\nb\n")
        assert log_files.tail(path, 2) == ["\ufffd", "b"]
        assert log_files.tail(tmp_path / "missing") == []


class TestManagedService:
    def make(self, tmp_path: Path, pool: ThreadPoolExecutor, code: str, probe: bool = True) -> ManagedService:
        spec = ServiceSpec(
            name="child",
            command=(sys.executable, "-c", code),
            env={},
            cwd=tmp_path,
            log_file=tmp_path / "child.log",
            stage=0,
            prepare=lambda: None,
            probe=lambda: probe,
            ready_timeout_s=30.0,
        )
        return ManagedService(spec, pool)

    def test_a_child_that_keeps_crashing_is_failing_and_shows_its_last_words(self, tmp_path: Path) -> None:
        with ThreadPoolExecutor(1) as pool:
            service = self.make(tmp_path, pool, "raise SystemExit('bad rubric')", probe=False)
            deadline = time.monotonic() + 20
            while service.status().state is not State.FAILING:
                assert time.monotonic() < deadline
                service.tick(time.monotonic())
        failing = service.status()
        assert (failing.restarts, failing.detail, failing.log_tail[-1]) == (FAILING_AFTER, "exit code 1", "bad rubric")

    def test_a_child_that_runs_but_is_never_ready_is_failing(self, tmp_path: Path) -> None:
        with ThreadPoolExecutor(1) as pool:
            service = self.make(tmp_path, pool, "import signal; signal.pause()", probe=False)
            now, deadline = 0.0, time.monotonic() + 20
            while service.status().state is not State.FAILING:
                assert time.monotonic() < deadline
                service.tick(now)
                now += 0.05
            assert service.status().detail == "runs but was not ready within 30 s"
            service.signal(signal.SIGKILL)
            while not service.has_stopped():
                assert time.monotonic() < deadline
        assert service.status().state is State.STOPPED

    def test_a_failing_preparation_is_a_crash_and_not_the_end(self, tmp_path: Path) -> None:
        def refuse() -> None:
            raise UnavailableError("no room")

        with ThreadPoolExecutor(1) as pool:
            service = self.make(tmp_path, pool, "")
            service.spec = replace(service.spec, prepare=refuse)
            deadline = time.monotonic() + 20
            while service.status().state is not State.RESTARTING:
                assert time.monotonic() < deadline
                service.tick(0.0)
        assert service.status().detail == "not started: no room"


def status_of(pid: int, started_at: float, state: State = State.READY) -> RuntimeStatus:
    service = ServiceStatus("kafka", state, pid, started_at, 1, "127.0.0.1:1", None, "kafka.log", ("[bold]oops[/]",))
    return RuntimeStatus(Phase.READY, os.getpid(), (service,))


class TestStatus:
    def test_what_is_written_is_what_is_read_while_the_owner_lives(self, tmp_path: Path) -> None:
        lock = StateLock(tmp_path)
        lock.acquire()
        written = status_of(1, 2.0)
        written.write(tmp_path)
        assert status.read(tmp_path) == written
        lock.release()
        assert status.read(tmp_path).phase is Phase.STOPPED

    def test_leftovers_of_a_killed_supervisor_are_ended_and_others_are_not(self, tmp_path: Path) -> None:
        child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], start_new_session=True)
        status_of(child.pid, psutil.Process(child.pid).create_time() - 3600).write(tmp_path)
        assert leftovers.end(tmp_path) == []
        status_of(child.pid, psutil.Process(child.pid).create_time()).write(tmp_path)
        assert leftovers.end(tmp_path) == ["kafka"]
        child.wait(5)
        assert not psutil.pid_exists(child.pid)

    def test_the_view_shows_a_failing_service_and_takes_no_markup_from_its_log(self) -> None:
        console = Console(width=100, record=True, file=io.StringIO())
        console.print(status_view.render(status_of(1, time.time(), State.FAILING)))
        text = console.export_text()
        assert "failing" in text
        assert "[bold]oops[/]" in text


class TestDoctor:
    @pytest.fixture
    def store(self, tmp_path: Path) -> ArtifactStore:
        """One small bundle for each name, of a file that is right."""
        store = ArtifactStore(tmp_path / "store", {})
        for name in (artifacts.KAFKA, artifacts.REGISTRY):
            file = artifacts.LockedFile("group:name:jar:1", "name-1.jar", 0, hashlib.sha256(b"").hexdigest())
            store.bundles[name] = artifacts.Bundle(name, (file,))
            store.directory(name).mkdir(parents=True)
            (store.directory(name) / file.name).touch()
        return store

    def examine(self, state_dir: Path, store: ArtifactStore) -> dict[str, doctor.Finding]:
        return {finding.check: finding for finding in doctor.examine(state_dir, store)}

    def test_a_machine_that_is_well_has_no_problem(self, tmp_path: Path, store: ArtifactStore) -> None:
        found = self.examine(tmp_path, store)
        assert [finding.message for finding in found.values() if finding.level is doctor.Level.PROBLEM] == []

    def test_the_lock_of_a_dead_process_is_cleared_and_said(self, tmp_path: Path, store: ArtifactStore) -> None:
        leave_lock_of_dead_process(tmp_path / "run")
        found = self.examine(tmp_path, store)["lock"]
        assert found.level is doctor.Level.NOTE
        assert str(DEAD.pid) in found.message
        assert StateLock(tmp_path / "run").dead_owner() is None

    def test_a_taken_port_is_named_with_its_owner(self, tmp_path: Path, store: ArtifactStore) -> None:
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            server.listen()
            port = server.getsockname()[1]
            (tmp_path / "run").mkdir()
            (tmp_path / "run" / "ports.json").write_text(json.dumps({"registry": port}))
            found = [finding for finding in doctor.examine(tmp_path, store) if str(port) in finding.message]
        assert [(finding.check, finding.level) for finding in found] == [("ports", doctor.Level.NOTE)]
        assert f"pid {os.getpid()}" in found[0].message

    def test_an_altered_and_an_unreachable_artifact_are_problems_with_remedies(
        self, tmp_path: Path, store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(maven.MIRROR_VARIABLE, "http://127.0.0.1:1/maven")
        store.jars(artifacts.KAFKA)[0].write_bytes(b"altered")
        store.jars(artifacts.REGISTRY)[0].unlink()
        found = self.examine(tmp_path, store)
        altered, unreachable = found[f"artifacts of {artifacts.KAFKA}"], found[f"artifacts of {artifacts.REGISTRY}"]
        assert (altered.level, altered.remedy) == (doctor.Level.PROBLEM, "trueloop fetch")
        assert "name-1.jar has sha256" in altered.message
        assert unreachable.level is doctor.Level.PROBLEM
        assert "http://127.0.0.1:1/maven" in unreachable.message

    def test_a_clock_that_went_back_is_a_problem(self, tmp_path: Path, store: ArtifactStore) -> None:
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "ports.json").write_text("{}")
        os.utime(tmp_path / "run" / "ports.json", (time.time() + 3600, time.time() + 3600))
        assert self.examine(tmp_path, store)["clock"].level is doctor.Level.PROBLEM


class TestBackground:
    def test_down_says_when_nothing_runs_and_clears_a_dead_lock(self, tmp_path: Path) -> None:
        layout = Layout(tmp_path)
        assert "nothing runs" in background.stop(layout)
        leave_lock_of_dead_process(layout.run)
        assert str(DEAD.pid) in background.stop(layout)
        assert "nothing runs" in background.stop(layout)


def test_a_worker_announces_itself_only_when_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(readiness.READY_FILE_VARIABLE, raising=False)
    readiness.announce_ready()
    monkeypatch.setenv(readiness.READY_FILE_VARIABLE, str(tmp_path / "ready"))
    readiness.announce_ready()
    assert (tmp_path / "ready").exists()
