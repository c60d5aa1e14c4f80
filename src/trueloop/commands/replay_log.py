"""`trueloop replay-log`."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

from trueloop.commands.output import JSON_OPTION, print_json, print_table, printable, progress
from trueloop.config import Settings, load_settings
from trueloop.errors import ConfigurationError
from trueloop.replay_log.difference import MEANING, Cause, Compared, Difference, Kind, Place

if TYPE_CHECKING:
    from trueloop.streams.shadow_replay import Report

DIFFERENT = 1


def replay_log(
    *,
    since: str = typer.Option(None, "--from", metavar="0|TIME", help="0 for the whole log, or an ISO time such as 2026-11-20T08:00:00Z."),
    keep: bool = typer.Option(False, "--keep", help="Keep the rebuilt topics, to look into them."),
    drop: str = typer.Option(None, "--drop", metavar="NAME", help="Do not replay: remove topics that were kept."),
    tables: bool = typer.Option(True, "--tables/--no-tables", help="Compare the tables of ClickHouse with the topics too."),
    wait_s: float = typer.Option(30.0, "--wait-s", min=1.0, help="How long a worker may stand still that has not read everything yet."),
    limit: int = typer.Option(10, "--limit", min=0, help="Differences to list per topic; all are counted."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Rebuild what the loop made of the log, and compare.

    \b
    The workers' code runs once more over what people and services sent, into
    topics of its own that nobody reads: no job starts, nothing is released.
    Then every topic that the loop wrote is compared with its rebuild, and
    every table with its topic. Exit code 1: something differs; it is listed.

    \b
    From a TIME on: what is made of traces since then and of their tasks'
    labels. Estimates, drift and decisions rest on all that came before, so
    they are rebuilt from the start whatever TIME is.

    \b
    Examples:
      trueloop replay-log --from 0
      trueloop replay-log --from 2026-11-20T08:00:00Z --json
      trueloop replay-log --from 0 --keep
      trueloop replay-log --drop shadow-20261120t080000-4f1a9c-
    """
    if (since is None) == (drop is None):
        raise ConfigurationError("say what to do: either --from 0 or --from TIME to replay, or --drop NAME to remove what an earlier replay kept")
    settings = _with_key(load_settings())
    if drop:
        _drop(settings, drop)
        return
    from trueloop.streams.shadow_replay import Options
    from trueloop.streams.shadow_replay import replay_log as run

    with progress() as shown, _terminable():
        report = run(settings, Options(moment_of(since, datetime.now(UTC)), keep, tables, wait_s), shown.show)
    print_json(_facts(report, limit, keep)) if as_json else _print(report, limit, keep)
    raise typer.Exit(0 if report.is_identical else DIFFERENT)


def _drop(settings: Settings, name: str) -> None:
    from trueloop.streams.shadow import drop

    typer.echo(f"removed {drop(settings, name)} topics")


def moment_of(text: str, now: datetime) -> datetime | None:
    """Return the moment that --from names; None for the beginning of the log. Raises ConfigurationError.

    >>> moment_of("0", datetime(2026, 1, 1, tzinfo=UTC)) is None
    True
    >>> moment_of("2025-12-31T10:00:00Z", datetime(2026, 1, 1, tzinfo=UTC)).isoformat()
    '2025-12-31T10:00:00+00:00'
    """
    if text == "0":
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"--from is {text!r}; expected 0, or an ISO time such as 2026-11-20T08:00:00Z") from None
    if moment.tzinfo is None:
        raise ConfigurationError(f"--from is {text!r}; expected a time with its zone, such as {text}Z for UTC")
    if moment > now:
        raise ConfigurationError(f"--from is {text!r}, which is to come; expected a time before {now.isoformat(timespec='seconds')}")
    return moment.astimezone(UTC)


def _with_key(settings: Settings) -> Settings:
    """Return the settings with the blinding key that `trueloop up` gave to the workers of this state directory, when none is set."""
    if settings.blinding_key.get_secret_value() or not (settings.state_dir / "blinding.key").exists():
        return settings
    from pydantic import SecretStr

    from trueloop.embedded.blinding import blinding_key

    return settings.model_copy(update={"blinding_key": SecretStr(blinding_key(settings.state_dir))})


@contextmanager
def _terminable() -> Iterator[None]:
    """Have SIGTERM end the work as Ctrl-C does, so that the shadow is removed."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _print(report: "Report", limit: int, keep: bool) -> None:
    columns = ("topic", "log", "rebuilt", "identical", "missing", "unexpected", "different", "notes")
    print_table(columns, [_row(compared) for compared in report.topics if _is_worth_a_line(compared)], "the loop has made nothing yet")
    if report.tables:
        typer.echo("")
        print_table(("table", "rows", "records", *columns[3:]), [_row(compared) for compared in report.tables if _is_worth_a_line(compared)], "no rows yet")
    everything = [*report.topics, *report.tables]
    for compared in everything:
        _print_differences(compared, limit)
    if keep:
        typer.echo(f"kept the topics {report.shadow}*; remove them with: trueloop replay-log --drop {report.shadow}")
    total = sum(len(compared.differences) for compared in everything)
    left_out = [compared.name for compared in everything if compared.left_out]
    if report.is_identical:
        typer.echo("identical")
    elif total:
        typer.echo(f"{total} differences, {report.unexplained} of them without a known cause")
    if left_out:
        typer.echo(f"not compared: {', '.join(left_out)}")


def _is_worth_a_line(compared: Compared) -> bool:
    return bool(compared.real or compared.rebuilt or not compared.is_identical)


def _row(compared: Compared) -> tuple[object, ...]:
    notes = {
        "said again": compared.repeated,
        "superseded": compared.superseded,
        "in flight": compared.in_flight,
        "from before": compared.before_cut,
    }
    note = compared.left_out or ", ".join(f"{count} {name}" for name, count in notes.items() if count)
    return compared.name, compared.real, compared.rebuilt, compared.identical, *(compared.of_kind(kind) for kind in Kind), note or "-"


def _print_differences(compared: Compared, limit: int) -> None:
    for cause in Cause:
        found = [difference for difference in compared.differences if difference.cause is cause]
        if not found:
            continue
        typer.echo(f"\n{compared.name}: {len(found)} {cause.value}: {MEANING[cause]}")
        for difference in found[:limit]:
            typer.echo(f"  {_line(difference)}")
        if len(found) > limit:
            typer.echo(f"  ... and {len(found) - limit} more")


def _line(difference: Difference) -> str:
    where = ", ".join(f"{side} at {place.partition}/{place.offset}" for side, place in (("log", difference.real), ("rebuilt", difference.rebuilt)) if place)
    fields = f" in {', '.join(difference.fields)}" if difference.fields else ""
    return printable(f"{difference.kind.value}{fields}: {difference.identity} ({where})")


def _facts(report: "Report", limit: int, keep: bool) -> dict[str, Any]:
    return {
        "identical": report.is_identical,
        "unexplained": report.unexplained,
        "from": report.since.isoformat() if report.since else 0,
        "shadow": report.shadow if keep else None,
        "topics": [_compared(compared, limit) for compared in report.topics],
        "tables": [_compared(compared, limit) for compared in report.tables],
    }


def _compared(compared: Compared, limit: int) -> dict[str, Any]:
    counts = {name: getattr(compared, name) for name in ("real", "rebuilt", "identical", "repeated", "superseded", "in_flight", "before_cut")}
    causes = {cause.value: sum(difference.cause is cause for difference in compared.differences) for cause in Cause}
    return {
        "name": compared.name,
        **counts,
        **{kind.value: compared.of_kind(kind) for kind in Kind},
        "causes": {name: count for name, count in causes.items() if count},
        "left_out": compared.left_out,
        "differences": [_difference(difference) for difference in compared.differences[:limit]],
    }


def _difference(difference: Difference) -> dict[str, Any]:
    return {
        "kind": difference.kind.value,
        "identity": difference.identity,
        "subject": difference.subject,
        "cause": difference.cause.value,
        "fields": difference.fields,
        "log": _place(difference.real),
        "rebuilt": _place(difference.rebuilt),
    }


def _place(place: Place | None) -> dict[str, int] | None:
    return {"partition": place.partition, "offset": place.offset} if place else None
