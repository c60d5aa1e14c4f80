"""The model store: checkpoints on a file system, addressed by their content and verified before use.

    ROOT/checkpoints/ID/          the files, and manifest.json, written last
    ROOT/staging/                 copies in progress; safe to delete while nothing runs

An id is the first 32 hex digits of the SHA-256 over names and hashes of the files. A URI is `models://ID`: it can name nothing outside the
root, whatever event it came from.
"""

import hashlib
import json
import os
import re
import shutil
import stat
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trueloop.errors import ConfigurationError, IntegrityError
from trueloop.rubrics import canonical_json

MANIFEST = "manifest.json"
SCHEME = "models://"
_FORMAT = 1
_ID = re.compile(r"[0-9a-f]{32}")
_ALLOWED = (".safetensors", ".json", ".txt", ".model", ".jinja")
_EXECUTABLE = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".py", ".so")
_SETTLED_NS = 2_000_000_000
"""A file younger than this at its verification may change again within the resolution of its time stamps, so it is not remembered."""

_ABANDONED_S = 24 * 3600
"""A copy in progress that nothing touched for a day belongs to a process that was killed."""

_verified: dict[tuple[str, int, int, int, int], str] = {}


@dataclass(frozen=True, slots=True)
class StoredCheckpoint:
    """A checkpoint in the store: its id, `models://ID`, the SHA-256 over its files (64 hex digits), and what was said of it when stored."""

    checkpoint: str
    uri: str
    sha256: str
    metadata: Mapping[str, Any]


class ModelStore:
    """Checkpoints under a root directory. Several processes may use one root."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._checkpoints = self.root / "checkpoints"
        self._staging = self.root / "staging"

    def put(self, directory: Path, metadata: Mapping[str, Any] | None = None) -> StoredCheckpoint:
        """Copy a checkpoint into the store and return it; the same files give the same checkpoint, with the metadata of the first time.

        Raises ConfigurationError when the directory holds anything but safetensors, JSON, tokenizer and text files: pickled weights and
        Python files run code when they are loaded.
        """
        names = _checkpoint_files(directory)
        self._staging.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._checkpoints.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._sweep()
        staged = self._staging / uuid.uuid4().hex
        staged.mkdir(mode=0o700)
        try:
            # Hashing the copy, not the source, makes the manifest true of what is stored even if the source changes meanwhile.
            hashes = {name: _copy(directory / name, staged / name) for name in names}
            digest = _digest(hashes)
            checkpoint = digest[:32]
            found = self._intact(checkpoint)
            if found is not None:
                return found
            manifest = {"format": _FORMAT, "checkpoint": checkpoint, "sha256": digest, "files": hashes, "metadata": dict(metadata or {})}
            _write_durably(staged / MANIFEST, canonical_json(manifest))
            self._publish(staged, checkpoint)
        finally:
            shutil.rmtree(staged, ignore_errors=True)
        return self.checkpoint(SCHEME + checkpoint)

    def checkpoint(self, uri: str) -> StoredCheckpoint:
        """Return what the store knows of a checkpoint, without verifying its files. Raises as `resolve` does."""
        manifest = self._manifest(self._directory(uri))
        return StoredCheckpoint(manifest["checkpoint"], uri, manifest["sha256"], manifest["metadata"])

    def resolve(self, uri: str, sha256: str | None = None) -> Path:
        """Return the directory of a checkpoint after verifying every file.

        Raises ConfigurationError when the URI is not of this store or names no checkpoint, IntegrityError when a file is missing, added or
        changed, or when the whole is not the one that `sha256` asks for.
        """
        directory = self._directory(uri)
        manifest = self._manifest(directory)
        if sha256 is not None and sha256 != manifest["sha256"]:
            raise IntegrityError(f"checkpoint {uri!r} has SHA-256 {manifest['sha256']}; expected {sha256}: do not use it, train or register again")
        files: dict[str, str] = manifest["files"]
        entries = {entry.name: entry.is_file(follow_symlinks=False) for entry in os.scandir(directory)}
        present = entries.keys() - {MANIFEST}
        for name in sorted(present ^ files.keys()):
            what = "is missing from" if name in files else "was added to"
            raise IntegrityError(f"file {name!r} {what} checkpoint {uri!r}; expected exactly the files of its manifest: restore it from a copy, or train again")
        for name, expected in files.items():
            actual = _verified_hash(directory / name) if entries[name] else "none, as it is no plain file"
            if actual != expected:
                raise IntegrityError(
                    f"file {name!r} of checkpoint {uri!r} has SHA-256 {actual}; expected {expected}: it was changed after it was stored. "
                    "Restore it from a copy, or train again"
                )
        return directory

    def _intact(self, checkpoint: str) -> StoredCheckpoint | None:
        uri = SCHEME + checkpoint
        try:
            self.resolve(uri)
        except (ConfigurationError, IntegrityError):
            return None
        return self.checkpoint(uri)

    def _sweep(self) -> None:
        """Remove copies that a killed process left behind."""
        for entry in os.scandir(self._staging):
            if time.time() - entry.stat(follow_symlinks=False).st_mtime > _ABANDONED_S:
                shutil.rmtree(entry.path, ignore_errors=True)

    def _publish(self, staged: Path, checkpoint: str) -> None:
        target = self._checkpoints / checkpoint
        if target.exists():
            # What is there is damaged: right files of the same id replace it.
            target.rename(self._staging / f"damaged-{uuid.uuid4().hex}")
        try:
            staged.rename(target)
        except OSError:
            if self._intact(checkpoint) is None:  # otherwise another process stored the same checkpoint just now
                raise
        _sync_directory(self._checkpoints)

    def _directory(self, uri: str) -> Path:
        checkpoint = uri.removeprefix(SCHEME)
        if not uri.startswith(SCHEME) or not _ID.fullmatch(checkpoint):
            raise ConfigurationError(f"checkpoint URI {uri[:100]!r} is none of this store; expected {SCHEME}ID, ID being 32 hex digits: store the model first")
        directory = self._checkpoints / checkpoint
        if directory.is_symlink() or not (directory / MANIFEST).is_file():
            raise ConfigurationError(f"no checkpoint {uri!r} in the model store; is models_dir the one it was stored in?")
        return directory

    def _manifest(self, directory: Path) -> dict[str, Any]:
        """Return the manifest, with the proof that its id is that of its list of files."""
        try:
            manifest = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
            digest = _digest({str(name): str(value) for name, value in manifest["files"].items()})
            sound = manifest["format"] == _FORMAT and isinstance(manifest["metadata"], dict)
        except (ValueError, KeyError, TypeError, AttributeError):
            sound, digest = False, ""
        if not sound or manifest["sha256"] != digest or not digest.startswith(directory.name) or manifest["checkpoint"] != directory.name:
            raise IntegrityError(f"file {MANIFEST!r} of checkpoint {directory.name!r} is damaged; expected the one it was stored with: restore it from a copy")
        return dict(manifest)


def _checkpoint_files(directory: Path) -> list[str]:
    """Return the names of a checkpoint's files. Raises ConfigurationError naming what must not be in one."""
    if not directory.is_dir():
        raise ConfigurationError(f"no directory {str(directory)!r}; expected one that holds a checkpoint")
    names = []
    for entry in sorted(os.scandir(directory), key=lambda entry: entry.name):
        suffix = Path(entry.name).suffix.lower()
        if not entry.is_file(follow_symlinks=False):
            raise ConfigurationError(f"{entry.name!r} in {str(directory)!r} is a link or a directory; expected plain files only: copy what it names")
        if suffix in _EXECUTABLE:
            raise ConfigurationError(f"{entry.name!r} in {str(directory)!r} runs code when loaded; expected safetensors: save with safe_serialization=True")
        if suffix not in _ALLOWED:
            raise ConfigurationError(f"{entry.name!r} in {str(directory)!r} is no checkpoint file; expected {', '.join(_ALLOWED)}: remove it")
        if entry.name != MANIFEST:
            names.append(entry.name)
    if not any(name.endswith(".safetensors") for name in names):
        raise ConfigurationError(f"no .safetensors file in {str(directory)!r}; expected the weights: save with safe_serialization=True")
    return names


def _copy(source: Path, target: Path) -> str:
    digest = hashlib.sha256()
    # O_NOFOLLOW closes the gap between the check for links and the copy.
    descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ConfigurationError(f"{source.name!r} became something else than a plain file while it was copied; store the checkpoint again")
    with os.fdopen(descriptor, "rb") as reader, target.open("xb") as writer:
        while block := reader.read(1 << 20):
            digest.update(block)
            writer.write(block)
        writer.flush()
        os.fsync(writer.fileno())
    return digest.hexdigest()


def _digest(hashes: Mapping[str, str]) -> str:
    return hashlib.sha256(canonical_json(dict(hashes)).encode()).hexdigest()


def _verified_hash(path: Path) -> str:
    """Return the SHA-256 of a file, remembered while inode, size and both time stamps stay: the change time cannot be set back."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb") as reader:
        before = os.fstat(descriptor)
        key = (str(path), before.st_ino, before.st_size, before.st_mtime_ns, before.st_ctime_ns)
        if key in _verified:
            return _verified[key]
        found = hashlib.file_digest(reader, "sha256").hexdigest()
        if time.time_ns() - max(before.st_mtime_ns, before.st_ctime_ns) > _SETTLED_NS:
            _verified[key] = found
        return found


def _write_durably(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.new")
    with temporary.open("x", encoding="utf-8") as writer:
        writer.write(text)
        writer.flush()
        os.fsync(writer.fileno())
    temporary.rename(path)
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
