"""`trueloop jobs`."""

import getpass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

from trueloop.cli import FAILED, OK, group
from trueloop.commands.job_rows import Job, check_cancel, check_retry, jobs_of, one_job
from trueloop.commands.output import JSON_OPTION, print_json, print_table, printable
from trueloop.commands.text_plot import text_plot
from trueloop.config import Settings, load_settings
from trueloop.errors import ConfigurationError
from trueloop.events import Evaluation, Event, JobOrder, JobOrderKind, JobStatus, TrainingRequest, TrainingResult, derive_id
from trueloop.topics import EVALUATIONS, JOB_ORDERS, TRAINING_REQUESTS, TRAINING_RESULTS

if TYPE_CHECKING:
    from trueloop.trainers.job_files import AttemptFiles

app = group(help="Training jobs: what waits, runs and has ended; logs and curves; cancel and retry.")
ID: Any = typer.Argument(..., metavar="ID", help="Id of a job, or its beginning.")
REASON: Any = typer.Option(..., "--reason", "-r", help="Why; it stands on the order.")
BY: Any = typer.Option(None, "--by", help="Who orders it; default: your user name.")
ATTEMPT: Any = typer.Option(None, "--attempt", min=1, help="Which attempt; default: the newest.")


@app.command("ls")
def list_jobs(
    application: str = typer.Option(None, "--application", "-a", help="Only jobs of this application."),
    limit: int = typer.Option(30, "--limit", min=1, help="Newest jobs to list."),
    as_json: bool = JSON_OPTION,
) -> None:
    """List jobs, the newest last."""
    found = [job for job in read_jobs(load_settings()).values() if application in (None, job.request.application)][-limit:]
    if as_json:
        print_json([job.facts() for job in found])
        return
    rows = [
        (job.request.job_id[:12], job.request.application, job.request.method, f"{job.request.dataset}@{job.request.dataset_version}", job.status,
         job.attempt, _steps(job), f"{job.newest.seconds:.0f} s" if job.newest else None, job.newest.error_class if job.newest else None,
         f"{job.request.occurred_at:%Y-%m-%d %H:%M:%S}")
        for job in found
    ]  # fmt: skip
    columns = ("job", "application", "method", "dataset", "status", "attempt", "steps", "took", "error", "requested (UTC)")
    print_table(columns, rows, "no jobs yet; the trigger requests them, or `trueloop train`")


@app.command()
def show(job_id: str = ID, as_json: bool = JSON_OPTION) -> None:
    """Show a job: its order, each attempt, what people ordered, and its loss by step."""
    settings = load_settings()
    job = one_job(read_jobs(settings, evaluations=True), job_id)
    files = _files(settings, job, job.attempt)
    curve = _curve(job, files)
    if as_json:
        print_json(job.facts() | {"loss": curve, "log": str(files.log) if files.log.exists() else None})
        return
    for name, value in job.facts().items():
        if name not in ("orders", "metrics") and value is not None:
            typer.echo(f"{name:<16}  {printable(str(value))}")
    for name, value in sorted(job.facts()["metrics"].items()):
        typer.echo(f"  {printable(name):<30}  {value:.6g}")
    for order in job.orders:
        typer.echo(f"{order.occurred_at:%Y-%m-%d %H:%M:%S}  {order.kind} attempt {order.attempt} by {printable(order.ordered_by)}: {printable(order.reason)}")
    plot = text_plot(curve)
    if plot:
        typer.echo(f"\nloss by step, attempt {job.attempt}")
    for line in plot:
        typer.echo(line)


@app.command()
def logs(
    job_id: str = ID,
    attempt: int = ATTEMPT,
    lines: int = typer.Option(100, "--lines", "-n", min=1, help="Last lines to print."),
) -> None:
    """Print the end of a job's log. It lies in the model store, so this asks for its file system."""
    from trueloop.embedded.log_files import tail

    settings = load_settings()
    job = one_job(read_jobs(settings), job_id)
    files = _files(settings, job, attempt or job.attempt)
    if not files.log.exists():
        raise ConfigurationError(f"no log of attempt {attempt or job.attempt} in {settings.models}; is it the worker's models_dir, and was the attempt begun?")
    for line in tail(files.log, lines):
        typer.echo(printable(line))


@app.command()
def follow(job_id: str = ID, as_json: bool = JSON_OPTION) -> None:
    """Print what is told of a job until its newest attempt ends: exit code 0 when it succeeded, 1 when not."""
    from trueloop.adapters.registry import connect
    from trueloop.adapters.subscriber import Subscriber

    settings = load_settings()
    job = one_job(read_jobs(settings), job_id)
    if job.is_final:
        _tell(job.newest, as_json)
        raise typer.Exit(_code(job.newest))
    with Subscriber(settings.kafka, connect(settings.registry), (TRAINING_RESULTS,)) as results:
        while True:
            for event in results.poll(1.0):
                if isinstance(event, TrainingResult) and event.job_id == job.request.job_id and event.attempt == job.attempt:
                    _tell(event, as_json)
                    if event.status.is_final:
                        raise typer.Exit(_code(event))


@app.command()
def cancel(job_id: str = ID, reason: str = REASON, by: str = BY, as_json: bool = JSON_OPTION) -> None:
    """Cancel a job that waits or runs. It ends as CANCELLED when its worker comes to it, which for one that runs is at once."""
    settings = load_settings()
    job = one_job(read_jobs(settings, evaluations=True), job_id)
    check_cancel(job)
    _order(settings, job, JobOrderKind.CANCEL, job.attempt, reason=reason, by=by, as_json=as_json)


@app.command()
def retry(job_id: str = ID, reason: str = REASON, by: str = BY, as_json: bool = JSON_OPTION) -> None:
    """Begin another attempt at a job that failed or was cancelled: the same order, at the end of the queue.

    \b
    Example:
      trueloop jobs retry 5c1e2f --reason "the disk was full"
    """
    settings = load_settings()
    job = one_job(read_jobs(settings, evaluations=True), job_id)
    check_retry(job)
    # One that was ordered and has not been begun may lack its request, if the command died between the two.
    attempt = job.attempt if job.newest is None else job.attempt + 1
    _order(settings, job, JobOrderKind.RETRY, attempt, reason=reason, by=by, as_json=as_json)


def read_jobs(settings: Settings, *, evaluations: bool = False) -> dict[str, Job]:
    """Return all jobs that the log knows, by id. Raises UnavailableError."""
    from trueloop.adapters.kafka import read_events
    from trueloop.adapters.registry import connect

    codec = connect(settings.registry)
    requests = [event for event in read_events(settings.kafka, codec, TRAINING_REQUESTS) if isinstance(event, TrainingRequest)]
    results = [event for event in read_events(settings.kafka, codec, TRAINING_RESULTS) if isinstance(event, TrainingResult)]
    orders = [event for event in read_events(settings.kafka, codec, JOB_ORDERS) if isinstance(event, JobOrder)]
    judged = [event for event in read_events(settings.kafka, codec, EVALUATIONS) if isinstance(event, Evaluation)] if evaluations else []
    return jobs_of(requests, results, orders, judged)


def _order(settings: Settings, job: Job, kind: JobOrderKind, attempt: int, *, reason: str, by: str | None, as_json: bool) -> None:
    from trueloop.adapters.kafka import Publisher
    from trueloop.adapters.registry import connect

    if not 0 < len(reason.strip()) <= 1000:
        raise ConfigurationError(f"given a reason of {len(reason.strip())} characters; expected 1 to 1000: say why")
    request = job.request
    order = JobOrder(
        event_id=derive_id("job-order", request.job_id, kind.value, str(attempt)),
        occurred_at=datetime.now(UTC),
        application=request.application,
        job_id=request.job_id,
        kind=kind,
        attempt=attempt,
        reason=reason.strip(),
        ordered_by=by or getpass.getuser(),
    )
    publisher = Publisher(settings.kafka, connect(settings.registry))
    publisher.publish([order])
    if kind is JobOrderKind.RETRY:
        # After the order is delivered: whoever reads the request finds which attempt it asks for.
        publisher.publish([request])
    if as_json:
        print_json(order.model_dump(mode="json"))
    else:
        said = f"attempt {attempt} at job {request.job_id}"
        typer.echo(f"ordered to cancel {said}" if kind is JobOrderKind.CANCEL else f"ordered {said}; `trueloop jobs follow {request.job_id[:12]}` shows it")


def _files(settings: Settings, job: Job, attempt: int) -> "AttemptFiles":
    from trueloop.trainers.job_files import JobFiles

    return JobFiles(settings.models).attempt(job.request.job_id, attempt)


def _curve(job: Job, files: "AttemptFiles") -> list[tuple[float, float]]:
    """Return (step, loss): of every step where the attempt's files are at hand, else of those that were told as events."""
    from trueloop.trainers.curve import read_curve

    points = [(float(point["step"]), point["metrics"].get("loss")) for point in read_curve(files.curve)]
    return [(step, loss) for step, loss in points if loss is not None] or job.losses()


def _steps(job: Job) -> str | None:
    return f"{job.newest.step}/{job.newest.total_steps}" if job.newest else None


def _tell(result: Event | None, as_json: bool) -> None:
    if not isinstance(result, TrainingResult):
        return
    if as_json:
        typer.echo(result.model_dump_json())
        return
    metrics = ", ".join(f"{name} {value:.4g}" for name, value in sorted(result.metrics.items()))
    text = f"{result.seconds:7.1f} s  {result.status.value:<9}  step {result.step}/{result.total_steps}  {metrics} {result.error or ''}"
    typer.echo(printable(text.rstrip()))


def _code(result: TrainingResult | None) -> int:
    return OK if result is not None and result.status is JobStatus.SUCCEEDED else FAILED
