"""The win rate of a candidate over its baseline as people see it, with evidence that may be looked at after every answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log

from trueloop.drift.betting import log_wealth_after_each

_STEPS = 40
"""Bisection halves an interval of length 1: 40 steps leave 1e-12."""


@dataclass(frozen=True, slots=True)
class WinRate:
    """Answers in the order in which they count: 1 where the candidate won, 0 where the baseline did, 0.5 for a tie; and how many are still missing.

    *Error.* The order is a hash of ids, fixed before anybody answers, and only the longest answered beginning of it counts: so what counts is a random
    sample of the prompts, whoever answers whatever first. On it gamblers bet that the win rate lies above, or below, a limit. Of a candidate whose win
    rate is at the limit or worse they ever multiply their wealth by 1 / alpha with a chance of at most alpha (Ville 1939), so the gate may look after
    every answer and stop when it likes (Waudby-Smith and Ramdas 2024, JRSS B 86:1-27, section 4). What was shown once stays shown: p-values
    are those of the best moment so far.

    *Whose win rate.* That over prompts like the held-out ones, in the eyes of reviewers like those who answered.

    >>> shown = WinRate((1.0, 0.5, 1.0) * 10, missing=4)
    >>> round(shown.mean, 3), shown.ties, shown.p_above(0.5) < 0.01, round(shown.p_below(0.5), 2)
    (0.833, 10, True, 1.0)
    """

    values: tuple[float, ...]
    missing: int

    @property
    def n(self) -> int:
        """Answers that count."""
        return len(self.values)

    @property
    def mean(self) -> float | None:
        """Win rate, [0, 1]; None without an answer."""
        return sum(self.values) / self.n if self.values else None

    @property
    def ties(self) -> int:
        """Ties among the answers that count."""
        return self.values.count(0.5)

    def until_shown(self, limit: float, alpha: float) -> "WinRate":
        """Return what was known when the win rate was first shown to be above `limit` at alpha; everything when it was not.

        What is shown is settled, so later answers do not undo it: then it does not matter whether they are read one by one or all at once.
        """
        path = _path(self.values, limit)
        first = next((place for place, wealth in enumerate(path, 1) if wealth >= log(1.0 / alpha)), self.n)
        return WinRate(self.values[:first], self.missing)

    def p_above(self, limit: float) -> float:
        """Return the p-value of 'the win rate is at most `limit`', (0, 1]: valid after any number of answers."""
        return exp(-_most(self.values, limit))

    def p_below(self, limit: float) -> float:
        """Return the p-value of 'the win rate is at least `limit`', (0, 1]: valid after any number of answers."""
        return exp(-_most(self._mirrored, 1.0 - limit))

    def bounds(self, alpha: float) -> tuple[float, float]:
        """Return a lower and an upper bound of the win rate, each of which holds after all answers together with a chance of at least 1 - alpha."""
        return _lower_bound(self.values, alpha), 1.0 - _lower_bound(self._mirrored, alpha)

    @property
    def _mirrored(self) -> tuple[float, ...]:
        return tuple(1.0 - value for value in self.values)


def answered(values: Sequence[float | None]) -> WinRate:
    """Return the longest beginning without a gap, and how many answers are missing in all.

    >>> answered([1.0, 0.5, None, 0.0])
    WinRate(values=(1.0, 0.5), missing=1)
    """
    found: list[float] = []
    for value in values:
        if value is None:
            break
        found.append(value)
    return WinRate(tuple(found), sum(value is None for value in values))


def _path(values: Sequence[float], limit: float) -> list[float]:
    if not values:
        return []
    path: list[float] = log_wealth_after_each(values, limit).tolist()
    return path


def _most(values: Sequence[float], limit: float) -> float:
    """Return the logarithm of the most that the gamblers ever had; they begin with 1."""
    return max(0.0, *_path(values, limit)) if values else 0.0


def _lower_bound(values: Sequence[float], alpha: float) -> float:
    """Return the largest limit that the values are shown to lie above: wealth falls as the limit rises."""
    goal, low, high = log(1.0 / alpha), 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if _most(values, middle) >= goal:
            low = middle
        else:
            high = middle
    return low
