"""On what a benchmark ran."""

import os
import platform
from importlib.metadata import version

TRAINING = ("torch", "transformers", "trl")
PACKAGES = ("trueloop", "faust-streaming", "aiokafka", "confluent-kafka", "fastavro", "chdb", "numpy")


def machine(*more: str) -> str:
    """Return machine and versions in one line, those of `more` packages too."""
    packages = ", ".join(f"{name} {version(name)}" for name in (*PACKAGES, *more))
    return f"{os.cpu_count()} CPUs, {platform.platform()}, Python {platform.python_version()}; {packages}"
