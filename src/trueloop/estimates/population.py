"""Estimates over a population of which some units are labelled and all are summed: what the stream computes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from trueloop.estimates.moments import FEATURES, PAIRS, SampleMoments, unit_features

_STEP = 2**20
"""Scores are summed in whole steps of about one in a million: so sums are exact, and neither order nor batches can matter."""
_FINE = 2**40
"""The like for features of labelled units, whose products are compared with each other: one in a million millions."""
_ONE, _PREDICTION = 0, 1


class LabelledUnit(NamedTuple):
    """A labelled unit: its label, the probability with which it was to be labelled, what a judge said of it (None: nothing), and its cluster (None:
    one of its own)."""

    value: float
    probability: float
    prediction: float | None
    cluster: str | None


@dataclass(frozen=True, slots=True)
class JudgedTotals:
    """What a judge said of units, as exact sums.

    Attributes:
        n: Units that it scored.
        total: Sum of their scores, in steps.
        squares: Sum of the squares, in squared steps.
    """

    n: int = 0
    total: int = 0
    squares: int = 0

    def __add__(self, other: "JudgedTotals") -> "JudgedTotals":
        return JudgedTotals(self.n + other.n, self.total + other.total, self.squares + other.squares)

    def __sub__(self, other: "JudgedTotals") -> "JudgedTotals":
        return JudgedTotals(self.n - other.n, self.total - other.total, self.squares - other.squares)

    @classmethod
    def of(cls, scores: Sequence[float] | npt.NDArray[np.float64]) -> "JudgedTotals":
        """Return the sums of scores in [0, 1], each to the nearest step.

        >>> JudgedTotals.of([0.5, 0.25]) == JudgedTotals.of([0.25]) + JudgedTotals.of([0.5])
        True
        """
        steps = np.rint(np.asarray(scores, np.float64) * _STEP).astype(np.int64)
        return cls(len(steps), int(steps.sum()), int((steps * steps).sum()))

    @property
    def mean(self) -> float | None:
        """Mean score; None without any."""
        return self.total / _STEP / self.n if self.n else None


class LabelledSums:
    """Sums over labelled units, to which units can be added and from which they can be taken: exact, so that only which units are in counts.

    >>> from trueloop.estimates import sample_moments
    >>> units = [LabelledUnit(1.0, 0.5, 0.75, None), LabelledUnit(0.0, 0.5, 0.25, None)]
    >>> moments = LabelledSums(units).moments(JudgedTotals.of([0.75, 0.25, 0.5, 0.5]))
    >>> moments == sample_moments([1.0, 0.0, None, None], [0.5] * 4, [0.75, 0.25, 0.5, 0.5])
    True
    """

    def __init__(self, units: Iterable[LabelledUnit] = ()) -> None:
        self._totals = [0] * len(FEATURES)
        self._products = [0] * len(PAIRS)
        self._clusters: dict[str, tuple[int, list[int]]] = {}
        self._n_apart = self._n = 0
        self._judged = JudgedTotals()
        for unit in units:
            self.add(unit)

    def add(self, unit: LabelledUnit, sign: int = 1) -> None:
        """Add a unit; with a sign of -1 take it away, which has to have been added. Raises ValueError when its probability is not in (0, 1]."""
        features = [round(each * _FINE) for each in unit_features(0, unit.value, unit.probability, unit.prediction)]
        self._n += sign
        self._totals = [total + sign * feature for total, feature in zip(self._totals, features, strict=True)]
        if unit.prediction is not None:
            seen = JudgedTotals.of([unit.prediction])
            self._judged = self._judged + seen if sign > 0 else self._judged - seen
        if unit.cluster is None:
            self._n_apart += sign
            self._multiply(features, sign)
            return
        count, sums = self._clusters.pop(unit.cluster, (0, [0] * len(FEATURES)))
        self._multiply(sums, -1)
        if count + sign:
            together = [total + sign * feature for total, feature in zip(sums, features, strict=True)]
            self._clusters[unit.cluster] = count + sign, together
            self._multiply(together, 1)

    def _multiply(self, features: list[int], sign: int) -> None:
        self._products = [product + sign * features[i] * features[j] for product, (i, j) in zip(self._products, PAIRS, strict=True)]

    def moments(self, judged: JudgedTotals) -> SampleMoments:
        """Return the moments of these units, and of all others that a judge scored. `judged` counts these units too, if they have a prediction.

        The others are each taken as a cluster of their own: they are many, and only the judge's mean hangs on them. While the judge's sums are behind
        the labels (two streams), what is missing is left out.
        """
        rest = judged - self._judged
        totals, products = [total / _FINE for total in self._totals], [product / _FINE**2 for product in self._products]
        if rest.n > 0:
            total = min(max(rest.total / _STEP, 0.0), float(rest.n))
            squares = min(max(rest.squares / _STEP**2, total * total / rest.n), total)
            totals[_ONE], totals[_PREDICTION] = totals[_ONE] + rest.n, totals[_PREDICTION] + total
            for pair, size in (((_ONE, _ONE), float(rest.n)), ((_ONE, _PREDICTION), total), ((_PREDICTION, _PREDICTION), squares)):
                products[PAIRS.index(pair)] += size
        return SampleMoments(self._n + max(rest.n, 0), self._n, self._n_apart + len(self._clusters), tuple(totals), tuple(products))
