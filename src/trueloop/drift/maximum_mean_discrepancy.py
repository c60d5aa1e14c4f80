"""The maximum mean discrepancy: how far two windows of embeddings lie apart, whatever the kind of change."""

from functools import lru_cache
from math import ceil, pi

import numpy as np

from trueloop.drift.comparison import Comparison, Undefined
from trueloop.drift.embedding_window import EmbeddingWindow, spectrum, window_of
from trueloop.drift.random_features import Matrix, RandomFeatures
from trueloop.drift.resampling import Floats, hashed_uniforms

_DRAWS = 9999
_ROUNDING = 2.5e-4
"""How far the squared length of a feature vector may be from 1, as features are rounded: it decides only where nothing varies at all."""


def maximum_mean_discrepancy(
    reference: EmbeddingWindow | Matrix, current: EmbeddingWindow | Matrix, *, features: RandomFeatures | None = None, false_warning_rate: float = 0.01
) -> Comparison:
    """Return the squared maximum mean discrepancy of two windows of embeddings, with the band that it keeps by chance.

    The unbiased estimate, so it is about 0, and as often below it as above, when nothing has changed; 2 is the most. The band is what a sum of
    squared normal variables, weighted by the covariance of the reference's features, exceeds with the declared rate.

    Args:
        reference: A window that was begun by `reference_window`, or its embeddings, (n, dimensions) of float32.
        current: A window under the same features, or embeddings. Rows without a direction (zeros, NaN) do not count.
        features: For matrices; by default 32 frequencies, bandwidth 1.
        false_warning_rate: Probability of a value above the band when nothing has changed; in [0.001, 1).

    Raises:
        ValueError: Features or dimensions differ, the reference has no products, or the rate is off its scale.

    Reference: Gretton, A., Borgwardt, K. M., Rasch, M. J., Schoelkopf, B., Smola, A. (2012). A kernel two-sample test. Journal of Machine
    Learning Research 13, 723-773, equation 3 and theorem 12.

    >>> rows = np.eye(4, dtype=np.float32)
    >>> found = maximum_mean_discrepancy(np.repeat(rows[:2], 30, axis=0), np.repeat(rows[2:], 30, axis=0))
    >>> round(found.value, 2), found.state.value
    (0.6, 'WARNING')
    """
    if not 0.001 <= false_warning_rate < 1.0:
        raise ValueError(f"false_warning_rate is {false_warning_rate!r}; expected a number in [0.001, 1)")
    before, now = window_of(reference, features), window_of(current, features)
    if before.features != now.features:
        raise ValueError(f"reference and current have the features {before.features} and {now.features}; only equal features compare")
    if before.n < 2 or now.n < 2:
        missing = Undefined.NO_REFERENCE if before.n < 2 else Undefined.NO_CURRENT
        return Comparison(None, before.n, now.n, false_warning_rate=false_warning_rate, undefined=missing)
    eigenvalues = spectrum(before)
    if eigenvalues is None:
        raise ValueError("the reference has no products of features, so no band; begin it by reference_window()")
    # A feature vector has length 1, so of n (n - 1) pairs the sum of kernels is n^2 |mean|^2 - n.
    within = sum((each.n * float(each.feature_mean @ each.feature_mean) - 1.0) / (each.n - 1) for each in (before, now))
    value = within - 2.0 * float(before.feature_mean @ now.feature_mean)
    chance = np.sort((_squares(len(eigenvalues)) - 1.0) @ eigenvalues)
    quantile = float(chance[ceil((_DRAWS + 1) * (1.0 - false_warning_rate)) - 1])
    band = quantile * (1.0 / before.n + 1.0 / now.n) + _ROUNDING * (1.0 / (before.n - 1) + 1.0 / (now.n - 1))
    return Comparison(value, before.n, now.n, band_high=band, false_warning_rate=false_warning_rate)


@lru_cache(maxsize=2)
def _squares(size: int) -> Floats:
    """Return squares of normal variables, (draws, size)."""
    uniforms = hashed_uniforms("maximum mean discrepancy", 2 * _DRAWS * size)
    half = _DRAWS * size
    return np.asarray((-2.0 * np.log(uniforms[:half]) * np.cos(2.0 * pi * uniforms[half:]) ** 2).reshape(_DRAWS, size))
