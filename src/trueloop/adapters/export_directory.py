"""Exports on a file system: a directory appears whole or not at all, and nothing of somebody else's is overwritten."""

import json
import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path

from trueloop.datasets.export_files import MANIFEST, MANIFEST_FORMAT
from trueloop.errors import ExportError, UnavailableError


def write_export(directory: Path, files: Mapping[str, bytes], *, replace: bool = False) -> None:
    """Write files into a new directory, readable by its owner alone: it holds what people wrote.

    Raises:
        ExportError: the directory holds something, and `replace` is not set or it is no earlier export.
        UnavailableError: the disk is full, or does not take the files.
    """
    directory = directory.absolute()
    check_directory(directory, replace=replace)
    staged = directory.with_name(f".{directory.name}-{uuid.uuid4().hex}")
    try:
        for path, data in files.items():
            target = staged / path
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with target.open("xb") as writer:
                writer.write(data)
                writer.flush()
                os.fsync(writer.fileno())
        staged.chmod(0o700)
        _put(staged, directory)
    except OSError as error:
        raise UnavailableError(f"{str(directory)!r} cannot be written: {error.strerror}; expected a place with room for the export") from None
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def check_directory(directory: Path, *, replace: bool) -> None:
    """Find out before the work whether an export may be written there. Raises ExportError as `write_export` does."""
    if not directory.exists() and not directory.is_symlink():
        return
    if directory.is_symlink() or not directory.is_dir():
        raise ExportError(f"{str(directory)!r} is no directory; expected one that is empty or does not exist yet: choose another")
    if not any(directory.iterdir()):
        return
    if not replace:
        raise ExportError(f"{str(directory)!r} is not empty; expected a directory that is empty or does not exist yet: choose another, or use --force")
    if not _is_export(directory):
        raise ExportError(f"{str(directory)!r} holds something else than an export; --force replaces nothing but an earlier export: choose another")


def _is_export(directory: Path) -> bool:
    """Return whether all that lies there is what the manifest lists: --force must not delete what somebody put beside it."""
    try:
        manifest = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
        listed = {str(file["path"]) for file in manifest["files"]} | {MANIFEST}
        known = manifest["manifest"] == MANIFEST_FORMAT
    except (OSError, ValueError, KeyError, TypeError):
        return False
    present = {str(path.relative_to(directory)) for path in directory.rglob("*") if not path.is_dir()}
    return known and present <= listed


def _put(staged: Path, directory: Path) -> None:
    if not directory.exists():
        staged.rename(directory)
        return
    aside = directory.with_name(f".{directory.name}-{uuid.uuid4().hex}")
    directory.rename(aside)
    try:
        staged.rename(directory)
    except OSError:
        aside.rename(directory)
        raise
    shutil.rmtree(aside)
