"""The gate: one verdict per dimension and slice, and one over all."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from trueloop.events import DimensionVerdict, Evaluation, GateReason, PairedScores, Verdict
from trueloop.gates.intervals import Bounds, mean_difference, tango, wilson
from trueloop.rubrics import Policy, Rubric
from trueloop.rubrics.policy import DimensionGate

ALL = "all"
_BLOCKING = {GateReason.BELOW_FLOOR, GateReason.REGRESSION}
_MOST_ITEMS = 1_000_000
"""Beyond this no number of further labels is worth naming."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdict over all dimensions, why, and how many further items would probably settle it."""

    verdict: Verdict
    reasons: tuple[GateReason, ...]
    dimensions: tuple[DimensionVerdict, ...]
    labels_needed: int | None


def decide(evaluation: Evaluation, policy: Policy, rubric: Rubric) -> Decision:
    """Return the decision on a candidate.

    A dimension passes when the lower bound of its score clears the floor and the lower bound of the paired difference clears the largest
    allowed regression; it blocks when an upper bound fails one of them; else the evidence does not say. Any block blocks; without evidence
    on every gated dimension nothing passes.
    """
    if evaluation.error is not None:
        return Decision(Verdict.INCONCLUSIVE, (GateReason.EVALUATION_FAILED,), (), None)
    verdicts = tuple(_verdicts(evaluation, policy, rubric))
    reasons = tuple(dict.fromkeys(reason for verdict in verdicts for reason in verdict.reasons if reason is not GateReason.MEETS_ALL))
    found = {verdict.verdict for verdict in verdicts}
    if Verdict.BLOCK in found:
        return Decision(Verdict.BLOCK, reasons, verdicts, 0)
    if Verdict.INCONCLUSIVE in found:
        needed = [verdict.labels_needed for verdict in verdicts if verdict.verdict is Verdict.INCONCLUSIVE]
        known = [number for number in needed if number is not None]
        return Decision(Verdict.INCONCLUSIVE, reasons, verdicts, max(known) if len(known) == len(needed) else None)
    return Decision(Verdict.PASS, (GateReason.MEETS_ALL,), verdicts, 0)


def _verdicts(evaluation: Evaluation, policy: Policy, rubric: Rubric) -> Iterator[DimensionVerdict]:
    scored = {(scores.dimension, scores.slice): scores for scores in evaluation.scores}
    for gate in policy.gate.dimensions:
        dimension = rubric.dimension(gate.dimension)
        floor = dimension.floor if dimension else None
        slices = sorted(name for scored_dimension, name in scored if scored_dimension == gate.dimension and name != ALL)
        for name in (ALL, *slices):
            yield _verdict(gate, name, scored.get((gate.dimension, name)), floor, policy)


def _verdict(gate: DimensionGate, name: str, scores: PairedScores | None, floor: float | None, policy: Policy) -> DimensionVerdict:
    confidence, least = policy.gate.confidence, policy.gate.min_items
    n = scores.n if scores else 0
    common = {"dimension": gate.dimension, "slice": name, "n": n, "floor": floor, "max_regression": gate.max_regression, "confidence": confidence}
    if scores is None or n == 0:
        return DimensionVerdict(**common, verdict=Verdict.INCONCLUSIVE, reasons=[GateReason.NO_EVIDENCE], labels_needed=least)
    mean, baseline = scores.sum_candidate / n, scores.sum_baseline / n
    own, difference = wilson(min(mean, 1.0), n, confidence), _difference_bounds(scores, n, confidence)
    numbers = common | {
        "candidate": mean,
        "candidate_low": own.low,
        "candidate_high": own.high,
        "baseline": baseline,
        "difference": mean - baseline,
        "difference_low": difference.low,
        "difference_high": difference.high,
    }
    if n < least:
        return DimensionVerdict(**numbers, verdict=Verdict.INCONCLUSIVE, reasons=[GateReason.TOO_FEW_ITEMS], labels_needed=least - n)
    reasons = [*_floor_reasons(own, floor), *_regression_reasons(difference, gate.max_regression)]
    if not reasons:
        return DimensionVerdict(**numbers, verdict=Verdict.PASS, reasons=[GateReason.MEETS_ALL], labels_needed=0)
    if _BLOCKING & set(reasons):
        return DimensionVerdict(**numbers, verdict=Verdict.BLOCK, reasons=reasons, labels_needed=0)
    needed = _labels_needed(scores, reasons, floor, gate.max_regression, confidence)
    return DimensionVerdict(**numbers, verdict=Verdict.INCONCLUSIVE, reasons=reasons, labels_needed=needed)


def _floor_reasons(own: Bounds, floor: float | None) -> Iterator[GateReason]:
    if floor is not None and own.high < floor:
        yield GateReason.BELOW_FLOOR
    elif floor is not None and own.low < floor:
        yield GateReason.FLOOR_UNCERTAIN


def _regression_reasons(difference: Bounds, max_regression: float) -> Iterator[GateReason]:
    if difference.high < -max_regression:
        yield GateReason.REGRESSION
    elif difference.low < -max_regression:
        yield GateReason.REGRESSION_UNCERTAIN


def _difference_bounds(scores: PairedScores, n: float, confidence: float) -> Bounds:
    """Bounds of the mean paired difference if the evidence were scaled to `n` items."""
    share = n / scores.n
    if scores.binary:
        only_candidate = max(scores.sum_candidate - scores.sum_products, 0.0) * share
        only_baseline = max(scores.sum_baseline - scores.sum_products, 0.0) * share
        return tango(only_candidate, only_baseline, round(n), confidence)
    mean = (scores.sum_candidate - scores.sum_baseline) / scores.n
    squares = scores.sum_candidate_squares + scores.sum_baseline_squares - 2 * scores.sum_products
    variance = (squares / scores.n - mean * mean) * scores.n / max(scores.n - 1, 1)
    return mean_difference(mean, variance, round(n), confidence)


def _labels_needed(scores: PairedScores, reasons: list[GateReason], floor: float | None, max_regression: float, confidence: float) -> int | None:
    """Return the further items after which the bounds would settle, were the estimates to stay as they are; None when they would not."""
    needed = 0
    for reason in reasons:
        if reason is GateReason.FLOOR_UNCERTAIN and floor is not None:
            total = _smallest(scores.n, partial(_floor_settled, scores.sum_candidate / scores.n, floor, confidence))
        else:
            total = _smallest(scores.n, partial(_regression_settled, scores, -max_regression, confidence))
        if total is None:
            return None
        needed = max(needed, total - scores.n)
    return needed


def _floor_settled(mean: float, floor: float, confidence: float, n: int) -> bool:
    return _settled(wilson(mean, n, confidence), floor)


def _regression_settled(scores: PairedScores, limit: float, confidence: float, n: int) -> bool:
    return _settled(_difference_bounds(scores, n, confidence), limit)


def _settled(bounds: Bounds, limit: float) -> bool:
    return bounds.low >= limit or bounds.high < limit


def _smallest(start: int, enough: Callable[[int], bool]) -> int | None:
    """Return the smallest number of items that is enough, by doubling and bisection; None beyond a million."""
    high = start
    while not enough(high):
        high *= 2
        if high > _MOST_ITEMS:
            return None
    low = max(start, high // 2)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return high
