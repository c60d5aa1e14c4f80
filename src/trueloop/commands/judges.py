"""`trueloop judge`."""

from typing import TYPE_CHECKING, Any

import typer

from trueloop.cli import FAILED, group
from trueloop.commands.output import JSON_OPTION, print_json, print_table
from trueloop.config import JudgeSettings, Settings, load_settings
from trueloop.errors import ConfigurationError

if TYPE_CHECKING:
    from trueloop.adapters.judge_records import JudgeRecord
    from trueloop.judges import NoJudgement

app = group(
    help="Models that judge: endpoints that speak OpenAI's chat completions, or checkpoints of the model store. Settings name them, [judges.NAME] in "
    "trueloop.toml; a policy says only 'judge:NAME'."
)


@app.command("ls")
def list_judges(as_json: bool = JSON_OPTION) -> None:
    """List the judges of the settings, and how often each agreed with people where that was measured."""
    settings = load_settings()
    found = [_described(settings, name, judge) for name, judge in sorted(settings.judges.items())]
    if as_json:
        print_json(found)
        return
    rows = [
        (judge["name"], judge["model"], judge["url"], on, measured["agreed"], measured["n"], f"{measured['low']:.3f}..{measured['high']:.3f}", judge["fault"])
        for judge in found
        for on, measured in judge["agreement"].items()
    ] + [(judge["name"], judge["model"], judge["url"], None, None, None, None, judge["fault"]) for judge in found if not judge["agreement"]]
    columns = ("name", "model", "url", "measured on", "agreed", "of", "95 % interval", "fault")
    print_table(columns, rows, "the settings name no judge; add [judges.NAME] with url and model to trueloop.toml")


@app.command("try")
def try_judge(
    name: str = typer.Argument(..., metavar="NAME", help="A judge of the settings."),
    rubric: str = typer.Option("billing-support", "--rubric", metavar="FILE|NAME", help="The rubric whose worked examples it is asked about."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Ask a judge about a rubric's worked examples, whose scores are known, and show what it says.

    \b
    Exit code 1 when it gives no score at all. Agreement with a few examples is no
    measurement; `trueloop judge ls` shows what was measured against reviewers.

    \b
    Example:
      trueloop judge try house --rubric rubrics/support.toml
    """
    from trueloop.adapters.documents import load_rubric
    from trueloop.trainers.judges import open_judge

    judged = load_rubric(rubric)
    judge = open_judge(load_settings(), name)
    rows = [
        {"dimension": dimension.name, "expected": expected, "score": _number(score), "no_judgement": _reason(score)}
        for dimension in judged.dimensions
        for expected, score in judge.score_examples(judged, dimension.name)
    ]
    if not rows:
        raise ConfigurationError(f"rubric {judged.id!r} has no worked example to ask about; add [[dimensions.examples]], or name another with --rubric")
    if as_json:
        print_json({"judge": name, "rubric": judged.id, "version": judged.version, "answers": rows})
    else:
        print_table(("dimension", "expected", "score", "no judgement"), [tuple(row.values()) for row in rows], "")
    if all(row["score"] is None for row in rows):
        typer.echo(f"judge {name!r} gave no score", err=True)
        raise typer.Exit(FAILED)


def _described(settings: Settings, name: str, judge: JudgeSettings) -> dict[str, Any]:
    from trueloop.adapters.judge_records import JudgeRecords
    from trueloop.trainers.judges import open_judge

    described: dict[str, Any] = {"name": name, "model": judge.model, "url": judge.url, "agreement": {}, "fault": None}
    try:
        records = JudgeRecords(settings.models).of(open_judge(settings, name).fingerprint)
    except ConfigurationError as error:
        return described | {"fault": str(error)}
    return described | {"agreement": {on: _measured(record) for on, record in records.items()}}


def _measured(record: "JudgeRecord") -> dict[str, Any]:
    low, high = record.agreement.interval or (0.0, 1.0)
    return {"agreed": record.agreement.agreed, "n": record.agreement.n, "low": low, "high": high, "measured_at": record.measured_at}


def _number(score: "float | NoJudgement") -> float | None:
    return score if isinstance(score, float) else None


def _reason(score: "float | NoJudgement") -> str | None:
    return None if isinstance(score, float) else score.reason.value
