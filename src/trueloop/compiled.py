"""What was compiled when the package was installed: faster forms of a few functions, which do what their counterparts in Python do."""

import importlib
import os
from types import ModuleType

PURE_PYTHON = "TRUELOOP_PURE_PYTHON"
"""Set in the environment to anything but nothing, it has all of the package run in Python: what an installation without a compiler does."""


def compiled(name: str) -> ModuleType | None:
    """Return the compiled module `trueloop.<name>`; None when there was no compiler, or when Python is wanted.

    One that is there and cannot be loaded (it was built for another Python) is an error: it would be missed silently.
    """
    if os.environ.get(PURE_PYTHON):
        return None
    try:
        return importlib.import_module(f"trueloop.{name}")
    except ModuleNotFoundError:
        return None
