"""docker-compose.yml and the image: pinned, closed to the outside, and set up with settings and workers that exist."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from trueloop.adapters.metrics import targets
from trueloop.commands.worker import ALONE, STREAMS
from trueloop.config import Settings, load_settings

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if str(service["image"]).startswith("trueloop-")}
WORKERS = {name: service for name, service in OURS.items() if service.get("command", [""])[:1] == ["worker"]}
DOCKERFILE = (ROOT / "ops" / "image" / "Dockerfile").read_text()
EVERY_SERVICE = pytest.mark.parametrize("name", sorted(SERVICES))


def seen_inside(name: str) -> dict[str, str]:
    """The environment of a service, with a value for every variable that the host has to give."""
    environment = SERVICES[name].get("environment", {})
    return {key: re.sub(r"\$\{(\w+)(:\?[^}]*|:-([^}]*))?\}", lambda found: found.group(3) or "given-by-host", str(value)) for key, value in environment.items()}


@pytest.fixture
def settings_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Return the settings that a process inside a service would have."""

    def load(name: str) -> Settings:
        for variable in [variable for variable in os.environ if variable.startswith("TRUELOOP_")]:
            monkeypatch.delenv(variable)
        for variable, value in seen_inside(name).items():
            monkeypatch.setenv(variable, value)
        monkeypatch.chdir(tmp_path)
        return load_settings()

    return load


@EVERY_SERVICE
def test_every_image_is_pinned_to_a_version(name: str) -> None:
    assert re.fullmatch(r"[\w./-]+:v?\d+(\.\d+)+", SERVICES[name]["image"]), SERVICES[name]["image"]


@EVERY_SERVICE
def test_ports_are_open_to_this_machine_only(name: str) -> None:
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in SERVICES[name].get("ports", []))


@EVERY_SERVICE
def test_every_service_has_limits_and_may_not_gain_privileges(name: str) -> None:
    service = SERVICES[name]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["mem_limit"]
    assert "privileged" not in service
    if name != "clickhouse":  # its entry point changes owners and users, as root
        assert service["cap_drop"] == ["ALL"]


@pytest.mark.parametrize("name", sorted(OURS))
def test_our_containers_write_nowhere_but_in_volumes(name: str) -> None:
    assert OURS[name]["read_only"] is True


def test_there_is_one_service_per_worker() -> None:
    assert {name: service["command"] for name, service in WORKERS.items()} == {worker: ["worker", worker] for worker in (*STREAMS, *ALONE)}
    assert {name for name, service in WORKERS.items() if service["image"].startswith("trueloop-trainer:")} == {"trainer"}


@pytest.mark.parametrize("name", sorted(WORKERS))
def test_a_worker_waits_for_what_it_needs_and_says_when_it_is_ready(name: str, settings_of: Any) -> None:
    service = WORKERS[name]
    assert service["depends_on"]["setup"] == {"condition": "service_completed_successfully"}
    assert service["healthcheck"]["test"] == ["CMD", "test", "-f", service["environment"]["TRUELOOP_READY_FILE"]]
    assert any(mount.startswith(str(Path(service["environment"]["TRUELOOP_READY_FILE"]).parent) + ":") for mount in service["tmpfs"])
    assert service["restart"] == "unless-stopped"
    settings = settings_of(name)
    assert settings.kafka.bootstrap_servers == "kafka:9092"
    assert settings.clickhouse.embedded is False


def test_only_those_who_need_a_secret_have_it(settings_of: Any) -> None:
    with_password = {name for name in OURS if "TRUELOOP_CLICKHOUSE__PASSWORD" in seen_inside(name)}
    assert with_password == {"sink"}
    assert settings_of("sink").clickhouse.password.get_secret_value() == "given-by-host"
    assert settings_of("sampling").blinding_key.get_secret_value() == "given-by-host"
    assert not re.search(r"(PASSWORD|KEY): (?!\$\{)\S", (ROOT / "docker-compose.yml").read_text())


def test_a_misspelt_setting_is_noticed(settings_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SERVICES["sink"]["environment"], "TRUELOOP_KAKFA__BOOTSTRAP_SERVERS", "kafka:9092")
    with pytest.raises(ValueError, match="KAKFA"):
        settings_of("sink")


def test_a_trueloop_on_the_host_finds_the_services_without_any_setting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in [variable for variable in os.environ if variable.startswith("TRUELOOP_")]:
        monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)
    settings = load_settings()
    published = {port.rsplit(":", 1)[0] for service in SERVICES.values() for port in service.get("ports", [])}
    assert settings.kafka.bootstrap_servers in published
    assert settings.registry.url.split("/")[2] in published
    assert settings.clickhouse.url.split("/")[2] in published
    advertised = dict(part.split("://") for part in SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"].split(","))
    assert advertised["HOST"] == settings.kafka.bootstrap_servers


def test_the_registry_checks_schemas_and_forgets_none() -> None:
    environment = SERVICES["registry"]["environment"]
    assert environment["APICURIO_RULES_GLOBAL_COMPATIBILITY"] == "FULL_TRANSITIVE"
    assert "WRITE_DELAY=0" in environment["APICURIO_DATASOURCE_URL"]


def test_prometheus_scrapes_every_worker_where_it_serves(settings_of: Any) -> None:
    (mount,) = [mount for mount in SERVICES["prometheus"]["volumes"] if mount.startswith("./")]
    source, inside, mode = mount.split(":")
    assert mode == "ro"
    assert f"--config.file={inside}" in SERVICES["prometheus"]["command"]
    (job,) = yaml.safe_load((ROOT / source).read_text())["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    assert sorted(found["names"]) == sorted(WORKERS)
    for name, service in WORKERS.items():
        assert (settings_of(name).metrics.host, settings_of(name).metrics.port) == ("0.0.0.0", found["port"])
        assert "ports" not in service, "metrics have no accounts, so their port stays inside"


def test_prometheus_finds_the_workers_of_one_machine() -> None:
    config = ROOT / "ops" / "prometheus" / "one-machine.yml"
    (job,) = yaml.safe_load(config.read_text())["scrape_configs"]
    ((pattern,),) = [found["files"] for found in job["file_sd_configs"]]
    assert (config.parent / pattern).resolve().parent == ROOT / Settings.model_fields["state_dir"].default / targets.DIRECTORY
    assert pattern.endswith("/*.json")


def test_every_volume_is_declared_and_used() -> None:
    mounted = {mount.split(":")[0] for service in SERVICES.values() for mount in service.get("volumes", []) if mount[0].isalnum()}
    assert mounted == set(COMPOSE["volumes"])


def test_the_image_is_pinned_locked_and_not_root() -> None:
    bases = re.findall(r"^FROM (\S+)(?: AS (\S+))?", DOCKERFILE, re.MULTILINE)
    stages = {stage for _, stage in bases}
    assert all(base in stages or re.fullmatch(r"[\w./-]+:\d+\.\d+\.\d+[\w-]*", base) for base, _ in bases)
    assert {service["build"]["target"] for service in OURS.values()} <= stages
    installs = re.findall(r"pip install [^\n&]*", DOCKERFILE)
    assert installs
    assert all("--require-hashes" in install or "--no-deps /wheels/" in install for install in installs)
    assert re.search(r"^USER \d+$", DOCKERFILE, re.MULTILINE)
    for source in re.findall(r"^COPY (?!--from)(?:--\S+ )*(.+) \S+$", DOCKERFILE, re.MULTILINE):
        assert all((ROOT / path).exists() for path in source.split()), source


def test_setup_makes_topics_first_and_publishes_rubrics_before_policies(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "trueloop").write_text(f'#!/bin/sh\necho "$@" >> {calls}\n')
    (tmp_path / "bin" / "trueloop").chmod(0o755)
    for name in ("policies/a.toml", "rubrics/b.toml", "rubrics/c d.toml", "rubrics/notes.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    setup = ROOT / "ops" / "image" / "setup"
    subprocess.run([setup, tmp_path], env={"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}, check=True)
    told = [line.removeprefix("rubric publish ").replace(f"{tmp_path}/", "") for line in calls.read_text().splitlines()]
    assert told == ["topics create", "rubrics/b.toml", "rubrics/c d.toml", "policy publish policies/a.toml"]
    (tmp_path / "bin" / "trueloop").write_text("#!/bin/sh\nexit 3\n")
    assert subprocess.run([setup, tmp_path], env={"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}, check=False).returncode == 3
