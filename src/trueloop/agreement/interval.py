"""Confidence intervals of agreement coefficients from a standard error."""

from dataclasses import replace
from math import isfinite, sqrt
from statistics import NormalDist

from trueloop.agreement.estimate import Estimate
from trueloop.events.agreement import Undefined

MIN_CLUSTERS = 20
"""With fewer there is a standard error, but it is too uncertain for an interval."""


def t_quantile(probability: float, df: float) -> float:
    """Return the quantile of Student's t distribution, by the expansion of Cornish and Fisher: right to 5 digits for df >= 19.

    It is a closed form, so that a SQL view gives the same number, and cheap enough for every label.

    Reference: Abramowitz, M., Stegun, I. A. (1964). Handbook of Mathematical Functions, 26.7.5.

    >>> round(t_quantile(0.975, 19), 4), round(t_quantile(0.975, 1e9), 4)
    (2.093, 1.96)
    """
    z = NormalDist().inv_cdf(probability)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / df ** (power + 1) for power, term in enumerate(terms))


def with_interval(estimate: Estimate, variance: float | None, confidence: float, *, bias: float = 0.0, least: float = -1.0) -> Estimate:
    """Return the estimate with standard error and two-sided interval, or with the reason why there is no interval.

    The interval is Student's on the scale sqrt(1 - coefficient), for what is estimated is a rate of disagreement, and the square root
    makes the variance of a rate nearly constant (Anscombe 1948). On the plain scale the interval of a coefficient near 1 is too high, on
    the logarithmic scale too low. `tests/unit/test_agreement_coverage.py` measures it.

    Args:
        estimate: The coefficient, with its number of clusters.
        variance: Of the coefficient; None when it cannot be estimated.
        confidence: Two-sided, (0, 1).
        bias: By how much the coefficient is expected to be too large.
        least: The smallest value that it can have.

    Reference: Anscombe, F. J. (1948). The transformation of Poisson, binomial and negative-binomial data. Biometrika 35, 246-254.

    >>> low, high = with_interval(Estimate(0.75, 100, 200, n_clusters=100), 0.0025, 0.95).interval
    >>> round(low, 3), round(high, 3)
    (0.641, 0.839)
    """
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence is {confidence!r}; expected a number in (0, 1), such as 0.95")
    if estimate.value is None:
        return estimate
    if variance is None:
        return replace(estimate, undefined=Undefined.TOO_FEW_UNITS)
    if not (variance > 0 and isfinite(variance) and estimate.value < 1):
        return replace(estimate, undefined=Undefined.NO_VARIATION)
    std_error = sqrt(variance)
    if estimate.n_clusters < MIN_CLUSTERS:
        return replace(estimate, std_error=std_error, undefined=Undefined.TOO_FEW_UNITS)
    root = sqrt(max(0.0, 1 - estimate.value + bias))
    half = t_quantile(0.5 + confidence / 2, estimate.n_clusters - 1) * std_error / (2 * sqrt(1 - estimate.value))
    low, high = 1 - (root + half) ** 2, 1 - max(0.0, root - half) ** 2
    # Rounding and bias must not put a bound on the wrong side of the estimate.
    return replace(estimate, std_error=std_error, ci_low=max(least, min(low, estimate.value)), ci_high=max(high, estimate.value))
