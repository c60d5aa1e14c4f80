"""The model that a job trains: loaded from a checkpoint, in the precision and with the adapter that the settings ask for."""

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trueloop.trainers.base_files import check_base
from trueloop.trainers.frame.job_config import JobConfig

from trueloop.adapters.adapter_checkpoint import base_uri, is_adapter
from trueloop.adapters.model_store import ModelStore
from trueloop.errors import ConfigurationError


@dataclass(frozen=True)
class Policy:
    """A causal language model, its tokenizer, and the LoRA that is to be trained on it (None: all its weights are).

    TRL's trainers take `model` and `adapter` apart (`peft_config`) and then need no reference model of their own: it is the model without
    the adapter. A loop of one's own trains `trainable()`.
    """

    model: Any
    tokenizer: Any
    adapter: Any

    def trainable(self) -> Any:
        """Return the model to be trained, with the adapter in it."""
        if self.adapter is None:
            return self.model
        from peft import get_peft_model

        return get_peft_model(self.model, self.adapter)


def prepare(config: JobConfig) -> None:
    """Set what the training libraries read when they are imported, and torch's threads. Raises ConfigurationError without a whole checkpoint."""
    check_base(config.model_dir, str(config.model_dir))
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["TQDM_DISABLE"] = "1"
    import torch
    from datasets import disable_progress_bars
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bars()
    disable_progress_bar()
    if config.threads is not None:
        torch.set_num_threads(config.threads)


def computes_in_bf16(config: JobConfig) -> bool:
    """Return whether the passes are in bfloat16. Raises ConfigurationError when the settings ask for it and the device lacks it."""
    import torch

    if config.precision == "float32":
        return False
    if torch.cuda.is_available():
        if torch.cuda.is_bf16_supported():
            return True
        if config.precision == "bf16":
            raise ConfigurationError("precision is 'bf16', which this GPU has not; expected an Ampere or newer: set precision to 'float32'")
        return False
    return config.precision == "bf16"


def load_policy(config: JobConfig) -> Policy:
    """Load the checkpoint of `config.model_dir` for training. Nothing is fetched from elsewhere, and no code of the checkpoint runs.

    Weights that are trained are held in float32, whatever the passes compute in, because an update may be smaller than bfloat16 resolves; those
    under a LoRA are held in the precision of the passes, those under a QLoRA in 4 bits.

    Raises:
        ConfigurationError: there is no tokenizer or chat template, the device cannot do what the settings ask for, or an adapter's base is not
            in the model store.
    """
    import torch

    if config.save == "adapter" and is_adapter(config.model_dir):
        raise ConfigurationError("save is 'adapter' and model_dir holds an adapter; expected whole weights as its base: set save to 'merged'")
    tokenizer = load_tokenizer(config.model_dir)
    frozen_bf16 = config.adapter != "full" and computes_in_bf16(config)
    quantization = _four_bits() if config.adapter == "qlora" else None
    model = load_causal_model(config.model_dir, config.models_dir, dtype=torch.bfloat16 if frozen_bf16 else torch.float32, quantization=quantization)
    return Policy(model, tokenizer, lora_of(config, task="CAUSAL_LM"))


def load_causal_model(directory: Path, models_dir: Path | None = None, *, dtype: Any = "auto", quantization: Any = None) -> Any:
    """Return the causal language model of a checkpoint. One that is an adapter is merged into its base, which `models_dir` must hold.

    `dtype` is a dtype of torch, or "auto" for that of the checkpoint. Raises ConfigurationError when an adapter's base is not in the store,
    IntegrityError when it was changed.
    """
    from transformers import AutoModelForCausalLM

    settings = {"local_files_only": True, "trust_remote_code": False, "use_safetensors": True, "dtype": dtype}
    if quantization is not None:
        settings["quantization_config"] = quantization
    if not is_adapter(directory):
        return AutoModelForCausalLM.from_pretrained(directory, **settings)
    if quantization is not None:
        raise ConfigurationError(f"checkpoint {directory.name!r} is an adapter; expected whole weights under adapter = 'qlora': store it merged")
    from peft import PeftModel

    base = AutoModelForCausalLM.from_pretrained(adapter_base(directory, models_dir), **settings)
    return PeftModel.from_pretrained(base, str(directory)).merge_and_unload()


def adapter_base(directory: Path, models_dir: Path | None) -> Path:
    """Return the verified directory of the checkpoint that an adapter belongs to.

    Raises ConfigurationError unless it names one of the model store, and that is known.
    """
    base = base_uri(directory)
    if models_dir is None:
        raise ConfigurationError(
            f"adapter {directory.name!r} belongs to {base!r}, and models_dir is not set; expected the root of the model store that holds it"
        )
    return ModelStore(models_dir).resolve(base)


def load_tokenizer(directory: Path) -> Any:
    """Return the tokenizer of a checkpoint. Raises ConfigurationError when there is none, or it has no chat template."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"no tokenizer in model_dir {str(directory)!r} ({type(error).__name__}); expected one: add tokenizer.json to it") from error
    if not tokenizer.chat_template:
        raise ConfigurationError(f"the tokenizer in model_dir {str(directory)!r} has no chat template; expected one: add chat_template.jinja to the checkpoint")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def lora_of(config: JobConfig, *, task: str, also_trained: tuple[str, ...] = ()) -> Any:
    """Return the LoraConfig of peft that the settings ask for, None when all weights are trained. `also_trained` names layers trained whole."""
    if config.adapter == "full":
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=config.lora.rank,
        lora_alpha=config.lora.alpha,
        lora_dropout=config.lora.dropout,
        target_modules=list(config.lora.targets) or "all-linear",
        modules_to_save=list(also_trained) or None,
        task_type=task,
        bias="none",
    )


def _four_bits() -> Any:
    """NF4 with double quantisation (Dettmers et al. 2023, arXiv:2305.14314)."""
    import torch

    if not torch.cuda.is_available() or importlib.util.find_spec("bitsandbytes") is None:
        raise ConfigurationError("adapter is 'qlora', which needs a CUDA GPU and the package bitsandbytes; install both, or set adapter to 'lora'")
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=torch.bfloat16)
