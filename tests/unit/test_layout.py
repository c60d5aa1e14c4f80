"""Holds the layout: who may import whom, what is pure, how long things are, what the package consists of."""

import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.unit import layout_rules as rules

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MAPPED = {"trueloop.schemas": ROOT / "schemas", "trueloop.streams": ROOT / "streams", "trueloop.trainers": ROOT / "trainers"}


def folders() -> dict[str, Path]:
    """Every folder that holds Python modules, by the name of the package that it makes."""
    found = {}
    for name, root in {"trueloop": ROOT / "src" / "trueloop", **MAPPED}.items():
        for folder in (root, *(path for path in root.rglob("*") if path.is_dir())):
            if any(folder.glob("*.py")):
                found[".".join([name, *folder.relative_to(root).parts])] = folder
    return found


def modules() -> dict[str, str]:
    """Source text of every module by its name; packages under their own name."""
    found = {}
    for package, folder in folders().items():
        for path in folder.glob("*.py"):
            name = package if path.stem == "__init__" else f"{package}.{path.stem}"
            found[name] = path.read_text()
    return found


MODULES = modules()
INSIDE = {name: source for name, source in MODULES.items() if name != "trueloop"}


def project_files() -> Iterator[Path]:
    """Every file that is or may be committed: what .gitignore does not name."""
    ignored = (ROOT / ".gitignore").read_text().split()

    def walk(folder: Path) -> Iterator[Path]:
        for path in sorted(folder.iterdir()):
            if path.name == ".git" or path.is_symlink() or any(fnmatch(path.name, pattern.rstrip("/")) for pattern in ignored):
                continue
            if path.is_dir():
                yield from walk(path)
            else:
                yield path

    return walk(ROOT)


def holds(check: Callable[[str, str], list[str]], sources: dict[str, str]) -> None:
    findings = [finding for name, source in sources.items() for finding in check(name, source)]
    assert not findings, "\n" + "\n".join(findings)


def test_the_walk_finds_the_modules() -> None:
    assert {"trueloop.codec", "trueloop.events.trace", "trueloop.processors.processor", "trueloop.adapters.kafka", "trueloop.streams"} <= MODULES.keys()


def test_imports_point_inwards() -> None:
    holds(rules.outward_imports, INSIDE)


def test_client_libraries_stay_in_their_rooms() -> None:
    holds(rules.misplaced_clients, INSIDE)


def test_numbers_and_processors_know_no_clock_no_chance_and_no_machine() -> None:
    pure = {name: source for name, source in INSIDE.items() if name.split(".")[1] in rules.PURE}
    assert pure
    holds(rules.impurities, pure)


def test_modules_and_functions_are_short() -> None:
    holds(rules.oversized, MODULES)


def test_names_say_what_is_inside() -> None:
    vague = [
        str(path.relative_to(ROOT)) for path in project_files() if rules.is_vague(path.stem) or any(map(rules.is_vague, path.relative_to(ROOT).parts[:-1]))
    ]
    assert not vague


def test_nothing_names_this_machine_or_a_package_index() -> None:
    texts = {}
    for path in project_files():
        try:
            texts[str(path.relative_to(ROOT))] = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # an image or a recorded event
    holds(rules.addresses, texts)
    here = [name for name, text in texts.items() if f"{ROOT.as_posix()}/" in text]
    assert not here


def test_the_package_list_is_the_tree() -> None:
    assert sorted(PYPROJECT["tool"]["setuptools"]["packages"]) == sorted(folders())
    assert [name for name, folder in folders().items() if not (folder / "__init__.py").exists()] == []


def test_every_data_file_is_packaged() -> None:
    patterns = PYPROJECT["tool"]["setuptools"]["package-data"]
    left_out = []
    for package, folder in folders().items():
        inner = set(folders().values())
        for path in folder.rglob("*"):
            nearest = next(parent for parent in path.parents if parent in inner)
            if path.is_dir() or "__pycache__" in path.parts or path.suffix in (".py", ".so") or nearest != folder:
                continue
            if not any(fnmatch(path.relative_to(folder).as_posix(), pattern) for pattern in patterns.get(package, [])):
                left_out.append(str(path.relative_to(ROOT)))
    assert left_out == []


@pytest.mark.parametrize("name", ["streams", "trainers"])
def test_a_room_cannot_be_imported_under_two_names(name: str) -> None:
    twice = subprocess.run([sys.executable, "-c", f"import trueloop.{name}; import {name}"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert twice.returncode != 0
    assert f"ImportError: import trueloop.{name} instead of {name}" in twice.stderr
    once = subprocess.run([sys.executable, "-c", f"import trueloop.{name}"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert once.returncode == 0, once.stderr


def test_the_locks_of_the_images_are_cut_from_the_tested_one() -> None:
    def pins(name: str) -> set[str]:
        return {line.split()[0] for line in (ROOT / "requirements" / name).read_text().splitlines() if line[:1].isalnum()}

    assert pins("workers.txt") < pins("trainer.txt") < pins("lock.txt")
    assert not any(line.startswith(("torch==", "nvidia-")) for line in pins("workers.txt"))


@pytest.mark.parametrize(
    ("module", "source", "finding"),
    [
        ("trueloop.events.x", "import trueloop.gates.decide", "trueloop.gates.decide"),
        ("trueloop.gates.x", "from trueloop.processors import gating", "trueloop.processors.gating"),
        ("trueloop.gates.x", "def f():\n    from trueloop import adapters", "trueloop.adapters"),
        ("trueloop.processors.x", "from trueloop.adapters.kafka import Publisher", "trueloop.adapters.kafka"),
        ("trueloop.adapters.x", "import trueloop.streams.app", "trueloop.streams.app"),
        ("trueloop.codec", "from ..cli import main", "relative import"),
        ("trueloop.attic.x", "", "no place"),
        ("trueloop.codec", "from trueloop.attic import x", "nowhere"),
    ],
)
def test_the_rule_of_imports_can_fail(module: str, source: str, finding: str) -> None:
    assert finding in "".join(rules.outward_imports(module, source))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("trueloop.codec", "import confluent_kafka"),
        ("trueloop.processors.x", "async def f():\n    if True:\n        from faust import App"),
        ("trueloop.client", "import torch.nn as nn"),
        ("trueloop.streams.x", "import torch"),
        ("trueloop.trainers.x", "import faust"),
    ],
)
def test_the_rule_of_client_libraries_can_fail(module: str, source: str) -> None:
    assert rules.misplaced_clients(module, source)


@pytest.mark.parametrize(
    "source",
    [
        "import time", "from os import path", "import logging", "from datetime import datetime\nx = datetime.now()", "def f():\n    import random",
        "import numpy as np\nx = np.random.default_rng(1)", "x = open('file')", "print(1)",
    ],
)  # fmt: skip
def test_the_rule_of_purity_can_fail(source: str) -> None:
    assert rules.impurities("trueloop.gates.x", source)


def test_what_the_rules_allow_they_allow() -> None:
    source = "from typing import TYPE_CHECKING\nfrom trueloop.events import Trace\nif TYPE_CHECKING:\n    from trueloop.adapters import kafka\n"
    assert rules.outward_imports("trueloop.gates.x", source) == []
    assert rules.misplaced_clients("trueloop.adapters.x", "import confluent_kafka") == []
    assert rules.impurities("trueloop.gates.x", "from datetime import datetime\ndef f(now: datetime) -> int:\n    return now.year") == []


def test_the_rules_of_size_and_names_can_fail() -> None:
    assert rules.oversized("trueloop.x", "def f():\n" + "    x = 1\n" * rules.MAX_FUNCTION_LINES)
    assert rules.oversized("trueloop.x", "x = 1\n" * (rules.MAX_MODULE_LINES + 1))
    assert not rules.oversized("trueloop.x", "def f():\n" + "    x = 1\n" * (rules.MAX_FUNCTION_LINES - 1))
    assert rules.is_vague("kafka_utils")
    assert not rules.is_vague("futility")


@pytest.mark.parametrize(
    "line", ["/ro" + "ot/x", "'/ho" + "me/jane/x'", "pip install --index" + "-url X", "files.python" + "hosted.org", "pypi" + ".org/simple"]
)
def test_the_rule_of_addresses_can_fail(line: str) -> None:
    assert rules.addresses("file", line)
    assert not rules.addresses("file", "schemas/home/trace.avsc, ./root/x, http://127.0.0.1:18081")
