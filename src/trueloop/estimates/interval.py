"""Confidence intervals of means from a standard error."""

from math import sqrt

from trueloop.estimates.beta import t_quantile
from trueloop.estimates.estimate import Undefined

Ends = tuple[float, float]
Scale = tuple[float, float]
"""The smallest and the largest value that an observation can have."""


def interval(
    mean: float, std_error: float, df: float, *, n_effective: float, confidence: float, scale: Scale | None = None
) -> tuple[Ends | None, Undefined | None]:
    """Return the two-sided interval of a mean, or None and why there is none.

    Without a scale it is Student's. With one it is Wilson's score interval with the variance that was estimated and the effective number of
    observations: it stays on the scale, and does not collapse near its ends. Korn and Graubard take p (1 - p) / v for that number; Kish's
    does not depend on the labels, and so is not too large just when rare faults with heavy weights were missed. Where nothing varies, v is
    p (1 - p) / n: 0 at the ends of the scale, where Wilson's interval still has a width. Without a scale there is then no interval: equal
    observations are no proof of a variance of zero.

    Args:
        mean: The estimate.
        std_error: Its standard error, >= 0.
        df: Degrees of freedom of the standard error, > 0.
        n_effective: Equally weighted observations that would say as much, > 0.
        confidence: Two-sided, (0, 1).
        scale: Least and largest possible observation.

    References: Wilson, E. B. (1927). Journal of the American Statistical Association 22, 209-212. Kish, L. (1965). Survey Sampling. Korn, E. L.,
    Graubard, B. I. (1998). Confidence intervals for proportions with small expected number of positive counts estimated from survey data.
    Survey Methodology 24, 193-201. Franco, C., Little, R., Louis, T., Slud, E. (2019). Comparative study of confidence intervals for
    proportions in complex sample surveys. Journal of Survey Statistics and Methodology 7, 334-364.

    >>> ends, _ = interval(1.0, 0.0, 19, n_effective=20, confidence=0.95, scale=(0, 1))
    >>> [round(end, 3) for end in ends]
    [0.82, 1.0]
    """
    t = t_quantile(0.5 + confidence / 2, df)
    if scale is None:
        if std_error == 0:
            return None, Undefined.NO_VARIATION
        return (mean - t * std_error, mean + t * std_error), None
    low, width = scale[0], scale[1] - scale[0]
    # An estimate that borrows from a judge can leave the scale; its interval cannot.
    p = min(max((mean - low) / width, 0.0), 1.0)
    n = n_effective
    variance = (std_error / width) ** 2 or p * (1 - p) / n
    centre = (p + t * t / (2 * n)) / (1 + t * t / n)
    half = t / (1 + t * t / n) * sqrt(variance + t * t / (4 * n * n))
    # At the ends of the scale a bound equals the mean, up to rounding, which must not put it on the wrong side.
    ends = max(0.0, min(centre - half, p)), min(1.0, max(centre + half, p))
    return (low + width * ends[0], low + width * ends[1]), None
