"""Jobs as the log tells of them: request, attempts, orders, and where each stands."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from trueloop.errors import ConfigurationError
from trueloop.events import Evaluation, JobOrder, JobOrderKind, JobStatus, TrainingRequest, TrainingResult


@dataclass(slots=True)
class Job:
    """One job. `results` are in the order of the log."""

    request: TrainingRequest
    results: list[TrainingResult] = field(default_factory=list)
    orders: list[JobOrder] = field(default_factory=list)
    evaluation: Evaluation | None = None

    @property
    def attempt(self) -> int:
        """The newest attempt, begun or ordered."""
        return max([1, *(result.attempt for result in self.results), *(order.attempt for order in self.orders if order.kind is JobOrderKind.RETRY)])

    @property
    def newest(self) -> TrainingResult | None:
        """What was told last of the newest attempt; its final result if there is one."""
        told = [result for result in self.results if result.attempt == self.attempt]
        return next((result for result in told if result.status.is_final), told[-1] if told else None)

    @property
    def is_final(self) -> bool:
        """Whether the newest attempt has ended."""
        return self.newest is not None and self.newest.status.is_final

    @property
    def status(self) -> str:
        """QUEUED, RUNNING, CANCELLING, SUCCEEDED, FAILED or CANCELLED."""
        newest = self.newest
        if newest is not None and newest.status.is_final:
            return newest.status.value
        if any(order.kind is JobOrderKind.CANCEL and order.attempt == self.attempt for order in self.orders):
            return "CANCELLING"
        return "QUEUED" if newest is None else "RUNNING"

    @property
    def updated_at(self) -> datetime:
        """When something was told of it last."""
        return max([self.request.occurred_at, *(event.occurred_at for event in (*self.results, *self.orders))])

    def losses(self) -> list[tuple[float, float]]:
        """Return (step, loss) of the newest attempt, as far as `training-results` holds it."""
        found = {result.step: result.metrics["loss"] for result in self.results if result.attempt == self.attempt and "loss" in result.metrics}
        return sorted((float(step), loss) for step, loss in found.items())

    def facts(self) -> dict[str, Any]:
        """Return what a script wants to know."""
        newest, request = self.newest, self.request
        return {
            "job_id": request.job_id, "application": request.application, "status": self.status, "attempt": self.attempt, "method": request.method,
            "dataset": f"{request.dataset}@{request.dataset_version}", "reason": request.reason.value, "base_checkpoint": request.base_checkpoint,
            "config": request.config, "timeout_seconds": request.timeout_seconds, "requested_at": request.occurred_at, "updated_at": self.updated_at,
            "step": newest.step if newest else None, "total_steps": newest.total_steps if newest else None,
            "seconds": newest.seconds if newest else None, "metrics": newest.metrics if newest else {},
            "checkpoint": newest.checkpoint if newest else None, "error_class": newest.error_class if newest else None,
            "error": newest.error if newest else None, "evaluation_error": self.evaluation.error if self.evaluation else None,
            "orders": [order.model_dump(mode="json", include={"kind", "attempt", "reason", "ordered_by", "occurred_at"}) for order in self.orders],
        }  # fmt: skip


def jobs_of(
    requests: Iterable[TrainingRequest], results: Iterable[TrainingResult], orders: Iterable[JobOrder], evaluations: Iterable[Evaluation] = ()
) -> dict[str, Job]:
    """Return the jobs by id, in the order in which they were first requested. What has no request is left out."""
    jobs: dict[str, Job] = {}
    for request in requests:
        jobs.setdefault(request.job_id, Job(request))
    for result in results:
        if result.job_id in jobs:
            jobs[result.job_id].results.append(result)
    for order in orders:
        job = jobs.get(order.job_id)
        if job is not None and order.event_id not in {known.event_id for known in job.orders}:
            job.orders.append(order)
    for evaluation in evaluations:
        if evaluation.job_id in jobs:
            jobs[evaluation.job_id].evaluation = evaluation
    return jobs


def one_job(jobs: dict[str, Job], wanted: str) -> Job:
    """Return the job of an id, or of the beginning of one. Raises ConfigurationError when there is none, or several."""
    found = [job for job_id, job in jobs.items() if job_id.startswith(wanted)] if wanted not in jobs else [jobs[wanted]]
    if len(found) != 1:
        what = "no job" if not found else f"{len(found)} jobs"
        raise ConfigurationError(f"{what} whose id begins with {wanted!r}; expected one: see `trueloop jobs ls`")
    return found[0]


def check_retry(job: Job) -> None:
    """Raise ConfigurationError when another attempt makes no sense yet, or at all."""
    if not job.is_final and not (job.newest is None and job.attempt > 1):
        raise ConfigurationError(f"job {job.request.job_id!r} is {job.status}; expected one that has ended: cancel it first")
    newest = job.newest
    if newest is not None and newest.status is JobStatus.SUCCEEDED and (job.evaluation is None or job.evaluation.error is None):
        raise ConfigurationError(f"job {job.request.job_id!r} has SUCCEEDED; the same order gives the same: request another with `trueloop train --config ...`")


def check_cancel(job: Job) -> None:
    """Raise ConfigurationError when there is nothing left to cancel."""
    newest = job.newest
    evaluating = newest is not None and newest.status is JobStatus.SUCCEEDED and job.evaluation is None
    if job.is_final and not evaluating:
        raise ConfigurationError(f"job {job.request.job_id!r} is {job.status}; expected one that waits or runs: nothing is left to cancel")
