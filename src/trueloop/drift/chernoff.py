"""Chernoff's exponent of the mean of bounded losses."""

from math import log


def divergence(p: float, q: float) -> float:
    """Return the Kullback-Leibler divergence of two coin flips, kl(p, q), in nats.

    The mean of n independent losses in [0, 1] whose expectations are q on average is p or less, p < q, with probability exp(-n kl(p, q)) at
    most, whatever their distributions. It knows nothing of the variance, so for losses that scatter less than coin flips it is far from sharp.

    Args:
        p: In [0, 1].
        q: In (0, 1), or 0 or 1 when p is the same.

    Reference: Hoeffding, W. (1963). Probability inequalities for sums of bounded random variables. Journal of the American Statistical
    Association 58, 13-30, theorem 1, equation 2.1.

    >>> round(divergence(0.0, 0.5), 6), divergence(0.3, 0.3)
    (0.693147, 0.0)
    """
    heads = p * log(p / q) if p > 0 else 0.0
    tails = (1 - p) * log((1 - p) / (1 - q)) if p < 1 else 0.0
    return heads + tails
