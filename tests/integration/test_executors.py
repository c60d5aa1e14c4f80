"""Training in processes of `accelerate launch`, for real, on the CPU."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

from trueloop.trainers import sft, tiny_lm
from trueloop.trainers.accelerate_executor import AccelerateLaunch
from trueloop.trainers.exchange import RemoteFault

from trueloop.demo.billing import REFERENCE, corpus_pair

pytestmark = pytest.mark.long


def settings(folder: Path, **changes: Any) -> sft.Config:
    corpus: list[Any] = [(list(case.messages), answer) for case, answer in (corpus_pair(index, "base", REFERENCE) for index in range(20))]
    base = folder / "base"
    tiny_lm.main(tiny_lm.Config(output_dir=base, hidden_size=32, layers=1, heads=2, intermediate_size=32, batch_size=2, steps=1), corpus)
    rows = [json.dumps({"messages": messages, "completion": answer}) for messages, answer in corpus]
    (folder / "dataset.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    places: dict[str, Any] = {"model_dir": base, "dataset_file": folder / "dataset.jsonl", "output_dir": folder / "output"}
    return sft.Config(**places | {"batch_size": 4, "max_steps": 2, "threads": 1} | changes)


def test_accelerate_launch_trains_and_tells_of_it(tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    config = settings(tmp_path)
    report = AccelerateLaunch(("--cpu", "--num_processes=1")).train("sft", config, tmp_path, lambda step, total, _: steps.append((step, total)))
    assert [step for step in steps if step[0]] == [(1, 2), (2, 2)]
    assert (0, 0) in steps, "the wait for its imports shows life"
    assert (config.output_dir / "model.safetensors").is_file()
    assert report.checkpoint_dir == str(config.output_dir)


def test_what_training_fails_of_there_is_told_here(tmp_path: Path) -> None:
    config = settings(tmp_path)
    config.dataset_file.write_text("no JSON\n")
    with pytest.raises(RemoteFault) as found:
        AccelerateLaunch(("--cpu", "--num_processes=1")).train("sft", config, tmp_path, lambda *_: None)
    assert found.value.fault.error_class == "DatasetError"
    assert "line 1" in found.value.fault.message
