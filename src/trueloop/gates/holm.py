"""Holm's step-down correction: many tests, one error."""

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]


def holm(p_values: Numbers, counted: npt.NDArray[np.bool_]) -> Numbers:
    """Return p-values adjusted by Holm's step-down procedure (Holm 1979, Scandinavian Journal of Statistics 6:65-70), [0, 1].

    Rejecting those at or below alpha keeps the chance of any wrong rejection in a family at or below alpha, however its tests depend on each other
    and whichever of the hypotheses hold.

    Args:
        p_values: One family per row, [0, 1].
        counted: Of the same shape: which tests belong to the family. The others come back as they are and correct nothing.

    >>> holm(np.array([[0.01, 0.04, 0.03, 0.005]]), np.ones((1, 4), dtype=bool)).round(3).tolist()
    [[0.03, 0.06, 0.06, 0.02]]
    """
    ranked = np.where(counted, p_values, np.inf)
    order = np.argsort(ranked, axis=-1, kind="stable")
    ascending = np.take_along_axis(ranked, order, axis=-1)
    left = np.maximum(counted.sum(axis=-1, keepdims=True) - np.arange(p_values.shape[-1]), 1)
    stepped = np.minimum(np.maximum.accumulate(ascending * left, axis=-1), 1.0)
    adjusted = np.empty_like(stepped)
    np.put_along_axis(adjusted, order, stepped, axis=-1)
    return np.where(counted, adjusted, p_values)
