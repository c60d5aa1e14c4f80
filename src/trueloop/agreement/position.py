"""Whether candidates are preferred for being shown first."""

from dataclasses import dataclass, field
from math import erfc, sqrt
from typing import Any

from trueloop.agreement.interval import MIN_CLUSTERS, t_quantile
from trueloop.estimates.frame import Column, aligned, cells
from trueloop.events.agreement import Undefined

TIE = -1
"""A preference for none of the candidates."""


@dataclass(frozen=True, slots=True)
class PositionBias:
    """Whether candidates are preferred for being shown first. What the data do not define is None.

    Attributes:
        share_first: Share of preferences, ties left out, for the candidate that was shown first.
        expected: The share that chance would give: one by the number of candidates.
        p_value: Two-sided, of the hypothesis that the position does not matter.
        ci_low: Lower end of the two-sided confidence interval of the share.
        ci_high: Its upper end.
        n_preferences: Preferences that are no tie.
        n_tasks: Tasks that they were given on.
        undefined: Why the share, or else the test and the interval, is None.
    """

    share_first: float | None
    expected: float | None
    p_value: float | None
    ci_low: float | None
    ci_high: float | None
    n_preferences: int
    n_tasks: int
    undefined: Undefined | None = None

    @property
    def value(self) -> float | None:
        """The share of preferences for the candidate that was shown first."""
        return self.share_first

    @property
    def n(self) -> int:
        """Preferences that are no tie."""
        return self.n_preferences

    @property
    def interval(self) -> tuple[float, float] | None:
        """Both ends of the interval of the share, or None."""
        return None if self.ci_low is None or self.ci_high is None else (self.ci_low, self.ci_high)


@dataclass
class Positions:
    """What the test of position bias follows from: whole numbers that add over tasks, and subtract again.

    Attributes:
        sums: Number of candidates -> tasks with a preference, and over these tasks the sums of f, d, f^2, f d and d^2, where d is the number
            of preferences on a task that are no tie and f how many of them are for the candidate shown first.
    """

    sums: dict[int, tuple[int, ...]] = field(default_factory=dict)

    def add(self, shown: int, first: int, decided: int, times: int = 1) -> None:
        """Count one task; with `times` = -1 take away one that was counted. A task without preferences counts for nothing."""
        if decided:
            self._change(shown, (1, first, decided, first * first, first * decided, decided * decided), times)

    def merge(self, other: "Positions", times: int = 1) -> None:
        """Count all tasks that another counted; none may be in both. With `times` = -1 take them away."""
        for shown, sums in other.sums.items():
            self._change(shown, sums, times)

    def _change(self, shown: int, change: tuple[int, ...], times: int) -> None:
        before = self.sums.get(shown, (0,) * len(change))
        after = tuple(value + times * difference for value, difference in zip(before, change, strict=True))
        if any(after):
            self.sums[shown] = after
        else:
            del self.sums[shown]


def position_test(positions: Positions, confidence: float = 0.95) -> PositionBias:
    """Return the test of position bias that `position_bias` describes, from what was counted."""
    tasks, first, decided = (sum(sums[place] for sums in positions.sums.values()) for place in (0, 1, 2))
    if decided == 0:
        return PositionBias(None, None, None, None, None, 0, 0, Undefined.NO_PAIRABLE_UNITS)
    in_order = sorted(positions.sums.items())
    share, expected = first / decided, sum(sums[2] / shown for shown, sums in in_order) / decided
    excess = sum((shown * sums[1] - sums[2]) / shown for shown, sums in in_order)
    null = sum((shown * shown * sums[3] - 2 * shown * sums[4] + sums[5]) / shown**2 for shown, sums in in_order)
    squares = sum(sums[3] - 2 * share * sums[4] + share * share * sums[5] for _, sums in in_order)
    if tasks < MIN_CLUSTERS or null <= 0:
        reason = Undefined.TOO_FEW_UNITS if tasks < MIN_CLUSTERS else Undefined.NO_VARIATION
        return PositionBias(share, expected, None, None, None, decided, tasks, reason)
    half = t_quantile(0.5 + confidence / 2, tasks - 1) * sqrt(max(0.0, squares) * tasks / (tasks - 1)) / decided
    p_value = erfc(abs(excess) / sqrt(2 * null))
    return PositionBias(share, expected, p_value, max(0.0, share - half), min(1.0, share + half), decided, tasks)


def position_bias(tasks: Column, choices: Column, *, data: Any = None, candidates: int = 2, confidence: float = 0.95) -> PositionBias:
    """Test whether candidates are preferred for being shown first.

    The display order of a task was drawn at random. So if the position does not matter, the preferences for the candidate shown first exceed
    their share, summed over the reviewers of a task, by something of mean 0 that is independent between tasks, however much the reviewers of
    a task agree. The test compares the sum over tasks with the root of its sum of squares (a sign-flip test in its normal form); it takes
    20 tasks. Ties say nothing about the position and are left out.

    Args:
        tasks: The task of each preference.
        choices: Place of the preferred candidate as it was displayed, 0 being the first; -1 is a tie, None and NaN no answer.
        data: A data frame, when columns are given by their names.
        candidates: Number of candidates that were displayed, >= 2.
        confidence: Of the interval, two-sided, (0, 1).

    Raises:
        ValueError: The columns differ in length, or a choice is none of the places.

    >>> bias = position_bias(range(40), [0] * 30 + [1] * 10)
    >>> bias.share_first, round(bias.p_value, 4)
    (0.75, 0.0016)
    """
    if candidates < 2:
        raise ValueError(f"candidates is {candidates}; expected at least 2")
    of, chosen = cells(tasks, data), cells(choices, data)
    aligned(tasks=of, choices=chosen)
    counts: dict[Any, list[int]] = {}
    for row, (task, choice) in enumerate(zip(of, chosen, strict=True)):
        if choice is None or choice == TIE:
            continue
        if choice not in range(candidates):
            raise ValueError(f"choices[{row}] is none of the places 0 to {candidates - 1}, no tie (-1) and not missing")
        count = counts.setdefault(task, [0, 0])
        count[0] += choice == 0
        count[1] += 1
    positions = Positions()
    for first, decided in counts.values():
        positions.add(candidates, first, decided)
    return position_test(positions, confidence)
