"""What a job reports of itself."""

import hashlib
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

_PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "tokenizers", "bitsandbytes")


@dataclass(frozen=True)
class TrainingReport:
    """The outcome of one job; everything that a `training-results` event needs.

    `tokens` counts each epoch again. `stopped_by` is the rule that ended training before its last step, None when it ran to its end.
    A reward model is no candidate: it is stored, and never evaluated, gated or released.
    """

    checkpoint_dir: str
    checkpoint_sha256: str
    metrics: dict[str, float]
    seconds: float
    tokens: int
    versions: dict[str, str]
    seed: int
    stopped_by: str | None = None
    is_candidate: bool = True


def package_versions() -> dict[str, str]:
    """Return the versions of the training packages that are installed; absent ones are left out."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def checkpoint_sha256(directory: Path) -> str:
    """Return the SHA-256 over the names and bytes of the weight files (sharded checkpoints have several), in name order."""
    digest = hashlib.sha256()
    for path in sorted(directory.glob("*.safetensors")):
        digest.update(path.name.encode() + b"\0")
        with path.open("rb") as weights:
            while block := weights.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
