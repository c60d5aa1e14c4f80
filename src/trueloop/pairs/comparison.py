"""The net-win rule: how judgements on several dimensions make one order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum

from trueloop.rubrics.rubric import Rubric


def majority(votes: Sequence[int], weights: Sequence[float] | None = None) -> int:
    """Return 1 or -1 when votes (1, 0 for a tie, -1) with more than half of the weight say so, else 0: one careless rater of three decides nothing.

    >>> majority([1, 1, -1]), majority([1, 0, 0]), majority([]), majority([1, -1, -1], [1.0, 0.5, 0.25])
    (1, 0, 0, 1)
    """
    counts = [1.0] * len(votes) if weights is None else weights
    total = fsum(counts)
    return next((side for side in (1, -1) if 2 * fsum(w for vote, w in zip(votes, counts, strict=True) if vote == side) > total), 0)


@dataclass(frozen=True, slots=True)
class Order:
    """Which of two candidates is better: 1 the first, -1 the second, 0 neither; with the margin in [0, 1]."""

    direction: int
    margin: float


def net_wins(outcomes: Mapping[str, int], rubric: Rubric) -> Order:
    """Return the order of two candidates from their outcome per dimension (1, 0, -1).

    The first dimension of `rubric.vetoes` that is not a tie decides, whatever the others say. Otherwise the side with more wins is better,
    and when wins are equal the first dimension of `rubric.tie_break` that is not a tie. The margin is the net wins of the better side over
    the number of dimensions; an order that a veto or a tie-break decided has at least a margin of one win.
    """
    if not outcomes:
        return Order(0, 0.0)
    net = sum(outcomes.values())
    direction = _first(outcomes, rubric.vetoes) or (net > 0) - (net < 0) or _first(outcomes, rubric.tie_break)
    if direction == 0:
        return Order(0, 0.0)
    return Order(direction, max(net * direction, 1) / len(outcomes))


def _first(outcomes: Mapping[str, int], dimensions: Sequence[str]) -> int:
    return next((outcomes[name] for name in dimensions if outcomes.get(name)), 0)
