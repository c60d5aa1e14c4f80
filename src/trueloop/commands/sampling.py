"""`trueloop sampling`."""

import tomllib
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from trueloop.adapters.documents import load_policy, source_text
from trueloop.cli import FAILED, group
from trueloop.commands.governed import SOURCE
from trueloop.commands.output import JSON_OPTION, print_json, print_table
from trueloop.config import load_settings
from trueloop.errors import ConfigurationError
from trueloop.rubrics import Policy
from trueloop.rubrics.toml import toml_text

if TYPE_CHECKING:
    from trueloop.adapters.clickhouse.sampling_evidence import PastDays
    from trueloop.sampling.planning import PlannedStratum

app = group(help="Plan how much of each stratum goes before reviewers.")
OUTPUT: Any = typer.Option(None, "--output", "-o", help="Write the next version of the policy here; default: standard output.")
_WHOLE_SCALE = 0.5
COLUMNS = ("stratum", "traces/day", "spread", "s/label", "rate now", "planned", "tasks/day", "min/day", "+-", "assumed")


@app.callback()
def _sampling() -> None:
    """Keep `plan` a command of its own."""


@app.command()
def plan(
    source: str = SOURCE,
    *,
    minutes_per_day: float = typer.Option(..., "--minutes-per-day", min=0.0, help="Reviewer minutes, of all reviewers together."),
    days: float = typer.Option(7.0, "--days", min=0.04, help="How far back to look at traffic and labels."),
    least: float = typer.Option(0.0, "--least", min=0.0, help="Tasks a day that every stratum is to get at least."),
    output: Path = OUTPUT,
    as_json: bool = JSON_OPTION,
) -> None:
    """Turn a budget of reviewer minutes into sampling rates, from what the last days tell.

    \b
    The rates go into the next version of the policy, which you publish: so every
    task still carries a probability that a replay finds again. The minutes are
    divided so that the mean over all traces is estimated best (Neyman); column
    +- is what a day's tasks then leave open, 95 % interval, per stratum.

    \b
    Example:
      trueloop sampling plan policies/support.toml --minutes-per-day 240 \\
        --output policies/support.toml
    """
    from trueloop.adapters.clickhouse.sampling_evidence import past_days
    from trueloop.sampling.planning import next_version
    from trueloop.sampling.planning import plan as planned

    policy = load_policy(source)
    found = past_days(load_settings(), policy, datetime.now(UTC), days)
    if not found.evidence:
        typer.echo(
            f"no trace of {policy.application!r} that may be reviewed came in the last {days:g} days, so there is nothing to divide the minutes by", err=True
        )
        raise typer.Exit(FAILED)
    for_appeals = _minutes_for_appeals(policy, found)
    strata = planned(policy.sampling, found.evidence, max(0.0, minutes_per_day - for_appeals), least)
    document = next_version(tomllib.loads(source_text(source, Policy)), strata, found.evidence)
    if as_json:
        print_json({"days": found.days, "appeal_minutes_per_day": for_appeals, "strata": [asdict(each) for each in strata], "policy": document})
    else:
        _print(strata, found, for_appeals)
    _write(toml_text(document), output, as_json)


def _minutes_for_appeals(policy: Policy, found: "PastDays") -> float:
    from trueloop.processors.appeals import LABELS_NEEDED
    from trueloop.sampling.planning import seconds_per_label

    return found.appeals * LABELS_NEEDED * seconds_per_label(found.evidence.values()) / 60


def _print(strata: "tuple[PlannedStratum, ...]", found: "PastDays", for_appeals: float) -> None:
    from trueloop.sampling.planning import overall_half_width

    # On standard error, so that the policy on standard output is a file.
    rows = [
        (
            each.name, f"{each.traffic:,.0f}", f"{each.spread:.2f}", f"{each.seconds:.0f}", f"{each.rate_now:.4g}", f"{each.rate:.4g}", f"{each.tasks:,.1f}",
            f"{each.minutes:,.1f}", _half_width(each.half_width), ", ".join(each.assumed) or None,
        )
        for each in strata
    ]  # fmt: skip
    print_table(COLUMNS, rows, "", err=True)
    overall = overall_half_width(strata)
    said = (
        "a stratum with traffic gets no task, so the mean over all traces is not estimated"
        if overall is None
        else f"mean over all traces +- {overall:.3f} a day"
    )
    typer.echo(f"from {found.days:.1f} days; {said}; {sum(each.minutes for each in strata):,.1f} minutes a day, {for_appeals:,.1f} more for appeals", err=True)
    if any(each.assumed for each in strata):
        typer.echo("assumed where nothing is known: 60 s a label, spread 0.5 (the largest there is); a stratum without traffic keeps its rate", err=True)


def _half_width(value: float | None) -> str | None:
    """Show a half-width; an interval as wide as the scale tells nothing.

    >>> _half_width(0.0444), _half_width(1.2), _half_width(None)
    ('0.044', '> 0.5', None)
    """
    if value is None:
        return None
    return f"{value:.3f}" if value < _WHOLE_SCALE else f"> {_WHOLE_SCALE}"


def _write(text: str, output: Path | None, as_json: bool) -> None:
    if output is None:
        if not as_json:
            typer.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"--output {output} cannot be written: {error.strerror}") from None
    typer.echo(f"wrote {output}; comments of the old file are not in it. Publish it with: trueloop policy publish {output}", err=True)
