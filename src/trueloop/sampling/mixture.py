"""Inclusion probabilities that follow the uncertainty, mixed with a uniform floor."""

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
_NOTHING = 1e-9
"""A mean uncertainty below this is none: a stratum without doubts is sampled uniformly."""
LEAST_UNIFORM = 0.2
"""Least share of the sample that is drawn without looking. What the uncertainty misses is only found there, and no weight can be more than
1 / (this share x rate): with less, a few labels would decide every estimate."""


def inclusion_probability(rate: npt.ArrayLike, uncertainty: npt.ArrayLike, *, mean_uncertainty: npt.ArrayLike, uniform_share: float) -> Doubles:
    """Return the probability to include traces: min(1, rate (f + (1 - f) u / mean u)), f being the uniform share.

    Over a stratum its mean is the rate, as long as no probability meets 1 and `mean_uncertainty` is right; when that is wrong, the sample is
    larger or smaller than planned, and estimates are as good, because the probability that was used is the one that is logged.

    Args:
        rate: Of the stratum of each trace, [0, 1].
        uncertainty: Of each trace, [0, 1]; NaN where nothing is known: such a trace counts as average.
        mean_uncertainty: Of each trace's stratum, [0, 1], from the policy or from an earlier period; 0 and NaN mean that nothing is known.
        uniform_share: f, [0.2, 1]; at 1 the uncertainty plays no part.

    Raises:
        ValueError: A number is off its scale.

    References: Neyman allocation with an unknown scale, after Zrnic, T., Candes, E. J. (2024). Active statistical inference. arXiv 2403.03208,
    section 3.2, whose mixture with a uniform rule this is.

    >>> inclusion_probability(0.1, [0.0, 0.5, 1.0, float("nan")], mean_uncertainty=0.5, uniform_share=0.2).round(3).tolist()
    [0.02, 0.1, 0.18, 0.1]
    """
    if not LEAST_UNIFORM <= uniform_share <= 1.0:
        raise ValueError(f"uniform_share is {uniform_share!r}; expected a number in [{LEAST_UNIFORM}, 1]: below it a few labels would decide every estimate")
    rates, doubts, means = (np.asarray(each, np.float64) for each in (rate, uncertainty, mean_uncertainty))
    for name, values, may_lack in (("rate", rates, False), ("uncertainty", doubts, True), ("mean_uncertainty", means, True)):
        if np.any((values < 0) | (values > 1) | (np.isnan(values) & (not may_lack))):
            raise ValueError(f"{name} holds a number that is not in [0, 1]")
    known = means > _NOTHING
    ratio = np.where(known, doubts / np.where(known, means, 1.0), 1.0)
    ratio = np.where(np.isnan(ratio), 1.0, ratio)
    return np.asarray(np.minimum(1.0, rates * (uniform_share + (1 - uniform_share) * ratio)), np.float64)
