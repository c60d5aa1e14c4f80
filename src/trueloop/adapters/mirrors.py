"""A checkpoint of the model store as other tools read it: an MLflow model directory, or a folder that is ready for the Hugging Face Hub.

Both are copies of verified files. Nothing is uploaded: what carries them further is `mlflow` or `hf upload`, with their own accounts.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trueloop.adapters.adapter_checkpoint import ADAPTER_CONFIG, base_uri, is_adapter
from trueloop.adapters.model_store import MANIFEST, ModelStore, StoredCheckpoint
from trueloop.errors import ConfigurationError, IntegrityError

_TOKENIZER = ("tokenizer", "special_tokens_map", "added_tokens", "vocab", "merges", "chat_template", "spiece", "sentencepiece")
_VLLM_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""What `--max-lora-rank` may be (vLLM's LoRA configuration)."""


def mlflow_mirror(store: ModelStore, uri: str, target: Path) -> Path:
    """Write an MLflow model directory with the `transformers` flavour, which `mlflow.transformers.load_model(target)` reads.

    Weights lie in `model`, the tokenizer in `components/tokenizer`; an adapter lies in `peft`, beside its base. `MLmodel` is written as JSON, which
    is YAML too. There is no `python_function` flavour: it would need MLflow to write it.

    Raises:
        ConfigurationError: the target holds something, the checkpoint or its base is not in the store, or it is no model of transformers.
        IntegrityError: a file was changed after it was stored.
    """
    stored, directory = store.checkpoint(uri), store.resolve(uri)
    adapter = is_adapter(directory)
    weights = store.resolve(base_uri(directory)) if adapter else directory

    def fill(staged: Path) -> None:
        _copy(weights, staged / "model", lambda name: not _of_tokenizer(name))
        _copy(directory, staged / "components" / "tokenizer", _of_tokenizer)
        if adapter:
            _copy(directory, staged / "peft", lambda name: name.startswith("adapter_"))
        (staged / "MLmodel").write_text(json.dumps(_mlmodel(stored, directory, weights, adapter), indent=2) + "\n", encoding="utf-8")

    return _written(target, fill)


def hub_mirror(store: ModelStore, uri: str, target: Path) -> Path:
    """Write a folder with the checkpoint's files and a model card: what `hf upload` takes, and what vLLM and transformers load.

    An adapter is left an adapter: `adapter_config.json` and `adapter_model.safetensors`, which vLLM takes as a LoRA module of its base.

    Raises as `mlflow_mirror` does.
    """
    stored, directory = store.checkpoint(uri), store.resolve(uri)

    def fill(staged: Path) -> None:
        _copy(directory, staged, lambda _: True)
        (staged / "README.md").write_text(_card(stored, directory), encoding="utf-8")

    return _written(target, fill)


def vllm_faults(directory: Path) -> list[str]:
    """Return why vLLM would not load an adapter; nothing when it would, or when the checkpoint is no adapter.

    Its rules: rank, alpha and target modules are named, no DoRA, no modules beside the adapter's own, no trained biases, a rank within
    `--max-lora-rank`, and the weights in safetensors (vllm/lora/peft_helper.py).
    """
    if not is_adapter(directory):
        return []
    config = _json(directory / ADAPTER_CONFIG)
    faults = [f"{ADAPTER_CONFIG} lacks {key!r}" for key in ("r", "lora_alpha", "target_modules") if not config.get(key)]
    faults += [f"{key} is set" for key in ("use_dora", "modules_to_save") if config.get(key)]
    faults += [f"bias is {config['bias']!r}; expected 'none'"] if config.get("bias", "none") != "none" else []
    rank = config.get("r")
    faults += [f"rank {rank} is above {_VLLM_RANKS[-1]}"] if isinstance(rank, int) and rank > _VLLM_RANKS[-1] else []
    return faults + ([] if (directory / "adapter_model.safetensors").is_file() else ["there is no adapter_model.safetensors"])


def vllm_command(store: ModelStore, uri: str, served: Path) -> str:
    """Return the command that serves a mirrored checkpoint: a whole model by itself, an adapter as a LoRA module of its base."""
    directory = store.resolve(uri)
    if not is_adapter(directory):
        return f"vllm serve {served}"
    base, rank = store.resolve(base_uri(directory)), int(_json(directory / ADAPTER_CONFIG).get("r") or 0)
    most = next((allowed for allowed in _VLLM_RANKS if allowed >= rank), _VLLM_RANKS[-1])
    return f"vllm serve {base} --enable-lora --max-lora-rank {most} --lora-modules {served.name}={served}"


def _written(target: Path, fill: Callable[[Path], None]) -> Path:
    """Fill a folder beside the target and rename it, so that a half-written mirror is never found under its name."""
    target = target.absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConfigurationError(f"{str(target)!r} holds something already; expected a folder that is empty or not there: name another")
    target.parent.mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        fill(staged)
        staged.chmod(0o755)
        staged.rename(target)
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        raise
    return target


def _copy(source: Path, target: Path, wanted: Callable[[str], bool]) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for entry in sorted(os.scandir(source), key=lambda entry: entry.name):
        if entry.name != MANIFEST and wanted(entry.name):
            shutil.copyfile(entry.path, target / entry.name, follow_symlinks=False)


def _of_tokenizer(name: str) -> bool:
    return name.startswith(_TOKENIZER)


def _mlmodel(stored: StoredCheckpoint, directory: Path, weights: Path, adapter: bool) -> dict[str, Any]:
    config = _json(weights / "config.json")
    architectures = config.get("architectures") or []
    if not architectures:
        raise ConfigurationError(f"config.json of checkpoint {weights.name!r} names no architecture; expected a model that transformers saved")
    flavour: dict[str, Any] = {
        "task": "text-generation",
        "instance_type": "TextGenerationPipeline",
        "pipeline_model_type": architectures[0],
        "source_model_name": stored.uri,
        "model_binary": "model",
        "tokenizer_type": _json(directory / "tokenizer_config.json").get("tokenizer_class") or "PreTrainedTokenizerFast",
        "components": ["tokenizer"],
        "transformers_version": config.get("transformers_version"),
        "code": None,
    }
    if adapter:
        flavour["peft_adaptor"] = "peft"
    return {
        "flavors": {"transformers": flavour},
        "metadata": {"checkpoint": stored.checkpoint, "sha256": stored.sha256, **_told(stored)},
        "model_size_bytes": sum(file.stat().st_size for part in {directory, weights} for file in part.glob("*.safetensors")),
        "model_uuid": stored.checkpoint,
        "utc_time_created": datetime.fromtimestamp((directory / MANIFEST).stat().st_mtime, UTC).strftime("%Y-%m-%d %H:%M:%S.%f"),
    }


def _card(stored: StoredCheckpoint, directory: Path) -> str:
    adapter = is_adapter(directory)
    rows = {"checkpoint": stored.uri, "sha256": stored.sha256, **_told(stored)}
    if adapter:
        rows["base"] = base_uri(directory)
    table = "\n".join(f"| {name} | `{str(value).replace('|', ' ').replace('`', ' ')}` |" for name, value in rows.items())
    return (
        f"---\nlibrary_name: {'peft' if adapter else 'transformers'}\npipeline_tag: text-generation\ntags:\n- trueloop\n---\n\n"
        f"# {stored.checkpoint}\n\n{'An adapter' if adapter else 'A model'} that Trueloop trained or was given. "
        "Whether it may serve was decided by a gate on held-out prompts: `trueloop gate show` tells on what evidence. "
        "Before you publish it, add its licence and what it is meant for.\n\n"
        f"| | |\n|---|---|\n{table}\n"
    )


def _told(stored: StoredCheckpoint) -> dict[str, str]:
    """What was said of the checkpoint when it was stored, as text."""
    return {name: str(value) for name, value in sorted(stored.metadata.items()) if isinstance(value, (str, int, float))}


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(f"checkpoint {path.parent.name!r} has no {path.name}; expected one that transformers or peft saved") from None
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise IntegrityError(f"{path.name} of checkpoint {path.parent.name!r} is no JSON object; expected the one that was saved: store it again")
    return content
