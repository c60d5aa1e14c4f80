"""The Beta distribution: its distribution function and quantiles. Student's t and binomial tails follow from them."""

from functools import lru_cache
from math import exp, inf, lgamma, log, log1p, sqrt

_TINY = 1e-300
_PRECISION = 1e-15
_TERMS = 10_000
_STEPS = 200
"""Newton's method takes about six steps; where it cannot be used, bisection reaches the spacing of floats near any quantile above 1e-30."""
_SMALL_STEP = 1e-9
_EXPONENT = 700.0
"""Beyond this the exponential function overflows, or divides by nothing."""


def beta_cdf(x: float, alpha: float, beta: float) -> float:
    """Return the probability that a Beta(alpha, beta) variable is at most x: the regularised incomplete beta function I_x(alpha, beta).

    By Lentz's continued fraction (Press et al. 2007, Numerical Recipes, section 6.4). `x` is cut to [0, 1]; alpha and beta > 0.

    >>> round(beta_cdf(0.5, 2, 2), 12), round(beta_cdf(0.1, 1, 1), 12)
    (0.5, 0.1)
    """
    if not (alpha > 0 and beta > 0):
        raise ValueError(f"alpha, beta are {alpha!r}, {beta!r}; expected numbers > 0")
    if x <= 0 or x >= 1:
        return float(x >= 1)
    front = exp(lgamma(alpha + beta) - lgamma(alpha) - lgamma(beta) + alpha * log(x) + beta * log1p(-x))
    # The fraction converges fast on the side of the mean where x lies to its left.
    if x < (alpha + 1) / (alpha + beta + 2):
        return min(1.0, front * _fraction(x, alpha, beta) / alpha)
    return max(0.0, 1.0 - front * _fraction(1 - x, beta, alpha) / beta)


def _fraction(x: float, alpha: float, beta: float) -> float:
    both = alpha + beta
    c, d = 1.0, 1.0 / ((1 - both * x / (alpha + 1)) or _TINY)
    value = d
    for m in range(1, _TERMS):
        twice = alpha + 2 * m
        step = m * (beta - m) * x / ((twice - 1) * twice)
        # Lentz's method divides by these: 0 is replaced by a number next to it.
        d = 1.0 / ((1 + step * d) or _TINY)
        c = (1 + step / c) or _TINY
        value *= c * d
        step = -(alpha + m) * (both + m) * x / (twice * (twice + 1))
        d = 1.0 / ((1 + step * d) or _TINY)
        c = (1 + step / c) or _TINY
        value *= c * d
        if abs(c * d - 1) < _PRECISION:
            break
    return value


@lru_cache(maxsize=4096)
def beta_quantile(probability: float, alpha: float, beta: float) -> float:
    """Return x in [0, 1] that a Beta(alpha, beta) variable is below with `probability`: Newton's method, kept within a shrinking bracket.

    >>> round(beta_quantile(0.975, 9.5, 1.5), 4)
    0.989
    """
    if not 0.0 <= probability <= 1.0:
        raise ValueError(f"probability is {probability!r}; expected a number in [0, 1]")
    low, high, x = 0.0, 1.0, alpha / (alpha + beta)
    scale = lgamma(alpha + beta) - lgamma(alpha) - lgamma(beta)
    for _ in range(_STEPS):
        excess = beta_cdf(x, alpha, beta) - probability
        low, high = (low, x) if excess > 0 else (x, high)
        log_density = scale + (alpha - 1) * log(x) + (beta - 1) * log1p(-x) if 0 < x < 1 else -inf
        following = x - excess / exp(log_density) if -_EXPONENT < log_density < _EXPONENT else low
        newton = low < following < high
        if not newton:
            following = (low + high) / 2
        # Newton's method squares its error: after so small a step nothing is left of it. Bisection goes on to the last bit.
        if abs(following - x) <= (_SMALL_STEP if newton else _PRECISION) * min(x, 1 - x):
            return following
        x = following
    return x


def t_quantile(probability: float, df: float) -> float:
    """Return the quantile of Student's t distribution with `df` > 0 degrees of freedom; `probability` in (0, 1).

    >>> round(t_quantile(0.975, 10), 3), round(t_quantile(0.025, 1e6), 3)
    (2.228, -1.96)
    """
    if not (0.0 < probability < 1.0 and df > 0):
        raise ValueError(f"probability, df are {probability!r}, {df!r}; expected (0, 1) and > 0")
    if probability == 0.5:
        return 0.0
    # df / (df + t**2) is Beta(df/2, 1/2); far out in the tail it is small, and so exact.
    share = beta_quantile(2 * min(probability, 1 - probability), df / 2, 0.5)
    size = sqrt(df * (1 - share) / share) if share > 0 else inf
    return size if probability > 0.5 else -size


def binomial_tail(successes: int, n: int, chance: float) -> float:
    """Return the probability of at least `successes` in n independent trials of probability `chance`.

    >>> round(binomial_tail(2, 2, 0.5), 12), binomial_tail(0, 5, 0.1)
    (0.25, 1.0)
    """
    if not (0 <= successes <= n and 0.0 <= chance <= 1.0):
        raise ValueError(f"successes, n, chance are {successes!r}, {n!r}, {chance!r}; expected 0 <= successes <= n and [0, 1]")
    return 1.0 if successes == 0 else beta_cdf(chance, successes, n - successes + 1)
