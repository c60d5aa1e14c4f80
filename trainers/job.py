"""One attempt at a job from request to evaluation, as the training process runs it."""

import json
import logging
import time
import traceback
from pathlib import Path
from typing import Any

from trueloop.trainers import job_events
from trueloop.trainers.base_files import check_base
from trueloop.trainers.curve import CurveWriter
from trueloop.trainers.executor import open_executor
from trueloop.trainers.faults import describe
from trueloop.trainers.job_context import JobContext
from trueloop.trainers.job_events import Fault
from trueloop.trainers.manifest import manifest_metadata
from trueloop.trainers.methods import Method, find_method, read_config

from trueloop.datasets.pairs_dataset import build_pairs_dataset
from trueloop.errors import IntegrityError, TrainingError, UnavailableError
from trueloop.events import Evaluation, JobStatus, Split, TrainingResult, Trial

PROGRESS_INTERVAL_S = 1.0

_log = logging.getLogger(__name__)


def run_job(context: JobContext) -> None:
    """Train, unless it is done already, then evaluate; every outcome is kept, then sent as an event.

    Raises UnavailableError when Kafka or the registry do not answer: that is no fault of the job, which is to be tried again.
    """
    result = _finished(context) or _Training(context).run()
    context.files.drop_state(context.request.job_id)
    context.send(result)
    if result.status is not JobStatus.SUCCEEDED or not result.is_candidate:
        return
    kept = context.kept.record("evaluation")
    if kept is not None:
        for trial in json.loads(context.kept.record("trials") or "[]"):
            context.send(Trial.model_validate(trial))  # the process before this one may have died before they were delivered
        context.send(Evaluation.model_validate_json(kept))
        return
    _evaluate(context, result)


def _finished(context: JobContext) -> TrainingResult | None:
    kept = context.kept.record("result")
    return TrainingResult.model_validate_json(kept) if kept is not None else None


def _settle(context: JobContext, result: TrainingResult) -> TrainingResult:
    """Return the result that is kept: this one, or that of a process which was thought dead and was not."""
    try:
        return TrainingResult.model_validate_json(context.kept.settle("result", result.model_dump_json()))
    except OSError as error:
        # On a full disk nothing can be kept, and least of all may the requester be left without an answer.
        _log.warning("job %s: its result is not kept: %s", context.request.job_id, type(error).__name__)
        return result


def _explain(context: JobContext, error: BaseException, what: str) -> Fault:
    """Return what is told of an error; where it was raised goes to the job's log, as lines of code without any value."""
    fault = describe(error)
    _log.warning("job %s: %s: %s: %s", context.request.job_id, what, fault.error_class, fault.message)
    _log.warning("raised here:\n%s", "".join(traceback.format_tb(error.__traceback__)))
    return fault


def _evaluate(context: JobContext, result: TrainingResult) -> None:
    from trueloop.trainers.evaluation import evaluate

    started = time.monotonic()
    _log.info("job %s: evaluation of checkpoint %s", context.request.job_id, result.checkpoint)
    trials: list[Trial] = []
    try:
        for event in evaluate(context, result):
            if isinstance(event, Trial):
                trials.append(event)
            if isinstance(event, Evaluation):
                if trials:
                    context.kept.settle("trials", json.dumps([trial.model_dump(mode="json") for trial in trials]))
                context.kept.settle("evaluation", event.model_dump_json())
            context.send(event)
    except UnavailableError:
        raise
    except Exception as error:  # whatever an evaluation fails of, the gate must hear that there is no evidence
        fault = _explain(context, error, "evaluation failed")
        context.send(job_events.evaluation_failed(context.request, result, fault, time.monotonic() - started))


class _Training:
    """The training half of an attempt."""

    def __init__(self, context: JobContext) -> None:
        self._context = context
        self._request = context.request
        self._curve = CurveWriter(context.kept.curve)
        self._started = time.monotonic()
        self._reported = self._started
        self._step = 0

    def run(self) -> TrainingResult:
        """Train and return the final event: SUCCEEDED, with the checkpoint stored, or FAILED."""
        context, request = self._context, self._request
        context.send(job_events.progress(request, context.attempt, step=0, total_steps=0, metrics={}, seconds=0.0))
        _log.info("job %s: attempt %d: %s on %s@%d", request.job_id, context.attempt, request.method, request.dataset, request.dataset_version)
        try:
            method = find_method(request.method)
            with context.files.working_directory(request.job_id) as directory:
                # A worker that was presumed dead may have finished the job while this one waited for the directory.
                return _finished(context) or _settle(context, self._train(method, directory))
        except UnavailableError:
            raise
        except Exception as error:  # whatever a job fails of, its requester must hear of it
            fault = _explain(context, error, f"failed at step {self._step}")
            return _settle(context, job_events.failed(request, context.attempt, fault, self._step, time.monotonic() - self._started))

    def _train(self, method: Method, directory: Path) -> TrainingResult:
        context, request = self._context, self._request
        base = context.store.checkpoint(request.base_uri)
        if base.checkpoint != request.base_checkpoint:
            raise IntegrityError(f"base {request.base_uri!r} is checkpoint {base.checkpoint!r}; expected {request.base_checkpoint!r}: correct the request")
        config = self._config(method, directory)
        rows, repeated = self._write_dataset(method, directory / "dataset.jsonl")
        _log.info("job %s: %d rows of %s, without %d pairs that repeat others", request.job_id, rows, request.dataset, repeated)
        report = open_executor(context.settings.trainer).train(request.method, config, directory, self._progress)
        stored = context.store.put(directory / "output", manifest_metadata(request, report))
        seconds = time.monotonic() - self._started
        _log.info("job %s: checkpoint %s after %d steps and %.1f s", request.job_id, stored.checkpoint, self._step, seconds)
        return job_events.succeeded(request, context.attempt, stored, report, repeated=repeated, step=self._step, seconds=seconds)

    def _config(self, method: Method, directory: Path) -> Any:
        context, request = self._context, self._request
        base = context.store.resolve(request.base_uri)
        check_base(base, request.base_checkpoint)
        places = {
            "model_dir": base,
            "models_dir": context.store.root,
            "dataset_file": directory / "dataset.jsonl",
            "output_dir": directory / "output",
            "state_dir": context.files.state(request.job_id),
            "judges": context.settings.judges,
            "rubric": context.rubric,
        }
        config = read_config(method.load(), request.config, places)
        context.kept.settle("config", config.model_dump_json(indent=2))
        return config

    def _write_dataset(self, method: Method, path: Path) -> tuple[int, int]:
        """Write what the method reads, and return the number of its rows, and of the pairs that were left out because others say the same."""
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
        return rows, dataset.repeated

    def _progress(self, step: int, total_steps: int, metrics: dict[str, float]) -> None:
        self._step = max(self._step, step)
        now = time.monotonic()
        self._context.alive()
        self._curve.add(step, total_steps, metrics, now - self._started)
        if step and now - self._reported >= PROGRESS_INTERVAL_S:
            self._reported = now
            seconds = now - self._started
            self._context.send(job_events.progress(self._request, self._context.attempt, step=step, total_steps=total_steps, metrics=metrics, seconds=seconds))
