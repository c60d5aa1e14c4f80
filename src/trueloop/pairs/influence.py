"""How much of a dataset's weight stands on one reviewer, or on one user's appeals; and weights under which nobody has too much."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum, inf

_NOBODY = ""
_ROUNDING = 1e-12
"""Relative: who is at the cap but for rounding is not cut."""


@dataclass(frozen=True, slots=True)
class Backing:
    """The weight of a pair, >= 0, and who is behind it: the reviewers whose labels it stands on, and the user whose appeal led to it, if any."""

    weight: float
    reviewers: tuple[str, ...] = ()
    appellant: str | None = None


def capped_weights(pairs: Sequence[Backing], max_influence: float) -> list[float]:
    """Return the weights of pairs, in their order, after which nobody carries more than a share of their sum. Weights only fall.

    A pair stands on each of its reviewers by an equal part, and on its appellant as a whole. Who is above the cap has their parts lowered by one
    factor, and the weight of a pair is what is left of its parts. The cap is `max_influence`, or twice an equal share where that is more: with 2 / n
    for n parties, at least half of them are at or under the cap whatever it is, so that nobody is cut who carries no more than the median. (With 1 / n,
    one label of a new reviewer would cut all others to the same.) What no reviewer is known of, or no appellant is behind, counts as a party for each
    pair and is never cut.

    Appellants are cut first, then reviewers. The cap of reviewers holds for what is returned; that of appellants for the weights before reviewers were
    cut, because both cannot always be had: when all appeals are one user's and all the rest is one reviewer's, one of them carries half.

    Args:
        pairs: The pairs.
        max_influence: Largest share, (0, 1].

    Raises:
        ValueError: `max_influence` is outside (0, 1], or a weight is negative.

    >>> busy = [Backing(1.0, ("ada",))] * 10
    >>> others = [Backing(1.0, (name,)) for name in ("ben", "cleo", "dan", "eve", "finn", "gus", "hal", "ida", "joe")]
    >>> weights = capped_weights(busy + others, 0.25)
    >>> round(sum(weights[:10]), 9), sum(weights[10:])
    (3.0, 9.0)
    """
    return [_weight(parts) for parts in influence_parts(pairs, max_influence)]


def influence_parts(pairs: Sequence[Backing], max_influence: float) -> list[dict[str, float]]:
    """Return the parts that the weight of each pair in `capped_weights` is the sum of: reviewer -> what stands on them; under '' what no reviewer is known
    of. Raises ValueError as `capped_weights` does."""
    if not 0.0 < max_influence <= 1.0:
        raise ValueError(f"max_influence is {max_influence}; expected a share in (0, 1]")
    if any(pair.weight < 0 for pair in pairs):
        raise ValueError("a pair has a negative weight; expected weights >= 0")
    appeals = _capped([pair.weight for pair in pairs], [() if pair.appellant is None else (pair.appellant,) for pair in pairs], max_influence)
    return _capped([_weight(parts) for parts in appeals], [tuple(sorted(set(pair.reviewers))) for pair in pairs], max_influence)


def _capped(weights: Sequence[float], parties: Sequence[tuple[str, ...]], max_influence: float) -> list[dict[str, float]]:
    """Return the parts of each pair, by party, after which no party is above the cap. Before, they are equal.

    What a party carries becomes min(old, L), with the largest L that is no more than the cap times what is then left of the sum.
    """
    carried: dict[str, list[float]] = {}
    free: list[float] = []
    for weight, names in zip(weights, parties, strict=True):
        if weight and not names:
            free.append(weight)
        for name in names if weight else ():
            carried.setdefault(name, []).append(weight / len(names))
    sums = {name: fsum(parts) for name, parts in carried.items()}
    level = _level(sorted(sums.values(), reverse=True), fsum(free), max(max_influence, 2.0 / max(len(sums) + len(free), 1)))
    factors = {name: 1.0 if total <= level else level / total for name, total in sums.items()}
    return [
        {name: weight * factors.get(name, 1.0) / len(names) for name in names} if names else {_NOBODY: weight}
        for weight, names in zip(weights, parties, strict=True)
    ]


def _weight(parts: Mapping[str, float]) -> float:
    return fsum(parts.values())


def _level(descending: Sequence[float], free: float, cap: float) -> float:
    """Return the largest L with L <= cap (free + sum of min(each, L)); infinity when nobody is above the cap.

    The right side less the left is concave in L and not negative at 0, so what is within the cap is an interval from 0 on. It ends between the largest
    value that is within it and the next larger one; there k values are above L, and L = cap (free + the others) / (1 - cap k).
    """
    above = 0
    while above < len(descending):
        value, others = descending[above], free + fsum(descending[above:])
        if value <= cap * (others + above * value) * (1.0 + _ROUNDING):
            return cap * others / (1.0 - cap * above) if above else inf
        above += 1
    return cap * free / (1.0 - cap * above) if above else inf
