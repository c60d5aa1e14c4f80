"""The events that tell of a job: made from its request, with ids that a second run of the job repeats."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from trueloop.trainers.frame.training_report import TrainingReport

from trueloop.adapters.model_store import StoredCheckpoint
from trueloop.datasets.calibration import calibration_content_hash
from trueloop.events import Evaluation, JobOrder, JobStatus, TrainingRequest, TrainingResult, derive_id

LONGEST_ERROR = 1000
CANCELLED = "JobCancelled"


@dataclass(frozen=True, slots=True)
class Fault:
    """What went wrong: its class, and a message without any text of the dataset."""

    error_class: str
    message: str


def progress(request: TrainingRequest, attempt: int, *, step: int, total_steps: int, metrics: Mapping[str, float], seconds: float) -> TrainingResult:
    """Return the event that says how far the job is; at step 0 that it STARTED."""
    status = JobStatus.PROGRESS if step else JobStatus.STARTED
    return TrainingResult(**_common(request, attempt, status, step, seconds), total_steps=max(total_steps, step), metrics=_finite(metrics))


REPEATED = "dataset_repeated_pairs"
"""Metric: pairs of the dataset that were not trained on, because another task of their prompt says the same."""


def succeeded(
    request: TrainingRequest, attempt: int, checkpoint: StoredCheckpoint, report: TrainingReport, *, repeated: int, step: int, seconds: float
) -> TrainingResult:
    """Return the event that says what the job made, of a dataset that had so many repeated pairs."""
    return TrainingResult(
        **_common(request, attempt, JobStatus.SUCCEEDED, step, seconds),
        total_steps=step,
        metrics=_finite({**report.metrics, REPEATED: float(repeated)}),
        checkpoint=checkpoint.checkpoint,
        checkpoint_uri=checkpoint.uri,
        checkpoint_sha256=checkpoint.sha256,
        tokens=report.tokens,
        seed=report.seed,
        stopped_by=report.stopped_by,
        is_candidate=report.is_candidate,
        versions=report.versions,
    )


def failed(request: TrainingRequest, attempt: int, fault: Fault, step: int, seconds: float) -> TrainingResult:
    """Return the event that says why there is no checkpoint: CANCELLED when a person wanted it so."""
    status = JobStatus.CANCELLED if fault.error_class == CANCELLED else JobStatus.FAILED
    return TrainingResult(
        **_common(request, attempt, status, step, seconds), total_steps=step, error_class=fault.error_class, error=fault.message[:LONGEST_ERROR]
    )


def cancelled(order: JobOrder) -> Fault:
    """Return the fault of an attempt that a person ended. Their reason stays on their order: it is text of a person."""
    return Fault(CANCELLED, f"cancelled by order {order.event_id} on job-orders, which says by whom and why; `trueloop jobs retry` begins another attempt")


def evaluation_failed(request: TrainingRequest, result: TrainingResult, fault: Fault, seconds: float) -> Evaluation:
    """Return an evaluation without scores, which leaves the gate INCONCLUSIVE. Raises ValueError without a checkpoint."""
    if result.checkpoint is None or result.checkpoint_uri is None or result.checkpoint_sha256 is None:
        raise ValueError(f"job {request.job_id!r} is {result.status.value}; expected SUCCEEDED with a checkpoint")
    return Evaluation(
        event_id=derive_id("evaluation-failed", request.job_id, result.checkpoint, fault.error_class, fault.message),
        occurred_at=datetime.now(UTC),
        application=request.application,
        candidate=result.checkpoint,
        candidate_uri=result.checkpoint_uri,
        candidate_sha256=result.checkpoint_sha256,
        baseline=request.baseline_checkpoint,
        job_id=request.job_id,
        policy_id=request.policy_id,
        policy_version=request.policy_version,
        rubric_id=request.rubric_id,
        rubric_version=request.rubric_version,
        calibration_version=0,
        calibration_hash=calibration_content_hash(()),
        n_items=0,
        decoding="{}",
        scores=[],
        seconds=seconds,
        error=f"{fault.error_class}: {fault.message}"[:LONGEST_ERROR],
    )


def _common(request: TrainingRequest, attempt: int, status: JobStatus, step: int, seconds: float) -> dict[str, object]:
    return {
        "event_id": derive_id("training-result", request.job_id, str(attempt), status.value, str(step)),
        "occurred_at": datetime.now(UTC),
        "application": request.application,
        "job_id": request.job_id,
        "status": status,
        "attempt": attempt,
        "method": request.method,
        "step": step,
        "base_checkpoint": request.base_checkpoint,
        "dataset": request.dataset,
        "dataset_version": request.dataset_version,
        "seconds": seconds,
    }


def _finite(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in metrics.items() if math.isfinite(value)}
