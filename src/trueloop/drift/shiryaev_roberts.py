"""A Shiryaev-Roberts e-detector over betting e-values."""

from dataclasses import dataclass, replace
from math import exp, log, log1p

VERSION = 1

BETS = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
"""Shares of the wealth that are staked, in equal parts. A rise of the mean from m to m + d is met fastest near d / (1 - m) for losses of 0 and
1, and by larger stakes for losses that scatter less; below 1, so that one loss of 0 cannot ruin the wealth. Smaller stakes than these wait
too long for anything that matters, and keep the statistic high while nothing happens."""


@dataclass(frozen=True, slots=True)
class ShiryaevRoberts:
    """Evidence that the mean of losses in [0, 1] rose above a null mean at some moment that nobody knows.

    For a bet f, the e-value of a loss x is E = 1 + f (x / m - 1): at most 1 in expectation when the mean is at most m. The statistic
    R <- (R + 1) E adds up the wealth of gamblers of whom one starts at each loss; the e-detector is the mean of R over `BETS`. Under the null
    hypothesis R - n is a supermartingale, whatever the distribution and dependence, so the expected number of losses until R >= A is A at
    least (Shin et al., theorem 2.4). Only logarithms are kept, so that nothing overflows.

    Attributes:
        log_wealth: log R per bet; empty before the first loss, when R is 0.
        n: Losses so far.

    References: Shin, J., Ramdas, A., Rinaldo, A. (2023). E-detectors: a nonparametric framework for sequential change detection. New England
    Journal of Statistics in Data Science; arXiv 2203.03532. Waudby-Smith, I., Ramdas, A. (2024). Estimating means of bounded random variables by
    betting. Journal of the Royal Statistical Society B 86, 1-27.

    >>> state = ShiryaevRoberts()
    >>> for loss in (0.0, 1.0, 1.0, 1.0):
    ...     state = update(state, loss, null_mean=0.1)
    >>> round(state.log_e or 0.0, 2)
    5.12
    """

    log_wealth: tuple[float, ...] = ()
    n: int = 0
    version: int = VERSION

    @property
    def log_e(self) -> float | None:
        """Natural logarithm of the e-detector; None before the first loss."""
        if not self.log_wealth:
            return None
        largest = max(self.log_wealth)
        return largest + log(sum(exp(each - largest) for each in self.log_wealth) / len(self.log_wealth))


def update(state: ShiryaevRoberts, loss: float, null_mean: float) -> ShiryaevRoberts:
    """Return the state after one more loss in [0, 1]. `null_mean`, (0, 1], may differ from loss to loss but must not depend on this one."""
    if not 0.0 <= loss <= 1.0:
        raise ValueError(f"loss is {loss!r}; expected a number in [0, 1]: scale it")
    if not 0.0 < null_mean <= 1.0:
        raise ValueError(f"null_mean is {null_mean!r}; expected a number in (0, 1]")
    excess = loss / null_mean - 1.0
    if state.log_wealth:
        following = tuple(_log_one_plus(wealth) + log1p(bet * excess) for wealth, bet in zip(state.log_wealth, BETS, strict=True))
    else:
        following = tuple(log1p(bet * excess) for bet in BETS)
    return replace(state, log_wealth=following, n=state.n + 1)


def _log_one_plus(log_value: float) -> float:
    """Return log(1 + exp(log_value)) without overflow."""
    return log_value + log1p(exp(-log_value)) if log_value > 0 else log1p(exp(log_value))
