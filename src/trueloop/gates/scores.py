"""From scores per item to the sufficient statistics that a gate decides on."""

import math
from collections.abc import Iterable, Mapping, Sequence

from trueloop.events import PairedScores, derive_id

ALL = "all"
_LONGEST_SLICE = 256


def slice_name(name: str, value: str) -> str:
    """Return 'name=value'; a value too long for an event is cut and told apart by its hash.

    >>> slice_name("mood", "rude")
    'mood=rude'
    """
    full = f"{name}={value}"
    return full if len(full) <= _LONGEST_SLICE else f"{full[:200]}#{derive_id('slice', name, value)}"


def paired_scores(
    dimension: str,
    evaluator: str,
    candidate: Mapping[str, float],
    baseline: Mapping[str, float],
    *,
    slices_of: Mapping[str, Mapping[str, str]],
    slices: Sequence[str] = (),
) -> list[PairedScores]:
    """Return the statistics of the items that both were scored on: first over all, then per value of each slice, in order of name.

    Sums are exact (`math.fsum`), so the order of items does not matter. Without a common item there is no entry: no evidence is not zero.

    Args:
        dimension: Dimension that was scored.
        evaluator: What scored.
        candidate: Score per item, [0, 1].
        baseline: Score per item, [0, 1].
        slices_of: Segments of each item: name to value.
        slices: Names of the segments that are gated apart.

    Raises:
        ValueError: a score is not in [0, 1].

    >>> [(s.slice, s.n, s.sum_candidate) for s in paired_scores("tone", "check:x", {"a": 1.0, "b": 0.0}, {"a": 1.0}, slices_of={})]
    [('all', 1, 1.0)]
    """
    common = sorted(candidate.keys() & baseline.keys())
    for item in common:
        for score in (candidate[item], baseline[item]):
            if not 0.0 <= score <= 1.0:
                raise ValueError(f"{evaluator!r} gave score {score!r} on dimension {dimension!r} for item {item!r}; expected a number in [0, 1]")
    groups: dict[str, list[str]] = {}
    for name in slices:
        for item in common:
            value = slices_of.get(item, {}).get(name)
            if value is not None:
                groups.setdefault(slice_name(name, value), []).append(item)
    ordered = [(ALL, common), *sorted(groups.items())]
    return [_statistics(dimension, evaluator, label, [(candidate[item], baseline[item]) for item in items]) for label, items in ordered if items]


def _statistics(dimension: str, evaluator: str, label: str, pairs: Iterable[tuple[float, float]]) -> PairedScores:
    scores = list(pairs)
    return PairedScores(
        dimension=dimension,
        slice=label,
        evaluator=evaluator,
        n=len(scores),
        binary=all(score in (0.0, 1.0) for pair in scores for score in pair),
        sum_candidate=math.fsum(ours for ours, _ in scores),
        sum_baseline=math.fsum(theirs for _, theirs in scores),
        sum_candidate_squares=math.fsum(ours * ours for ours, _ in scores),
        sum_baseline_squares=math.fsum(theirs * theirs for _, theirs in scores),
        sum_products=math.fsum(ours * theirs for ours, theirs in scores),
    )
