"""`trueloop train`: a job that a person requests."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from trueloop.commands.gold import policy_of
from trueloop.commands.jobs import read_jobs
from trueloop.commands.output import JSON_OPTION, print_json
from trueloop.commands.releases import serving_release
from trueloop.config import Settings, load_settings
from trueloop.errors import ConfigurationError
from trueloop.events import DatasetKind, DatasetVersion, TrainingRequest, TriggerReason, derive_id, job_id_of
from trueloop.rubrics import Governance, Policy, canonical_json
from trueloop.topics import DATASET_VERSIONS


def train(
    application: str = typer.Argument(..., metavar="APP", help="The application, which a policy and a release must be there for."),
    *,
    dataset: str = typer.Option(..., "--dataset", "-d", help="NAME@VERSION of frozen pairs."),
    method: str = typer.Option(None, "--method", "-m", help="Trainer, such as dpo or sft; default: the policy's."),
    config: Annotated[list[str] | None, typer.Option("--config", "-c", help="KEY=VALUE of the trainer, JSON or text; may be repeated.")] = None,
    base: str = typer.Option(None, "--base", help="Checkpoint in the model store to start from; default: what serves."),
    timeout_minutes: float = typer.Option(None, "--timeout-minutes", min=0.01, help="Default: the policy's."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Request a training job by hand. The policy's settings of the trainer hold where --config gives no other.

    \b
    Example:
      trueloop train billing-support -d billing-support/pairs@2 -c beta=0.2 -c epochs=3
    """
    from trueloop.adapters.kafka import Publisher
    from trueloop.adapters.publication import Documents
    from trueloop.adapters.registry import connect

    settings = load_settings()
    documents = Documents(settings)
    policy = policy_of(application, Governance(documents.rubrics(), documents.policies()))
    request = _request(settings, policy, _dataset(settings, dataset, application), method or policy.training.method, base=base, given=config or [])
    limit_s = timeout_minutes * 60 if timeout_minutes is not None else request.timeout_seconds
    request = request.model_copy(update={"timeout_seconds": limit_s})
    known = read_jobs(settings).get(request.job_id)
    if known is not None:
        raise ConfigurationError(
            f"this very job was requested before: {request.job_id}, which is {known.status}; expected another method, base, dataset or configuration. "
            "See `trueloop jobs retry --help`"
        )
    Publisher(settings.kafka, connect(settings.registry)).publish([request])
    if as_json:
        print_json(request.model_dump(mode="json"))
    else:
        typer.echo(f"requested job {request.job_id}: {request.method} on {dataset}; `trueloop jobs follow {request.job_id[:12]}` shows it")


def settings_of(given: list[str], standard: dict[str, Any]) -> dict[str, Any]:
    """Return a trainer's settings: the standard ones, replaced by KEY=VALUE. Raises ConfigurationError on what is no KEY=VALUE.

    >>> settings_of(["beta=0.2", "note=a b", "rewards=[]"], {"beta": 0.1, "epochs": 2})
    {'beta': 0.2, 'epochs': 2, 'note': 'a b', 'rewards': []}
    """
    found = dict(standard)
    for entry in given:
        key, equals, value = entry.partition("=")
        if not key or not equals:
            raise ConfigurationError(f"--config is given {entry!r}; expected KEY=VALUE, such as beta=0.2")
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    return found


def _dataset(settings: Settings, wanted: str, application: str) -> DatasetVersion:
    from trueloop.adapters.kafka import read_events
    from trueloop.adapters.registry import connect

    name, at, version = wanted.rpartition("@")
    if not at or not version.isdigit():
        raise ConfigurationError(f"--dataset is given {wanted!r}; expected NAME@VERSION, such as {application}/pairs@1")
    for event in read_events(settings.kafka, connect(settings.registry), DATASET_VERSIONS):
        if isinstance(event, DatasetVersion) and (event.name, event.version) == (name, int(version)) and event.application == application:
            if event.kind is not DatasetKind.PAIRS:
                raise ConfigurationError(f"dataset {wanted!r} is of kind {event.kind}; expected PAIRS: held-out items are not trained on")
            return event
    raise ConfigurationError(f"application {application!r} has no dataset {wanted!r}; see `trueloop dataset ls`")


def _request(settings: Settings, policy: Policy, dataset: DatasetVersion, method: str, *, base: str | None, given: list[str]) -> TrainingRequest:
    from trueloop.adapters.model_store import SCHEME, ModelStore

    release = serving_release(settings, policy.application)
    if release is None:
        raise ConfigurationError(f"no checkpoint serves {policy.application!r}, to be compared with; see `trueloop model register --help`")
    start = ModelStore(settings.models).checkpoint(SCHEME + base.removeprefix(SCHEME)) if base else None
    base_checkpoint, base_uri = (start.checkpoint, start.uri) if start else (release.checkpoint, release.checkpoint_uri)
    text = canonical_json(settings_of(given, policy.training.config if method == policy.training.method else {}))
    content = {"dataset": dataset.name, "dataset_version": dataset.version, "dataset_hash": dataset.content_hash}
    content_id = job_id_of(method, base_checkpoint, text, dataset=dataset.name, dataset_version=dataset.version, dataset_hash=dataset.content_hash)
    # A job of its own, also where the trigger would order the very same: it waits for the end of the one that it ordered.
    job_id = derive_id("job-by-hand", content_id)
    return TrainingRequest(
        event_id=derive_id("training-request", job_id),
        occurred_at=datetime.now(UTC),
        application=policy.application,
        job_id=job_id,
        method=method,
        base_checkpoint=base_checkpoint,
        base_uri=base_uri,
        baseline_checkpoint=release.checkpoint,
        baseline_uri=release.checkpoint_uri,
        dataset_end_offset=dataset.end_offset,
        dataset_excluded=dataset.excluded,
        config=text,
        reason=TriggerReason.MANUAL,
        timeout_seconds=policy.training.timeout_minutes * 60 if policy.training.timeout_minutes is not None else None,
        rubric_id=dataset.rubric_id,
        rubric_version=dataset.rubric_version,
        policy_id=policy.id,
        policy_version=policy.version,
        **content,
    )
