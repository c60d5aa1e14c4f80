"""The demo's base model: trained by this code on a corpus with known faults, cached by its recipe, never shipped."""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from trueloop.demo import billing

CORPUS_SALT = "base corpus 1"

Progress = Callable[[int, int], None]


def cache_root() -> Path:
    """Return where base checkpoints are kept between demos: they depend on their recipe only."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "trueloop" / "demo"


def recipe_hash() -> str:
    """Return a hash over all that decides the bytes of the base checkpoint."""
    from trueloop.trainers import tiny_lm

    sources = [Path(module.__file__ or "").read_bytes() for module in (billing, tiny_lm)]
    return hashlib.sha256(b"\0".join([CORPUS_SALT.encode(), *sources])).hexdigest()[:16]


def cached() -> Path | None:
    """Return the cached base checkpoint, or None when it has to be trained first."""
    found = cache_root() / recipe_hash()
    return found if found.is_dir() else None


def train(progress: Progress) -> Path:
    """Train the base checkpoint and return its directory. Takes about 120 CPU seconds."""
    from trueloop.trainers import tiny_lm

    target = cache_root() / recipe_hash()
    staged = target.with_name(f"{target.name}.{os.getpid()}.partial")
    shutil.rmtree(staged, ignore_errors=True)
    corpus = billing.base_corpus(CORPUS_SALT)
    tiny_lm.main(tiny_lm.Config(output_dir=staged), corpus, lambda step, total, _metrics: progress(step, total))
    staged.replace(target)  # whoever finds the directory finds it whole
    return target
