"""The doctests of streams/ and trainers/. Pytest collects those of src/ by itself; these two are modules of `trueloop` under another path."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def shown(folder: str) -> list[str]:
    """Modules of a folder that show an example."""
    paths = [path.relative_to(ROOT) for path in sorted((ROOT / folder).rglob("*.py")) if ">>> " in path.read_text(encoding="utf-8")]
    return [".".join(("trueloop", *path.with_suffix("").parts)) for path in paths]


@pytest.mark.parametrize("name", [*shown("streams"), *shown("trainers")])
def test_the_examples_in_the_text_are_true(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted > 0
    assert found.failed == 0
