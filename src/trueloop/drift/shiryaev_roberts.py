"""A Shiryaev-Roberts e-detector over betting e-values."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, log

import numpy as np
import numpy.typing as npt

VERSION = 2

BETS = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
"""Shares of the wealth that are staked, in equal parts. A rise of the mean from m to m + d is met fastest near d / (1 - m) for losses of 0 and
1, and by larger stakes for losses that scatter less; below 1, so that one loss of 0 cannot ruin the wealth. Smaller stakes than these wait
too long for anything that matters, and keep the statistic high while nothing happens."""
SATURATED = 1e280
"""Evidence ends here: an alarm is due long before, and no number may overflow."""
_NEGLIGIBLE, _PERIOD = 1e-200, 64
"""What a wealth of long ago has shrunk to is forgotten below this, looked at in every 64th loss: numbers near 0 are slow, and say nothing."""

Losses = Sequence[float] | npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ShiryaevRoberts:
    """Evidence that the mean of losses in [0, 1] rose above a null mean at some moment that nobody knows.

    For a bet f, the e-value of a loss x is E = 1 + f (x / m - 1): at most 1 in expectation when the mean is at most m. The statistic
    R <- (R + 1) E adds up the wealth of gamblers of whom one starts at each loss; the e-detector is the mean of R over `BETS`. Under the null
    hypothesis R - n is a supermartingale, whatever the distribution and dependence, so the expected number of losses until R >= A is A at
    least (Shin et al., theorem 2.4), and R / n at a number n that is fixed beforehand is an e-value.

    Sums and products only: the state is the same to the last bit on every machine, and however a stream is cut.

    Attributes:
        wealth: R per bet; all 0 before the first loss.
        growth: What became of a wealth of 1 since the first loss, per bet: with it two stretches of a series can be joined (`concatenate`).
        n: Losses so far.

    References: Shin, J., Ramdas, A., Rinaldo, A. (2023). E-detectors: a nonparametric framework for sequential change detection. New England
    Journal of Statistics in Data Science; arXiv 2203.03532. Waudby-Smith, I., Ramdas, A. (2024). Estimating means of bounded random variables by
    betting. Journal of the Royal Statistical Society B 86, 1-27.

    >>> round(update(ShiryaevRoberts(), (0.0, 1.0, 1.0, 1.0), null_mean=0.1).log_e or 0.0, 2)
    5.12
    """

    wealth: tuple[float, ...] = (0.0,) * len(BETS)
    growth: tuple[float, ...] = (1.0,) * len(BETS)
    n: int = 0
    version: int = VERSION

    @property
    def e_detector(self) -> float:
        """The mean of R over the bets, >= 0; 0 before the first loss."""
        a, b, c, d, e, f = self.wealth  # in the order of `run`: `sum` rounds differently from Python 3.12 on
        return (a + b + c + d + e + f) / len(self.wealth)

    @property
    def log_e(self) -> float | None:
        """Natural logarithm of the e-detector; None before the first loss."""
        return log(self.e_detector) if self.n else None


@dataclass(frozen=True, slots=True)
class Alarm:
    """Where a statistic stands after `n` values (natural logarithm; None when it is 0), and at which of them, from 1, it alarmed first."""

    log_statistic: float | None
    n: int
    at: int | None = None


def update(state: ShiryaevRoberts, losses: Losses, null_mean: float) -> ShiryaevRoberts:
    """Return the state after further losses in [0, 1], in their order.

    Args:
        state: The state before.
        losses: A batch; how losses are cut into batches changes nothing.
        null_mean: In (0, 1]. It may differ from batch to batch but must not depend on this one.

    Raises:
        ValueError: A loss or the null mean is off its scale.
    """
    if not 0.0 < null_mean <= 1.0:
        raise ValueError(f"null_mean is {null_mean!r}; expected a number in (0, 1]")
    return run(state, checked(losses), null_mean, 0.0, inf)


def concatenate(first: ShiryaevRoberts, second: ShiryaevRoberts) -> ShiryaevRoberts:
    """Return the state after two stretches of a series that follow each other, against the same null mean; the same up to rounding.

    >>> whole = update(ShiryaevRoberts(), (0.0, 1.0, 0.5, 1.0), 0.3)
    >>> joined = concatenate(update(ShiryaevRoberts(), (0.0, 1.0), 0.3), update(ShiryaevRoberts(), (0.5, 1.0), 0.3))
    >>> abs(joined.log_e - whole.log_e) < 1e-12, joined.n
    (True, 4)
    """
    wealth = tuple(before * grown + after for before, grown, after in zip(first.wealth, second.growth, second.wealth, strict=True))
    growth = tuple(before * grown for before, grown in zip(first.growth, second.growth, strict=True))
    return ShiryaevRoberts(tuple(min(each, SATURATED) for each in wealth), tuple(min(each, SATURATED) for each in growth), first.n + second.n)


def run(state: ShiryaevRoberts, losses: Sequence[float], null_mean: float, low: float, high: float) -> ShiryaevRoberts:
    """Return the state after the first loss at which the e-detector leaves [low, high), or after all of them; the losses are not checked.

    About half a microsecond per loss. The six bets are written out: a loop over them takes three times as long.
    """
    (a, b, c, d, e, f), (ga, gb, gc, gd, ge, gf) = state.wealth, state.growth
    bet_a, bet_b, bet_c, bet_d, bet_e, bet_f = BETS
    least, most = low * len(BETS), min(high, SATURATED) * len(BETS)
    count = state.n
    for count, loss in enumerate(losses, state.n + 1):
        excess = loss / null_mean - 1.0
        factor = 1.0 + bet_a * excess
        a, ga = (a + 1.0) * factor, ga * factor
        factor = 1.0 + bet_b * excess
        b, gb = (b + 1.0) * factor, gb * factor
        factor = 1.0 + bet_c * excess
        c, gc = (c + 1.0) * factor, gc * factor
        factor = 1.0 + bet_d * excess
        d, gd = (d + 1.0) * factor, gd * factor
        factor = 1.0 + bet_e * excess
        e, ge = (e + 1.0) * factor, ge * factor
        factor = 1.0 + bet_f * excess
        f, gf = (f + 1.0) * factor, gf * factor
        if not count % _PERIOD:
            ga, gb, gc, gd, ge, gf = (each if each > _NEGLIGIBLE else 0.0 for each in (ga, gb, gc, gd, ge, gf))
        if not least <= a + b + c + d + e + f < most:
            if high < SATURATED:
                break
            a, b, c, d, e, f = (min(each, SATURATED) for each in (a, b, c, d, e, f))
            ga, gb, gc, gd, ge, gf = (min(each, SATURATED) for each in (ga, gb, gc, gd, ge, gf))
    return ShiryaevRoberts((a, b, c, d, e, f), (ga, gb, gc, gd, ge, gf), count)


def checked(losses: Losses, name: str = "losses") -> list[float]:
    """Return losses as floats. Raises ValueError, naming the first that is not in [0, 1].

    >>> checked((0.0, 1))
    [0.0, 1.0]
    """
    column = np.asarray(losses, np.float64)
    if column.ndim != 1:
        raise ValueError(f"{name} have shape {column.shape}; expected one dimension")
    wrong = np.flatnonzero(~((column >= 0.0) & (column <= 1.0)))  # NaN is neither
    if len(wrong):
        raise ValueError(f"{name}[{wrong[0]}] is {float(column[wrong[0]])!r}; expected a number in [0, 1]: scale it, and leave out what is missing")
    found: list[float] = column.tolist()
    return found


def shiryaev_roberts(e_values: Losses, threshold: float | None = None) -> Alarm:
    """Return the Shiryaev-Roberts statistic of a column of e-values or likelihood ratios, in their order, and where it alarms.

    R <- (R + 1) E. When each has expectation 1 at most given those before, the expected number until R >= threshold is `threshold` at least.

    Args:
        e_values: Numbers >= 0; an empty column is no evidence.
        threshold: Where it alarms, > 0; None does not look.

    Raises:
        ValueError: An e-value is negative or no finite number, or the threshold is not positive.

    References: Roberts, S. W. (1966). A comparison of some control chart procedures. Technometrics 8, 411-430. Shin, Ramdas & Rinaldo (2023),
    arXiv 2203.03532, definition 2.3.

    >>> shiryaev_roberts([2.0, 0.5, 3.0], threshold=5.0)
    Alarm(log_statistic=2.0149030205422647, n=3, at=3)
    """
    if threshold is not None and not threshold > 0.0:
        raise ValueError(f"threshold is {threshold!r}; expected a number > 0")
    column = np.asarray(e_values, np.float64)
    if column.ndim != 1 or not np.all((column >= 0.0) & (column < inf)):
        raise ValueError("e_values must be one column of finite numbers >= 0")
    statistic, at = 0.0, None
    for count, e_value in enumerate(column.tolist(), 1):
        statistic = min((statistic + 1.0) * e_value, SATURATED)
        if at is None and threshold is not None and statistic >= threshold:
            at = count
    return Alarm(log(statistic) if statistic > 0.0 else None, len(column), at)
