"""A stage of a job of several: another method run on rows that the job made, from the checkpoint that the stage before it left."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from trueloop.trainers.frame.job_config import JobConfig, Progress, write_config
from trueloop.trainers.frame.saved_steps import job_key
from trueloop.trainers.frame.training_report import TrainingReport, checkpoint_sha256

from trueloop.errors import ConfigurationError

_DONE = "stage.json"
Row = Mapping[str, Any]


def require_one_process() -> None:
    """Raise ConfigurationError under `accelerate launch` with several processes: each would make data of its own."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigurationError(
            "this method makes its data on one device and was started in several processes; expected one: start it without `accelerate launch`, "
            "or make the data with it and train on them by 'sft' or 'dpo'"
        )


def require_merged(config: JobConfig) -> None:
    """Raise ConfigurationError when the last stage's adapter would name a base that no store has: the checkpoint of the stage before."""
    if config.save == "adapter":
        raise ConfigurationError("save is 'adapter', but this method trains in two stages, the second on the merged first; expected save = 'merged'")


def run_stage(module: Any, config: JobConfig, directory: Path, rows: Iterable[Row], progress: Progress | None, **changes: Any) -> TrainingReport:
    """Run a method's `main` on `rows` with the job's settings, in `directory`, and return its report; at once when it has been run there.

    Args:
        module: The method's module: `Config` and `main`.
        config: The job's settings; what the method's Config shares with every job is taken from them.
        directory: Of this stage alone; what is in it outlives a kill if the job's `state_dir` does.
        rows: What it trains on.
        progress: Told its steps.
        changes: Other settings of the method, and places that differ.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    dataset = directory / "dataset.jsonl"
    temporary = dataset.with_suffix(".new")
    temporary.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    temporary.rename(dataset)
    shared = {name: getattr(config, name) for name in JobConfig.model_fields}
    places = {"dataset_file": dataset, "output_dir": directory / "output", "state_dir": directory / "state" if config.state_dir else None}
    stage = module.Config(**(shared | places | changes))
    key = job_key(stage)
    done = _read(directory / _DONE, key, stage.output_dir)
    if done is None:
        done = module.main(stage, progress)
        _write(directory / _DONE, key, done)
    # The checkpoint says how the whole job was made, not its last stage.
    write_config(config, stage.output_dir)
    return done


def staged_metrics(reports: Mapping[str, TrainingReport]) -> dict[str, float]:
    """Return the metrics of stages under the names of the stages, such as 'sft/loss'."""
    return {f"{stage}/{name}": value for stage, report in reports.items() for name, value in report.metrics.items()}


def _read(path: Path, key: str, output: Path) -> TrainingReport | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        report = TrainingReport(**found["report"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    whole = found["key"] == key and output.is_dir() and checkpoint_sha256(output) == report.checkpoint_sha256
    return report if whole else None


def _write(path: Path, key: str, report: TrainingReport) -> None:
    temporary = path.with_suffix(".new")
    with temporary.open("w", encoding="utf-8") as writer:
        writer.write(json.dumps({"key": key, "report": asdict(report)}))
        writer.flush()
        os.fsync(writer.fileno())
    temporary.rename(path)
