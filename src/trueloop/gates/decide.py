"""The gate: one verdict per dimension and slice, and one over all."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from trueloop.events import DimensionVerdict, Evaluation, GateReason, PairedScores, Verdict
from trueloop.gates.intervals import Bounds, mean_difference, tango, wilson
from trueloop.gates.judge import Judgement, judge
from trueloop.gates.looks import Look
from trueloop.gates.missing_labels import further_items
from trueloop.gates.requirements import Evidence, Kind, Requirement, requirements
from trueloop.rubrics import Policy, Rubric

_REASONS = {
    Kind.FLOOR: (GateReason.BELOW_FLOOR, GateReason.FLOOR_UNCERTAIN),
    Kind.NON_INFERIORITY: (GateReason.REGRESSION, GateReason.REGRESSION_UNCERTAIN),
    Kind.SUPERIORITY: (GateReason.NOT_SUPERIOR, GateReason.SUPERIORITY_UNCERTAIN),
}
"""Why a requirement blocks, and why it leaves the gate open."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdict over all dimensions, why, and how many further items would probably settle it."""

    verdict: Verdict
    reasons: tuple[GateReason, ...]
    dimensions: tuple[DimensionVerdict, ...]
    labels_needed: int | None


def decide(evaluation: Evaluation, policy: Policy, rubric: Rubric, look: Look) -> Decision:
    """Return the decision on a candidate at one look.

    It passes when the evidence meets every requirement of the policy at the look's error, is blocked when it shows that one is missed, and else
    the evidence does not say; `Judgement` says which errors are held, `look_alpha` over which looks. Without evidence on every gated dimension
    nothing passes.
    """
    if evaluation.error is not None:
        return Decision(Verdict.INCONCLUSIVE, (GateReason.EVALUATION_FAILED,), (), None)
    scored = {(scores.dimension, scores.slice): scores for scores in evaluation.scores if scores.n > 0}
    required = requirements(policy, rubric, scored)
    evidence = {unit: Evidence.of([scores]) for unit, scores in scored.items()}
    judgement = judge(required, evidence, look.alpha, policy.gate.min_items)
    verdicts = tuple(_verdicts(required, judgement, scored, policy.gate.min_items, look))
    reasons = tuple(dict.fromkeys(reason for verdict in verdicts for reason in verdict.reasons if reason is not GateReason.MEETS_ALL))
    if judgement.blocked[0]:
        return Decision(Verdict.BLOCK, reasons, verdicts, 0)
    if judgement.passed[0]:
        return Decision(Verdict.PASS, (GateReason.MEETS_ALL,), verdicts, 0)
    items = [scored[each.unit].n if each.unit in scored else 0 for each in required]
    needed = further_items(judgement, range(len(required)), required, items=items, min_items=policy.gate.min_items, alpha=look.next_alpha)
    return Decision(Verdict.INCONCLUSIVE, reasons, verdicts, needed)


def _verdicts(
    required: Sequence[Requirement], judgement: Judgement, scored: dict[tuple[str, str], PairedScores], least: int, look: Look
) -> Iterator[DimensionVerdict]:
    for unit in dict.fromkeys(each.unit for each in required):
        columns = [column for column, each in enumerate(required) if each.unit == unit]
        scores = scored.get(unit)
        reasons = list(dict.fromkeys(_reasons(required, judgement, columns, scores)))
        verdict = _verdict(judgement, columns)
        needed: int | None = 0
        if verdict is Verdict.INCONCLUSIVE:
            items = [scores.n if scores else 0] * len(required)
            needed = further_items(judgement, columns, required, items=items, min_items=least, alpha=look.next_alpha)
        tested = bool(judgement.tested[0, columns].all())
        gate = required[columns[0]].gate
        yield DimensionVerdict(
            dimension=unit[0],
            slice=unit[1],
            verdict=verdict,
            reasons=reasons or [GateReason.MEETS_ALL],
            floor=next((required[column].limit for column in columns if required[column].kind is Kind.FLOOR), None),
            max_regression=gate.max_regression,
            superior=any(required[column].kind is Kind.SUPERIORITY for column in columns),
            safety=gate.safety,
            max_failures=gate.max_failures,
            confidence=1.0 - look.alpha,
            pass_p=float(judgement.pass_p[0, columns].max()) if tested else None,
            block_p=float(judgement.block_p[0, columns].min()) if tested else None,
            labels_needed=needed,
            **_numbers(scores, 1.0 - look.alpha),
        )


def _verdict(judgement: Judgement, columns: list[int]) -> Verdict:
    if judgement.missed[0, columns].any() or judgement.failed[0, columns].any():
        return Verdict.BLOCK
    return Verdict.PASS if judgement.met[0, columns].all() else Verdict.INCONCLUSIVE


def _reasons(required: Sequence[Requirement], judgement: Judgement, columns: list[int], scores: PairedScores | None) -> Iterator[GateReason]:
    for column in columns:
        misses, unsure = _REASONS[required[column].kind]
        if judgement.failed[0, column]:
            yield GateReason.SAFETY_FAILURE
        if not judgement.tested[0, column]:
            yield GateReason.TOO_FEW_ITEMS if scores else GateReason.NO_EVIDENCE
        elif judgement.missed[0, column]:
            yield misses
        elif not judgement.met[0, column]:
            yield unsure


def _numbers(scores: PairedScores | None, confidence: float) -> dict[str, float | int]:
    """Return the estimates and their bounds as they stand in the verdict."""
    if scores is None:
        return {"n": 0}
    mean, baseline = scores.sum_candidate / scores.n, scores.sum_baseline / scores.n
    own, difference = wilson(min(mean, 1.0), scores.n, confidence), _difference_bounds(scores, confidence)
    return {
        "n": scores.n,
        "candidate": mean,
        "candidate_low": own.low,
        "candidate_high": own.high,
        "baseline": baseline,
        "difference": mean - baseline,
        "difference_low": difference.low,
        "difference_high": difference.high,
    }


def _difference_bounds(scores: PairedScores, confidence: float) -> Bounds:
    if scores.binary:
        only_candidate = max(scores.sum_candidate - scores.sum_products, 0.0)
        only_baseline = max(scores.sum_baseline - scores.sum_products, 0.0)
        return tango(only_candidate, only_baseline, scores.n, confidence)
    evidence = Evidence.of([scores])
    return mean_difference(float(evidence.mean_difference[0]), float(evidence.difference_variance[0]), scores.n, confidence)
