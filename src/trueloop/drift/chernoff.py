"""Chernoff's upper confidence bound of a mean of bounded losses."""

from math import log

_HALVINGS = 60
"""Enough to meet the bound to the last bit of a float in [0, 1]."""


def upper_bound(mean: float, n: int, error: float) -> float:
    """Return a bound in (mean, 1] that the expected mean of `n` independent losses in [0, 1] exceeds with probability `error` at most.

    The largest q with n kl(mean, q) <= log(1 / error), kl being the Kullback-Leibler divergence of two coin flips. Holds for every n and
    every distribution on [0, 1], and for losses whose means differ among themselves; it knows nothing of the variance, so for losses that
    scatter less than coin flips it is wide.

    Args:
        mean: Mean of the losses, [0, 1].
        n: Number of losses, >= 1.
        error: Probability that the bound does not hold, (0, 1).

    Reference: Hoeffding, W. (1963). Probability inequalities for sums of bounded random variables. Journal of the American Statistical
    Association 58, 13-30, theorem 1, equation 2.1.

    >>> round(upper_bound(0.0, 200, 0.1), 6) == round(1 - 0.1 ** (1 / 200), 6)
    True
    """
    if not (0.0 <= mean <= 1.0 and n >= 1 and 0.0 < error < 1.0):
        raise ValueError(f"mean, n, error are {mean!r}, {n!r}, {error!r}; expected [0, 1], >= 1 and (0, 1)")
    allowed = -log(error) / n
    inside, outside = mean, 1.0
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        if middle < 1.0 and _divergence(mean, middle) <= allowed:
            inside = middle
        else:
            outside = middle
    return outside


def _divergence(p: float, q: float) -> float:
    """Return kl(p, q) for p <= q < 1, in nats."""
    heads = p * log(p / q) if p > 0 else 0.0
    tails = (1 - p) * log((1 - p) / (1 - q)) if p < 1 else 0.0
    return heads + tails
