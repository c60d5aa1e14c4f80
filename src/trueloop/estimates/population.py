"""Estimates over a population of which some units are labelled and all are summed: what the stream computes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import fsum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from trueloop.estimates.moments import PAIRS, SampleMoments, sample_moments

_STEP = 2**20
"""Scores are summed in whole steps of about one in a million: so sums are exact, and neither order nor batches can matter."""
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


def population_moments(units: Sequence[LabelledUnit], judged: JudgedTotals) -> SampleMoments:
    """Return the moments of a population: those of its labelled units, and of all the others that a judge scored.

    `judged` counts the labelled units that have a prediction too. The units that are not labelled are each taken as a cluster of their own: they are
    many, and only the judge's mean hangs on them. While the judge's sums are behind the labels (two streams), what is missing is left out.

    >>> units = [LabelledUnit(1.0, 0.5, 0.75, None), LabelledUnit(0.0, 0.5, 0.25, None)]
    >>> moments = population_moments(units, JudgedTotals.of([0.75, 0.25, 0.5, 0.5]))
    >>> moments == sample_moments([1.0, 0.0, None, None], [0.5] * 4, [0.75, 0.25, 0.5, 0.5])
    True
    """
    values, probabilities = [unit.value for unit in units], [unit.probability for unit in units]
    own = sample_moments(values, probabilities, [unit.prediction for unit in units], [unit.cluster for unit in units])
    scored = [unit.prediction for unit in units if unit.prediction is not None]
    rest = judged - JudgedTotals.of(scored)
    if rest.n <= 0:
        return own
    total = min(max(rest.total / _STEP, 0.0), float(rest.n))
    squares = min(max(rest.squares / _STEP**2, total * total / rest.n), total)
    totals, products = list(own.totals), list(own.products)
    for place, size in ((_ONE, float(rest.n)), (_PREDICTION, total)):
        totals[place] = fsum((totals[place], size))
    for pair, size in (((_ONE, _ONE), float(rest.n)), ((_ONE, _PREDICTION), total), ((_PREDICTION, _PREDICTION), squares)):
        products[PAIRS.index(pair)] = fsum((products[PAIRS.index(pair)], size))
    return replace(own, n_units=own.n_units + rest.n, totals=tuple(totals), products=tuple(products))
