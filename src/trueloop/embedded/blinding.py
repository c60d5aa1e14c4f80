"""The blinding key of a one-machine deployment: made once, kept beside its state, readable by its owner only."""

import os
import secrets
from pathlib import Path


def blinding_key(state_dir: Path) -> str:
    """Return the key of this state directory, making it on first use. The same key must blind for ever: task and candidate ids hang on it."""
    path = state_dir / "blinding.key"
    state_dir.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text(encoding="ascii").strip()
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(32) + "\n")
    return path.read_text(encoding="ascii").strip()
