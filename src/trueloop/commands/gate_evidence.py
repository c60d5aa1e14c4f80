"""What a decision of the gate stands on, as tables in a terminal."""

import typer

from trueloop.commands.output import print_table, printable
from trueloop.events import Diagnostic, DimensionVerdict, Evaluation, EvaluatorEvidence, GateDecision


def show_evidence(gate: GateDecision, evaluation: Evaluation | None) -> None:
    """Print the verdict per dimension, slice and evaluator, what evaluators are worth, and the diagnostics; `evaluation` is None when it is gone."""
    known = {} if evaluation is None else {(each.dimension, each.evaluator): each for each in evaluation.evaluators}
    rows = [_row(each, known.get((each.dimension, each.evaluator))) for each in gate.dimensions]
    columns = ("dimension", "slice", "evaluator", "verdict", "n", "missing", "candidate", "baseline", "difference", "agrees with people", "why")
    print_table(columns, rows, "no dimension was judged")
    _show_people(gate)
    if evaluation is None:
        typer.echo(f"\nevaluation {gate.evaluation_id} is not in the log any more: what it measured beside these scores is not known")
    else:
        _show_beside(evaluation)
    typer.echo(f"\n{gate.verdict.value}: {', '.join(reason.value for reason in gate.reasons)}")


def _row(each: DimensionVerdict, evidence: EvaluatorEvidence | None) -> tuple[object, ...]:
    return (
        *(each.dimension, each.slice, each.evaluator, each.verdict.value, each.n),
        _missing(each, evidence),
        _bounded(each.candidate, each.candidate_low, each.candidate_high),
        None if each.baseline is None else f"{each.baseline:.3f}",
        _bounded(each.difference, each.difference_low, each.difference_high),
        _agreement(evidence),
        ", ".join(reason.value for reason in each.reasons),
    )


def _missing(each: DimensionVerdict, evidence: EvaluatorEvidence | None) -> int | None:
    """Return how many items lack a score, which is known over all and not by slice; of people, how many answers are missing now."""
    if each.answers_missing is not None:
        return each.answers_missing
    return evidence.n_missing if evidence is not None and each.slice == "all" else None


def _show_people(gate: GateDecision) -> None:
    for each in gate.dimensions:
        if each.answers_missing is None:
            continue
        rate = _bounded(each.candidate, each.candidate_low, each.candidate_high) or "unknown"
        above = "above" if each.superior else "at least"
        typer.echo(
            f"\npeople on {printable(each.dimension)}: win rate {rate}, {above} {each.floor:.3f} is asked; {each.n} answers count, {each.ties} of them ties, "
            f"{each.answers_missing} more are asked for"
        )


def _show_beside(evaluation: Evaluation) -> None:
    typer.echo(f"\n{evaluation.n_items} held-out prompts, version {evaluation.calibration_version}; decoding {evaluation.decoding}")
    judges = [each for each in evaluation.evaluators if each.evaluator.startswith("judge:")]
    if judges:
        typer.echo()
        cells = [
            (each.dimension, each.evaluator, _agreement(each), _bounded(each.human_ac2, each.human_ac2_low, each.human_ac2_high), _signed(each.human_bias))
            for each in judges
        ]
        print_table(("dimension", "judge", "correlation with people", "AC2", "people less judge"), cells, "no judge")
    if evaluation.diagnostics:
        typer.echo()
        print_table(("answers", "n", "candidate", "baseline", "difference"), [_diagnostic(each) for each in evaluation.diagnostics], "no diagnostics")
    for warning in evaluation.warnings:
        typer.echo(f"warning: {warning.value} (decides nothing)")


def _diagnostic(each: Diagnostic) -> tuple[object, ...]:
    return (
        *(each.kind.value.lower(), each.n, f"{each.candidate:.3f}", f"{each.baseline:.3f}"),
        _bounded(each.difference, each.difference_low, each.difference_high, sign="+"),
    )


def _agreement(evidence: EvaluatorEvidence | None) -> str | None:
    if evidence is None or not evidence.evaluator.startswith("judge:"):
        return None
    shown = _bounded(evidence.human_agreement, evidence.human_agreement_low, evidence.human_agreement_high) or "unknown"
    why = f", {evidence.human_undefined}" if evidence.human_undefined else ""
    return f"{shown} (n {evidence.human_agreement_n}{why})"


def _bounded(value: float | None, low: float | None, high: float | None, sign: str = "") -> str | None:
    if value is None:
        return None
    return f"{value:{sign}.3f}" if low is None or high is None else f"{value:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"


def _signed(value: float | None) -> str | None:
    return None if value is None else f"{value:+.3f}"
