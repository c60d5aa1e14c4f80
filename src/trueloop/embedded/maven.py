"""Fetching locked files from a Maven repository through jgo, which knows the default repository."""

import hashlib
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from trueloop.embedded.artifacts import Bundle, LockedFile, sha256_of, sha256_of_all
from trueloop.errors import ConfigurationError, IntegrityError, UnavailableError

MIRROR_VARIABLE = "TRUELOOP_MAVEN_MIRROR"
_DOWNLOADS_AT_ONCE = 8
_TIMEOUT_S = 30


def _context(directory: Path) -> Any:
    try:
        from jgo.maven import MavenContext
    except ModuleNotFoundError:
        raise ConfigurationError(
            "the Python package 'jgo' is missing; expected it for the one-machine runtime. Run: pip install 'trueloop[embedded]'"
        ) from None
    mirror = os.environ.get(MIRROR_VARIABLE)
    remotes = {"mirror": mirror.rstrip("/")} if mirror else None
    return MavenContext(repo_cache=directory, remote_repos=remotes, timeout=_TIMEOUT_S)


def _source() -> str:
    mirror = os.environ.get(MIRROR_VARIABLE)
    return f"the mirror {mirror!r}" if mirror else "the default Maven repository"


def fetch(files: Sequence[LockedFile], target: Path, on_file: Callable[[str], None]) -> None:
    """Download files, check each against the lock, and put them into `target`; a file appears there whole and right, or not at all.

    Args:
        files: What to fetch.
        target: An existing directory.
        on_file: Called with the name of each file that has arrived, from several threads.

    Raises:
        UnavailableError: When the repository does not answer or lacks a file.
        IntegrityError: When what came is not what the lock names.
    """
    with tempfile.TemporaryDirectory(prefix=".incoming-", dir=target) as incoming:
        context = _context(Path(incoming))

        def fetch_one(file: LockedFile) -> None:
            try:
                arrived = Path(_artifact(context, file.coordinate).resolve())
            except (OSError, RuntimeError) as error:  # requests' errors are OSErrors
                raise UnavailableError(
                    f"cannot fetch {file.coordinate} from {_source()}: {type(error).__name__}. Expected to download {file.size / 1e6:.1f} MB once. "
                    f"Check the network, or name a mirror in {MIRROR_VARIABLE}, and run: trueloop fetch"
                ) from error
            actual = sha256_of(arrived)
            if actual != file.sha256:
                raise IntegrityError(
                    f"{file.name} from {_source()} has sha256 {actual}; expected {file.sha256}. Nothing was installed. Use another mirror ({MIRROR_VARIABLE})"
                )
            arrived.replace(target / file.name)
            on_file(file.name)

        with ThreadPoolExecutor(_DOWNLOADS_AT_ONCE) as pool:
            list(pool.map(fetch_one, files))


def lock_bundle(name: str, roots: Sequence[str]) -> Bundle:
    """Resolve coordinates with what they depend on, download everything, and return the bundle that locks it."""
    with tempfile.TemporaryDirectory() as directory:
        context = _context(Path(directory))
        artifacts = _with_dependencies(context, roots)
        with ThreadPoolExecutor(_DOWNLOADS_AT_ONCE) as pool:
            paths = [Path(path) for path in pool.map(lambda artifact: artifact.resolve(), artifacts)]
        files = [
            LockedFile(_coordinate(artifact), path.name, path.stat().st_size, digest)
            for artifact, path, digest in zip(artifacts, paths, sha256_of_all(paths), strict=True)
        ]
        files.sort(key=lambda file: file.name)
        if not files[0].name.endswith(".tar.gz"):
            return Bundle(name, tuple(files))
        tree = Path(directory) / "unpacked"
        unpack(paths[0], tree)
        return Bundle(name, tuple(files), hashlib.sha256(manifest_of(tree).encode()).hexdigest())


def _with_dependencies(context: Any, roots: Sequence[str]) -> list[Any]:
    """Return the artifacts of all roots and what they need; where two roots disagree on a version, the earlier root's stands.

    Each root is resolved alone: resolved together, the managed versions of one (a logging library that is tested against an old Kafka
    client) would replace what the other depends on.
    """
    found: dict[tuple[str, str], Any] = {}
    for root in roots:
        artifact = _artifact(context, root)
        needed = []
        if artifact.packaging == "jar":
            _, transitive = context.resolver.resolve([context.create_dependency(root)])
            needed = [dependency.artifact for dependency in transitive]
        for each in (artifact, *needed):
            found.setdefault((each.groupId, each.artifactId), each)
    return list(found.values())


def _artifact(context: Any, coordinate: str) -> Any:
    group, name, packaging, *classifier, version = coordinate.split(":")
    return context.project(group, name).at_version(version).artifact("".join(classifier), packaging)


def _coordinate(artifact: Any) -> str:
    parts = [artifact.groupId, artifact.artifactId, artifact.packaging, artifact.classifier, artifact.version]
    return ":".join(part for part in parts if part)


def unpack(archive: Path, target: Path) -> None:
    """Unpack a tar archive into `target`, which appears complete or not at all."""
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    with tarfile.open(archive) as tar:
        tar.extractall(partial, filter="data")
    shutil.rmtree(target, ignore_errors=True)
    partial.replace(target)


def manifest_of(tree: Path) -> str:
    """Return one line `SHA256  RELATIVE_PATH` per file below `tree`, in order of path."""
    files = sorted(path for path in tree.rglob("*") if path.is_file())
    return "".join(f"{digest}  {path.relative_to(tree).as_posix()}\n" for path, digest in zip(files, sha256_of_all(files), strict=True))
