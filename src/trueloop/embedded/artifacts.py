"""The committed lock of the Java artifacts: which files, from which coordinates, with which SHA-256.

`python -m trueloop.embedded.artifacts lock` resolves the coordinates again and rewrites `artifacts.lock.json`.
"""

import hashlib
import json
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from trueloop.errors import ConfigurationError

LOCK_FILE = Path(__file__).with_name("artifacts.lock.json")
KAFKA = "kafka"
REGISTRY = "schema-registry"
ROOTS: dict[str, tuple[str, ...]] = {
    # The binding is of the log4j version that Kafka itself depends on: without one, slf4j 1.7 throws the broker's log away.
    KAFKA: ("org.apache.kafka:kafka_2.13:jar:4.3.1", "org.apache.logging.log4j:log4j-slf4j-impl:jar:2.25.4"),
    REGISTRY: ("io.apicurio:apicurio-registry-app:tar.gz:all:3.3.3",),
}
_FORMAT = 1
_HASH_THREADS = 2


@dataclass(frozen=True, slots=True)
class LockedFile:
    """A file of the Maven repository. `coordinate` is `group:artifact:packaging[:classifier]:version`."""

    coordinate: str
    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Bundle:
    """Files that make up one program. A bundle that is one archive is unpacked; `manifest_sha256` then vouches for the unpacked files."""

    name: str
    files: tuple[LockedFile, ...]
    manifest_sha256: str | None = None

    @cached_property
    def digest(self) -> str:
        """Sixteen hex digits that change with any file."""
        return hashlib.sha256("".join(file.sha256 for file in self.files).encode()).hexdigest()[:16]


def load_lock(path: Path = LOCK_FILE) -> dict[str, Bundle]:
    """Return the bundles of the lock by name. Raises ConfigurationError when the lock is not one."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != _FORMAT:
            raise ConfigurationError(f"{path} has format {content['format']!r}; expected {_FORMAT}. Install trueloop again")
        return {name: _bundle(name, entry) for name, entry in content["bundles"].items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, ConfigurationError):
            raise
        raise ConfigurationError(f"{path} is not a lock of artifacts ({error!r}). Install trueloop again") from None


def render_lock(bundles: Iterable[Bundle]) -> str:
    """Return the text of a lock file."""
    content: dict[str, Any] = {"format": _FORMAT, "bundles": {}}
    for bundle in bundles:
        entry: dict[str, Any] = {
            "files": [{"coordinate": file.coordinate, "name": file.name, "size": file.size, "sha256": file.sha256} for file in bundle.files]
        }
        if bundle.manifest_sha256:
            entry["manifest_sha256"] = bundle.manifest_sha256
        content["bundles"][bundle.name] = entry
    return json.dumps(content, indent=1) + "\n"


def _bundle(name: str, entry: dict[str, Any]) -> Bundle:
    files = tuple(LockedFile(str(f["coordinate"]), str(f["name"]), int(f["size"]), str(f["sha256"])) for f in entry["files"])
    return Bundle(name, files, entry.get("manifest_sha256"))


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_all(paths: Sequence[Path]) -> list[str]:
    """Return the SHA-256 of each file. Hashing releases the GIL, so two threads take half the time."""
    with ThreadPoolExecutor(_HASH_THREADS) as pool:
        return list(pool.map(sha256_of, paths))


def write_lock(path: Path = LOCK_FILE) -> None:
    """Resolve `ROOTS` from the Maven repository and write the lock. For maintainers, after a change of version."""
    from trueloop.embedded.maven import lock_bundle

    path.write_text(render_lock(lock_bundle(name, roots) for name, roots in ROOTS.items()), encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] != ["lock"]:
        sys.exit(f"expected `python -m trueloop.embedded.artifacts lock`, got arguments {sys.argv[1:]!r}")
    write_lock()
