"""The wealth of gamblers who bet on losses of a window: evidence that their expectation lies on one side of a value."""

from collections.abc import Sequence
from math import log

import numpy as np
import numpy.typing as npt

from trueloop.drift.loss_window import STEPS, LossWindow

STAKES = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 1.0)
"""What gamblers stake, in equal parts, by the distance from the null value that each expects of coin flips; of losses that scatter less the same
stake expects a smaller one."""
POCKET = 0.05
"""Share of his wealth that a gambler keeps out of the game, so that nobody is ruined."""

_ALL = -1.0 + 1e-12
"""A gain of all that was staked, up to rounding."""
_RUIN = -1e9
"""Logarithm of what is left to who lost all: finite, so that a value which did not come, counted zero times, costs nothing."""

Floats = npt.NDArray[np.float64]


def log_wealth_above(window: LossWindow, nulls: Sequence[float] | Floats) -> Floats:
    """Return, per gambler and null value m, the logarithm of his wealth after betting that the expected loss is above m.

    With stake f he bets l = min(f / (m (1 - m)), 1 / m): each loss x multiplies what he has in the game by 1 + l (x - m), which is never negative,
    and has expectation 1 at most when the expected losses are on average at most m (independent losses may differ in expectation, by the inequality
    of the means). The wealth falls as m rises, for every x. The mean over gamblers is an e-value.

    Args:
        window: The losses, rounded up to the edge of their bin.
        nulls: m of shape (k,), each in (0, 1].

    Returns:
        Shape (stakes, k), natural logarithms.

    Reference: Waudby-Smith, I., Ramdas, A. (2024). Estimating means of bounded random variables by betting. Journal of the Royal Statistical
    Society B 86, 1-27, section 4.
    """
    losses, counts = _column(window)
    return _log_wealth(losses, counts, np.asarray(nulls, np.float64))


def log_wealth_below(window: LossWindow, nulls: Sequence[float] | Floats) -> Floats:
    """Return, per gambler and null value m in [0, 1), the logarithm of his wealth after betting that the expected loss is below m.

    The same bets on 1 - x, whose expectation is then above 1 - m. The wealth rises with m.

    >>> from trueloop.drift.loss_window import extend
    >>> mixture(log_wealth_below(extend(LossWindow(), [0.0] * 90 + [1.0] * 10), (0.1, 0.3))).round(2)
    array([-1.13,  8.92])
    """
    losses, counts = _column(window)
    return _log_wealth(1.0 - losses, counts, 1.0 - np.asarray(nulls, np.float64))


def log_wealth_after_each(values: Sequence[float], null: float) -> Floats:
    """Return the logarithm of the gamblers' mean wealth after each of some values in [0, 1], shape (n,), who bet that their expectation is above `null`.

    While the expectation of each value, given those before, is at most `null`, that this path ever reaches log(1 / alpha) has a chance of at most alpha
    (Ville's inequality): it may be looked at after every value.

    >>> log_wealth_after_each([1.0, 0.5, 1.0, 1.0], 0.5).round(2)
    array([0.27, 0.27, 0.6 , 1.  ])
    """
    column = np.asarray(values, np.float64)
    distinct, which = np.unique(column, return_inverse=True)
    counts = np.cumsum(np.eye(len(distinct))[which], axis=0).T
    return np.asarray(mixture(_log_wealth(distinct, counts, np.array([null])))[0])


def mixture(log_wealth: Floats) -> Floats:
    """Return the logarithm of the mean wealth over gamblers, from (stakes, k, ...) to (k, ...)."""
    return np.asarray(np.logaddexp.reduce(log_wealth, axis=0) - np.log(len(STAKES)))


def _column(window: LossWindow) -> tuple[Floats, Floats]:
    steps = sorted(window.counts)
    return np.array(steps, np.float64) / STEPS, np.array([window.counts[step] for step in steps], np.float64)


def _log_wealth(values: Floats, counts: Floats, nulls: Floats) -> Floats:
    """Return wealth by (stakes, k); by (stakes, k, n) when counts are those of n moments, shape (values, n)."""
    wealth = np.empty((len(STAKES), len(nulls), *counts.shape[1:]))
    with np.errstate(divide="ignore"):  # at m = 1 there is no room above, so everything is staked
        for index, stake in enumerate(STAKES):
            bet = np.minimum(stake / (nulls * (1.0 - nulls)), 1.0 / nulls)
            gain = bet[:, np.newaxis] * (values - nulls[:, np.newaxis])
            # 1 / m times m is 1 but for rounding: who staked all and lost keeps nothing, and not the last bit.
            wealth[index] = np.where(gain > _ALL, np.log1p(np.maximum(gain, _ALL)), _RUIN) @ counts
    return np.asarray(np.logaddexp(wealth + log(1.0 - POCKET), log(POCKET)))
