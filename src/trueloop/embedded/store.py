"""The artifacts on this machine: fetched once for all projects, verified in full before every start."""

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from trueloop.embedded import maven
from trueloop.embedded.artifacts import Bundle, load_lock, sha256_of_all
from trueloop.errors import IntegrityError

REPAIR = "trueloop fetch"


def default_directory() -> Path:
    """Return the directory that all projects of this user share: `$XDG_CACHE_HOME/trueloop`, by default `~/.cache/trueloop`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trueloop"


class ArtifactStore:
    """Locked files below one directory. Each bundle lives in a directory named after its content, so that versions coexist."""

    def __init__(self, root: Path | None = None, bundles: dict[str, Bundle] | None = None) -> None:
        self.root = root or default_directory()
        self.bundles = bundles or load_lock()

    def directory(self, name: str) -> Path:
        """Return where the files of a bundle are, unpacked if it is an archive."""
        return self.root / f"{name}-{self.bundles[name].digest}"

    def jars(self, name: str) -> list[Path]:
        """Return the jars of a bundle, in the order of the lock (the class cache depends on it)."""
        return [self.directory(name) / file.name for file in self.bundles[name].files]

    def missing(self, name: str) -> list[str]:
        """Return the names of locked files that are absent."""
        bundle = self.bundles[name]
        if bundle.manifest_sha256:
            return [] if self._manifest(name).exists() and self.directory(name).is_dir() else [bundle.files[0].name]
        return [file.name for file in bundle.files if not (self.directory(name) / file.name).exists()]

    def altered(self, name: str) -> list[str]:
        """Hash every file of a bundle that is present and return a sentence for each one that is not what the lock says."""
        bundle, directory = self.bundles[name], self.directory(name)
        if bundle.manifest_sha256:
            return self._altered_in_tree(name, bundle.manifest_sha256)
        present = [file for file in bundle.files if (directory / file.name).exists()]
        digests = sha256_of_all([directory / file.name for file in present])
        return [_sentence(directory / file.name, actual, file.sha256) for file, actual in zip(present, digests, strict=True) if actual != file.sha256]

    def verify(self, name: str) -> None:
        """Raise IntegrityError when a file of the bundle is not the locked one."""
        faults = self.altered(name)
        if faults:
            more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
            raise IntegrityError(f"{faults[0]}{more}. Nothing was started. Replace it with: {REPAIR}")

    def fetch(self, name: str, on_file: Callable[[str], None] = lambda _: None) -> None:
        """Download what is missing of a bundle. Two processes may do so at once: the second waits for the first."""
        with self._exclusive():
            bundle, directory = self.bundles[name], self.directory(name)
            absent = set(self.missing(name))
            files = [file for file in bundle.files if file.name in absent]
            if not files:
                return
            if not bundle.manifest_sha256:
                directory.mkdir(parents=True, exist_ok=True)
                maven.fetch(files, directory, on_file)
                return
            maven.fetch(files, self.root, on_file)
            archive = self.root / files[0].name
            maven.unpack(archive, directory)
            self._manifest(name).write_text(maven.manifest_of(directory), encoding="utf-8")
            archive.unlink()

    def repair(self, name: str, on_file: Callable[[str], None] = lambda _: None) -> None:
        """Replace altered files and fetch missing ones."""
        bundle, directory = self.bundles[name], self.directory(name)
        if bundle.manifest_sha256 and not self.missing(name) and self.altered(name):
            self._manifest(name).unlink()
        elif not bundle.manifest_sha256:
            for file, digest in zip(bundle.files, self._digests(name), strict=True):
                if digest not in (None, file.sha256):
                    (directory / file.name).unlink()
        self.fetch(name, on_file)

    def _digests(self, name: str) -> list[str | None]:
        paths = self.jars(name)
        present = [path for path in paths if path.exists()]
        digests = dict(zip(present, sha256_of_all(present), strict=True))
        return [digests.get(path) for path in paths]

    def _manifest(self, name: str) -> Path:
        return self.root / f"{self.directory(name).name}.manifest"

    def _altered_in_tree(self, name: str, manifest_sha256: str) -> list[str]:
        path, directory = self._manifest(name), self.directory(name)
        actual_text = maven.manifest_of(directory)
        # The tree's own manifest is what the lock vouches for. The stored copy only serves to name the file that differs.
        if hashlib.sha256(actual_text.encode()).hexdigest() == manifest_sha256:
            return []
        expected_text = path.read_text(encoding="utf-8")
        expected_sha256 = hashlib.sha256(expected_text.encode()).hexdigest()
        if expected_sha256 != manifest_sha256:
            return [_sentence(path, expected_sha256, manifest_sha256)]
        actual, expected = _parse_manifest(actual_text), _parse_manifest(expected_text)
        names = sorted(file for file in actual.keys() | expected.keys() if actual.get(file) != expected.get(file))
        return [_sentence(directory / file, actual.get(file), expected.get(file)) for file in names]

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _parse_manifest(text: str) -> dict[str, str]:
    return {path: digest for digest, path in (line.split("  ", 1) for line in text.splitlines())}


def _sentence(path: Path, actual: str | None, expected: str | None) -> str:
    if actual is None:
        return f"{path} is gone; expected sha256 {expected}"
    if expected is None:
        return f"{path} (sha256 {actual}) is not part of the artifact; expected no such file"
    return f"{path} has sha256 {actual}; expected {expected}"
