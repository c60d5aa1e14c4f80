"""What the manifest of a checkpoint says beside the hash of each file: all that it was made from."""

from dataclasses import asdict
from typing import Any

from trueloop.trainers.frame.training_report import TrainingReport

from trueloop.events import TrainingRequest


def manifest_metadata(request: TrainingRequest, report: TrainingReport) -> dict[str, Any]:
    """Return the metadata. It holds nothing of the run's machine and time, so that the same job is told alike wherever it ran."""
    said = asdict(report)
    return {
        "kind": "policy" if report.is_candidate else "reward-model",
        "application": request.application,
        "job_id": request.job_id,
        "method": request.method,
        "config": request.config,
        "base_checkpoint": request.base_checkpoint,
        "dataset": f"{request.dataset}@{request.dataset_version}",
        "dataset_hash": request.dataset_hash,
        "rubric": f"{request.rubric_id}@{request.rubric_version}",
        "policy": f"{request.policy_id}@{request.policy_version}",
        **{name: said[name] for name in ("seed", "versions", "stopped_by")},
    }
