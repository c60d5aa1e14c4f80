"""On what a benchmark ran."""

import os
import platform
from importlib.metadata import version

PACKAGES = ("trueloop", "faust-streaming", "aiokafka", "confluent-kafka", "fastavro", "chdb", "numpy")


def machine() -> str:
    """Return machine and versions in one line."""
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"{os.cpu_count()} CPUs, {platform.platform()}, Python {platform.python_version()}; {packages}"
