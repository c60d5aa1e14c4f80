"""What every training job returns, and what it writes beside its checkpoint."""

import hashlib
import json
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from pydantic import BaseModel

CONFIG_FILE_NAME = "trueloop_config.json"
_PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "tokenizers")


@dataclass(frozen=True)
class TrainingReport:
    """The outcome of one job; everything that a `training-results` event needs."""

    checkpoint_dir: str
    checkpoint_sha256: str
    metrics: dict[str, float]
    seconds: float
    tokens: int
    versions: dict[str, str]
    seed: int


def package_versions() -> dict[str, str]:
    """The versions of the training packages that are installed; absent ones are left out."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def write_config(config: BaseModel, output_dir: Path) -> None:
    """Write the job's configuration next to the weights, so that a checkpoint says how it was made."""
    text = json.dumps(config.model_dump(mode="json"), indent=2, sort_keys=True)
    (output_dir / CONFIG_FILE_NAME).write_text(text + "\n", encoding="utf-8")


def checkpoint_sha256(directory: Path) -> str:
    """SHA-256 over the names and bytes of the weight files (sharded checkpoints have several), in name order."""
    digest = hashlib.sha256()
    for path in sorted(directory.glob("*.safetensors")):
        digest.update(path.name.encode() + b"\0")
        with path.open("rb") as weights:
            while block := weights.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
