"""The model store: content addresses, refusal of what runs code, and detection of every kind of tampering."""

import json
import os
from pathlib import Path

import pytest

from trueloop.adapters.model_store import MANIFEST, ModelStore, StoredCheckpoint
from trueloop.errors import ConfigurationError, IntegrityError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "config.json").write_text("{}")
    (folder / "chat_template.jinja").write_text("template")
    return folder


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


@pytest.fixture
def stored(store: ModelStore, source: Path) -> StoredCheckpoint:
    return store.put(source, {"job_id": "job-1"})


def files_of(store: ModelStore, stored: StoredCheckpoint) -> Path:
    return store.root / "checkpoints" / stored.checkpoint


def test_a_checkpoint_comes_back_as_it_was_put(store: ModelStore, stored: StoredCheckpoint, source: Path) -> None:
    directory = store.resolve(stored.uri, stored.sha256)

    assert {path.name: path.read_bytes() for path in directory.iterdir() if path.name != MANIFEST} == {
        path.name: path.read_bytes() for path in source.iterdir()
    }
    assert stored.uri == f"models://{stored.checkpoint}"
    assert stored.sha256.startswith(stored.checkpoint)
    assert len(stored.sha256) == 64
    assert store.checkpoint(stored.uri) == stored
    assert stored.metadata == {"job_id": "job-1"}


def test_put_twice_is_put_once(store: ModelStore, stored: StoredCheckpoint, source: Path) -> None:
    assert store.put(source, {"job_id": "another"}) == stored
    assert [entry.name for entry in (store.root / "checkpoints").iterdir()] == [stored.checkpoint]
    assert not list((store.root / "staging").iterdir())


@pytest.mark.parametrize(("name", "data"), [("model.safetensors", b"weightS"), ("config.json", b"{ }"), ("generation_config.json", b"{}")])
def test_other_content_is_another_checkpoint(store: ModelStore, stored: StoredCheckpoint, source: Path, name: str, data: bytes) -> None:
    (source / name).write_bytes(data)

    assert store.put(source).checkpoint != stored.checkpoint


@pytest.mark.parametrize("name", ["pytorch_model.bin", "training_args.bin", "state.pt", "x.pkl", "modeling_x.py", "x.so", "notes.md", "x"])
def test_what_runs_code_or_is_no_checkpoint_file_is_refused_by_name(store: ModelStore, source: Path, name: str) -> None:
    (source / name).write_bytes(b"")

    with pytest.raises(ConfigurationError, match=name.replace(".", r"\.")):
        store.put(source)
    assert not (store.root / "checkpoints").exists() or not list((store.root / "checkpoints").iterdir())


def test_links_and_directories_are_refused(store: ModelStore, source: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text("secret")
    (source / "tokenizer.json").symlink_to(secret)
    with pytest.raises(ConfigurationError, match=r"tokenizer\.json"):
        store.put(source)
    (source / "tokenizer.json").unlink()
    (source / "checkpoint-10").mkdir()
    with pytest.raises(ConfigurationError, match="checkpoint-10"):
        store.put(source)


def test_a_directory_without_weights_is_refused(store: ModelStore, source: Path) -> None:
    (source / "model.safetensors").unlink()

    with pytest.raises(ConfigurationError, match="safetensors"):
        store.put(source)


@pytest.mark.parametrize(
    "uri",
    [
        "models://../../etc",
        "models://",
        "models:///etc/passwd",
        "file:///etc/passwd",
        "/etc",
        "models://" + "0" * 31,
        "models://" + "A" * 32,
        "models://" + "0" * 32 + "/..",
        "models://" + "0" * 32 + "\n",
    ],
)
def test_a_uri_can_name_nothing_outside_the_store(store: ModelStore, stored: StoredCheckpoint, uri: str) -> None:
    with pytest.raises(ConfigurationError):
        store.resolve(uri)


def test_an_unknown_checkpoint_and_a_linked_one_are_refused(store: ModelStore, stored: StoredCheckpoint) -> None:
    with pytest.raises(ConfigurationError, match="no checkpoint"):
        store.resolve("models://" + "0" * 32)
    (store.root / "checkpoints" / ("1" * 32)).symlink_to(files_of(store, stored))
    with pytest.raises(ConfigurationError, match="no checkpoint"):
        store.resolve("models://" + "1" * 32)


def test_a_changed_file_is_named_with_both_hashes(store: ModelStore, stored: StoredCheckpoint) -> None:
    store.resolve(stored.uri)
    (files_of(store, stored) / "model.safetensors").write_bytes(b"Weights")

    with pytest.raises(IntegrityError, match=r"model\.safetensors.*has SHA-256 [0-9a-f]{64}; expected [0-9a-f]{64}.*Restore"):
        store.resolve(stored.uri)


def test_a_change_is_found_after_a_remembered_verification_even_when_the_time_stamp_is_set_back(store: ModelStore, stored: StoredCheckpoint) -> None:
    weights = files_of(store, stored) / "model.safetensors"
    old = 1_600_000_000
    os.utime(weights, (old, old))
    store.resolve(stored.uri)
    weights.write_bytes(b"Weights")
    os.utime(weights, (old, old))

    with pytest.raises(IntegrityError, match=r"model\.safetensors"):
        store.resolve(stored.uri)


@pytest.mark.parametrize("name", ["added.json", "pytorch_model.bin"])
def test_an_added_file_is_found(store: ModelStore, stored: StoredCheckpoint, name: str) -> None:
    (files_of(store, stored) / name).write_bytes(b"")

    with pytest.raises(IntegrityError, match=f"{name}' was added"):
        store.resolve(stored.uri)


def test_a_missing_and_a_linked_file_are_found(store: ModelStore, stored: StoredCheckpoint, source: Path) -> None:
    config = files_of(store, stored) / "config.json"
    config.unlink()
    with pytest.raises(IntegrityError, match=r"config\.json' is missing"):
        store.resolve(stored.uri)
    config.symlink_to(source / "config.json")
    with pytest.raises(IntegrityError, match=r"config\.json"):
        store.resolve(stored.uri)


def test_a_manifest_that_vouches_for_other_files_is_found(store: ModelStore, stored: StoredCheckpoint) -> None:
    path = files_of(store, stored) / MANIFEST
    manifest = json.loads(path.read_text())
    manifest["files"]["model.safetensors"] = "0" * 64
    path.write_text(json.dumps(manifest))
    with pytest.raises(IntegrityError, match="manifest"):
        store.resolve(stored.uri)
    path.write_text("[]")
    with pytest.raises(IntegrityError, match="manifest"):
        store.resolve(stored.uri)


def test_another_checkpoint_than_asked_for_is_refused(store: ModelStore, stored: StoredCheckpoint) -> None:
    with pytest.raises(IntegrityError, match="expected " + "f" * 64):
        store.resolve(stored.uri, "f" * 64)


def test_putting_the_right_files_again_repairs_a_damaged_checkpoint(store: ModelStore, stored: StoredCheckpoint, source: Path) -> None:
    (files_of(store, stored) / "model.safetensors").write_bytes(b"Weights")

    assert store.put(source, stored.metadata) == stored
    assert (store.resolve(stored.uri) / "model.safetensors").read_bytes() == b"weights"


def test_a_put_that_was_killed_leaves_no_checkpoint(store: ModelStore, source: Path) -> None:
    stored = store.put(source)
    (files_of(store, stored) / MANIFEST).unlink()

    with pytest.raises(ConfigurationError, match="no checkpoint"):
        store.resolve(stored.uri)
    assert store.put(source).checkpoint == stored.checkpoint
