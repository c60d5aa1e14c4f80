"""`trueloop replay`."""

import gzip
import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trueloop.commands.output import JSON_OPTION, print_json, progress
from trueloop.config import Settings, load_settings
from trueloop.errors import ConfigurationError
from trueloop.replay.formats import FORMATS, Format, format_named
from trueloop.replay.item import ReplayItem, Target, UnusableRow

if TYPE_CHECKING:
    from trueloop.commands.replay_run import Summary


def replay(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="JSON lines, plain or .gz; one or more.")],
    *,
    format_name: str = typer.Option(..., "--format", "-f", help=f"One of {', '.join(FORMATS)}."),
    application: str = typer.Option(None, "--application", "-a", help="Application of the traces; default: the name of the format's shipped policy."),
    speed: float = typer.Option(0.0, "--speed", min=0.0, help="Traces per second; 0 is as fast as it goes."),
    limit: int = typer.Option(None, "--limit", min=1, help="Stop after this many rows."),
    wait_s: float = typer.Option(60.0, "--wait-s", min=1.0, help="End when no task came for so many seconds."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Send a public data set through the loop, with the labels that its annotators gave.

    \b
    pandalm      two responses, three annotators: three labels per task
    hh-rlhf      a chosen and a rejected answer: one label per task
    alpaca-eval  outputs of one model: traces for your own reviewers; a judge's
                 file: traces with the judge's score, never a label

    \b
    Traces go in where a service's would; then this command consumes
    `review-queue` like any reviewer's tool and answers its own tasks, finding
    the blinded candidates by their text. Ids are made of the content: a second
    replay changes nothing. The workers have to run (`trueloop up`). An
    application without a policy gets the shipped one.

    \b
    Examples:
      trueloop replay --format pandalm testset-v1.jsonl.gz
      trueloop replay -f hh-rlhf harmless.jsonl --limit 200 --speed 20
    """
    from trueloop.commands.replay_run import ReplayRun

    chosen = format_named(format_name)
    target = application or chosen.documents
    skipped: dict[str, int] = {}
    items, settings = list(_items(files, chosen, target, limit, skipped)), load_settings()
    _ensure_policy(settings, chosen, target)
    with progress() as shown:
        summary = ReplayRun(settings, items, speed=speed, wait_s=wait_s, show=shown.show).run()
    if as_json:
        print_json({"application": target, "rows_skipped": skipped, **asdict(summary)})
    else:
        _report(summary, skipped)
    if chosen.labelled and items and not summary.tasks:
        raise typer.Exit(_nothing_came())


def _nothing_came() -> int:
    typer.echo("no task came back: do the workers run? see `trueloop status`", err=True)
    return 1


def _report(summary: "Summary", skipped: dict[str, int]) -> None:
    typer.echo(f"{summary.traces} traces sent, {summary.tasks} tasks came back, {summary.labels} labels given in {summary.seconds:.1f} s")
    parts = [f"{count} rows ({reason})" for reason, count in skipped.items()]
    parts += [f"{summary.ambiguous} traces (equal completions cannot be told apart)"] if summary.ambiguous else []
    if parts:
        typer.echo("passed over: " + ", ".join(parts))


def _items(files: list[Path], chosen: Format, application: str, limit: int | None, skipped: dict[str, int]) -> Iterator[ReplayItem]:
    target = Target(application, datetime.now(UTC))
    taken = 0
    for path in files:
        for number, line in enumerate(_lines(path), 1):
            if limit is not None and taken >= limit:
                return
            taken += 1
            try:
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise ConfigurationError(f"a JSON {type(row).__name__}; expected an object")
                yield chosen.parse_row(row, target)
            except UnusableRow as reason:
                skipped[str(reason)] = skipped.get(str(reason), 0) + 1
            except json.JSONDecodeError as error:
                raise ConfigurationError(f"{path} line {number} is not JSON: {error.msg}; expected one object per line") from None
            except ConfigurationError as error:
                raise ConfigurationError(f"{path} line {number} is no row of format {chosen.name!r}: {error}") from None


def _lines(path: Path) -> Iterator[str]:
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as stream:
            yield from stream
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} is not UTF-8; expected JSON lines") from None
    except (OSError, EOFError) as error:
        raise ConfigurationError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}; expected JSON lines, plain or .gz") from None


def _ensure_policy(settings: Settings, chosen: Format, application: str) -> None:
    """Publish the format's shipped rubric and policy for an application that has none, and say so."""
    from trueloop.adapters.documents import load_policy, load_rubric
    from trueloop.adapters.publication import Documents

    documents = Documents(settings)
    if any(event.application == application for event in documents.policies()):
        return
    now = datetime.now(UTC)
    policy = load_policy(chosen.documents)
    if policy.application != application:
        policy = policy.model_validate(policy.model_dump() | {"id": application, "application": application})
    documents.publish_rubric(load_rubric(chosen.documents), now)
    documents.publish_policy(policy, now)
    typer.echo(f"application {application!r} had no policy: published the shipped rubric and policy {chosen.documents!r} for it", err=True)
