"""Mirrors of checkpoints: what MLflow, the Hub and vLLM are to find."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from trueloop import cli
from trueloop.adapters.mirrors import hub_mirror, mlflow_mirror, vllm_command, vllm_faults
from trueloop.adapters.model_store import ModelStore, StoredCheckpoint
from trueloop.errors import ConfigurationError, IntegrityError

ADAPTER = {"r": 12, "lora_alpha": 32, "target_modules": ["q_proj"], "bias": "none", "use_dora": False, "modules_to_save": None}


def files(directory: Path, **contents: Any) -> Path:
    directory.mkdir()
    for name, content in contents.items():
        path = directory / name.replace("__", ".")
        path.write_bytes(content) if isinstance(content, bytes) else path.write_text(json.dumps(content))
    return directory


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


@pytest.fixture
def whole(store: ModelStore, tmp_path: Path) -> StoredCheckpoint:
    config = {"architectures": ["LlamaForCausalLM"], "transformers_version": "5.9.0"}
    made = files(tmp_path / "whole", model__safetensors=b"weights", config__json=config, tokenizer__json={}, tokenizer_config__json={"tokenizer_class": "Fast"})
    return store.put(made, {"method": "dpo", "dataset": "billing|`x`@3"})


def adapter(store: ModelStore, base: StoredCheckpoint, tmp_path: Path, **changes: Any) -> StoredCheckpoint:
    settings = ADAPTER | {"base_model_name_or_path": base.uri} | changes
    made = files(tmp_path / "adapter", adapter_model__safetensors=b"lora", adapter_config__json=settings, tokenizer__json={}, tokenizer_config__json={})
    return store.put(made)


def tree(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


def test_an_mlflow_directory_is_as_its_transformers_flavour_reads_it(store: ModelStore, whole: StoredCheckpoint, tmp_path: Path) -> None:
    found = mlflow_mirror(store, whole.uri, tmp_path / "out")
    tokenizer = {"components/tokenizer/tokenizer.json", "components/tokenizer/tokenizer_config.json"}
    assert tree(found) == {"MLmodel", "model/config.json", "model/model.safetensors"} | tokenizer
    said = yaml.safe_load((found / "MLmodel").read_text())
    flavour = said["flavors"]["transformers"]
    assert (flavour["task"], flavour["pipeline_model_type"], flavour["tokenizer_type"]) == ("text-generation", "LlamaForCausalLM", "Fast")
    assert (found / flavour["model_binary"]).is_dir()
    assert all((found / "components" / name).is_dir() for name in flavour["components"])
    assert (said["model_uuid"], said["metadata"]["sha256"], said["metadata"]["method"]) == (whole.checkpoint, whole.sha256, "dpo")


def test_an_adapter_is_mirrored_to_mlflow_with_its_base(store: ModelStore, whole: StoredCheckpoint, tmp_path: Path) -> None:
    found = mlflow_mirror(store, adapter(store, whole, tmp_path).uri, tmp_path / "out")
    assert {"model/model.safetensors", "model/config.json", "peft/adapter_model.safetensors", "peft/adapter_config.json"} <= tree(found)
    assert yaml.safe_load((found / "MLmodel").read_text())["flavors"]["transformers"]["peft_adaptor"] == "peft"


def test_a_hub_folder_has_the_files_and_a_card(store: ModelStore, whole: StoredCheckpoint, tmp_path: Path) -> None:
    found = hub_mirror(store, whole.uri, tmp_path / "deep" / "out")
    assert tree(found) == {"README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    _, front, text = (found / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(front) == {"library_name": "transformers", "pipeline_tag": "text-generation", "tags": ["trueloop"]}
    assert whole.sha256 in text
    assert "| dataset | `billing  x @3` |" in text, "what is told cannot break the table"
    assert str(tmp_path) not in text


def test_an_adapter_is_laid_out_as_vllm_takes_it(store: ModelStore, whole: StoredCheckpoint, tmp_path: Path) -> None:
    stored = adapter(store, whole, tmp_path)
    found = hub_mirror(store, stored.uri, tmp_path / "out")
    assert vllm_faults(found) == []
    assert vllm_faults(store.resolve(whole.uri)) == []
    command = vllm_command(store, stored.uri, found)
    assert command == f"vllm serve {store.resolve(whole.uri)} --enable-lora --max-lora-rank 16 --lora-modules out={found}"
    assert vllm_command(store, whole.uri, found) == f"vllm serve {found}"


@pytest.mark.parametrize(
    ("change", "said"),
    [({"use_dora": True}, "use_dora"), ({"modules_to_save": ["lm_head"]}, "modules_to_save"), ({"bias": "all"}, "bias is 'all'"), ({"r": 513}, "rank 513"),
     ({"r": None}, "lacks 'r'"), ({"target_modules": []}, "lacks 'target_modules'")],
)  # fmt: skip
def test_what_vllm_refuses_is_said(store: ModelStore, whole: StoredCheckpoint, tmp_path: Path, change: dict[str, Any], said: str) -> None:
    (fault,) = vllm_faults(store.resolve(adapter(store, whole, tmp_path, **change).uri))
    assert said in fault


def test_nothing_is_overwritten_and_nothing_half_written_stays(store: ModelStore, whole: StoredCheckpoint, tmp_path: Path) -> None:
    taken = files(tmp_path / "taken", notes__json={})
    with pytest.raises(ConfigurationError, match="holds something already"):
        hub_mirror(store, whole.uri, taken)
    assert tree(taken) == {"notes.json"}
    orphan = adapter(store, whole, tmp_path, base_model_name_or_path="someone/base")
    with pytest.raises(ConfigurationError, match="does not say which checkpoint"):
        mlflow_mirror(store, orphan.uri, tmp_path / "out")
    weights = store.root / "checkpoints" / whole.checkpoint / "model.safetensors"
    weights.write_bytes(b"changed")
    with pytest.raises(IntegrityError, match="was changed after it was stored"):
        hub_mirror(store, whole.uri, tmp_path / "out")
    assert not [path.name for path in tmp_path.iterdir() if path.name == "out" or path.name.startswith(".out")]


def test_the_command(store: ModelStore, whole: StoredCheckpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TRUELOOP_MODELS_DIR", str(store.root))
    monkeypatch.chdir(tmp_path)
    assert cli.run(["model", "mirror", whole.checkpoint, "--to", "hf:out", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["vllm"] == f"vllm serve {tmp_path / 'out'}"
    for arguments, wrong in (
        (["--to", "s3:out"], "expected mlflow:DIR or hf:DIR"),
        (["--to", "hf:"], "expected mlflow:DIR"),
        (["--to", "hf:out"], "holds something"),
    ):
        assert cli.run(["model", "mirror", whole.uri, *arguments]) == 2
        assert wrong in capsys.readouterr().err
