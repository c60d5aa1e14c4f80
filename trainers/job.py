"""One job from request to evaluation, as the training process runs it."""

import json
import logging
import time
from pathlib import Path

from trueloop.trainers import job_events
from trueloop.trainers.faults import describe
from trueloop.trainers.job_context import JobContext
from trueloop.trainers.methods import Method, find_method, read_config

from trueloop.datasets.pairs_dataset import build_pairs_dataset
from trueloop.errors import IntegrityError, TrainingError, UnavailableError
from trueloop.events import Evaluation, JobStatus, Split, TrainingResult

PROGRESS_INTERVAL_S = 1.0

_log = logging.getLogger(__name__)


def run_job(context: JobContext) -> None:
    """Train, unless it is done already, then evaluate; every outcome is sent as an event.

    Raises UnavailableError when Kafka or the registry do not answer: that is no fault of the job, which is to be tried again.
    """
    result = _finished(context) or _Training(context).run()
    context.send(result)
    if result.status is not JobStatus.SUCCEEDED:
        return
    kept = context.files.record(context.request.job_id, "evaluation")
    if kept is not None:
        context.send(Evaluation.model_validate_json(kept))
        return
    _evaluate(context, result)


def _finished(context: JobContext) -> TrainingResult | None:
    kept = context.files.record(context.request.job_id, "result")
    return TrainingResult.model_validate_json(kept) if kept is not None else None


def _evaluate(context: JobContext, result: TrainingResult) -> None:
    from trueloop.trainers.evaluation import evaluate

    started = time.monotonic()
    try:
        for event in evaluate(context, result):
            if isinstance(event, Evaluation):
                context.files.keep(context.request.job_id, "evaluation", event.model_dump_json())
            context.send(event)
    except UnavailableError:
        raise
    except Exception as error:  # whatever an evaluation fails of, the gate must hear that there is no evidence
        fault = describe(error)
        _log.warning("job %s: evaluation failed: %s", context.request.job_id, fault.error_class)
        context.send(job_events.evaluation_failed(context.request, result, fault, time.monotonic() - started))


class _Training:
    """The training half of a job."""

    def __init__(self, context: JobContext) -> None:
        self._context = context
        self._request = context.request
        self._started = time.monotonic()
        self._reported = self._started
        self._step = 0

    def run(self) -> TrainingResult:
        """Train and return the final event: SUCCEEDED, with the checkpoint stored, or FAILED."""
        context, request = self._context, self._request
        context.send(job_events.progress(request, 0, 0, {}, 0.0))
        try:
            method = find_method(request.method)
            with context.files.working_directory(request.job_id) as directory:
                # A worker that was presumed dead may have finished the job while this one waited for the directory.
                return _finished(context) or self._train(method, directory)
        except UnavailableError:
            raise
        except Exception as error:  # whatever a job fails of, its requester must hear of it
            fault = describe(error)
            _log.warning("job %s failed: %s", request.job_id, fault.error_class)
            return job_events.failed(request, fault, self._step, time.monotonic() - self._started)

    def _train(self, method: Method, directory: Path) -> TrainingResult:
        context, request = self._context, self._request
        base = context.store.checkpoint(request.base_uri)
        if base.checkpoint != request.base_checkpoint:
            raise IntegrityError(f"base {request.base_uri!r} is checkpoint {base.checkpoint!r}; expected {request.base_checkpoint!r}: correct the request")
        module = method.load()
        output = directory / "output"
        config = read_config(
            module, request.config, model_dir=context.store.resolve(request.base_uri), dataset_file=directory / "dataset.jsonl", output_dir=output
        )
        self._write_dataset(method, directory / "dataset.jsonl")
        report = module.main(config, self._progress)
        metadata = {
            "application": request.application,
            "job_id": request.job_id,
            "method": request.method,
            "base_checkpoint": request.base_checkpoint,
            "dataset": f"{request.dataset}@{request.dataset_version}",
            "dataset_hash": request.dataset_hash,
        }
        stored = context.store.put(output, metadata)
        result = job_events.succeeded(request, stored, report, self._step, time.monotonic() - self._started)
        context.files.keep(request.job_id, "result", result.model_dump_json())
        return result

    def _write_dataset(self, method: Method, path: Path) -> None:
        request = self._request
        dataset = build_pairs_dataset(self._context.dataset_log, self._context.selection(Split.TRAIN))
        if dataset.content_hash != request.dataset_hash:
            raise IntegrityError(
                f"dataset {request.dataset!r} version {request.dataset_version} has content hash {dataset.content_hash} in the log; the request expects "
                f"{request.dataset_hash}: freeze a new version and request the job again"
            )
        rows = 0
        with path.open("x", encoding="utf-8") as writer:
            for row in method.rows(dataset):
                writer.write(json.dumps(row, ensure_ascii=False) + "\n")
                rows += 1
        if not rows:
            raise TrainingError(f"dataset {request.dataset!r} version {request.dataset_version} is empty; expected at least one pair: collect labels first")

    def _progress(self, step: int, total_steps: int, metrics: dict[str, float]) -> None:
        self._step = max(self._step, step)
        now = time.monotonic()
        self._context.alive()
        if step and now - self._reported >= PROGRESS_INTERVAL_S:
            self._reported = now
            self._context.send(job_events.progress(self._request, step, total_steps, metrics, now - self._started))
