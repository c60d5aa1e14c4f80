"""Writing a file so that a reader sees the old content or the new, never a part."""

import os
import threading
from pathlib import Path


def write_atomically(path: Path, content: str) -> None:
    """Replace `path` by `content`. Readers never see a part, even when the writer is killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    temporary.write_text(content, encoding="utf-8")
    temporary.replace(path)
