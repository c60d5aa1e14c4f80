"""Bringing numbers to mean 0 and standard deviation 1."""

from collections.abc import Sequence

import numpy as np

_SMALLEST_SPREAD = 1e-8


def whiten(values: Sequence[float]) -> list[float]:
    """Return the values less their mean, over their standard deviation (population); zeros where all are alike.

    >>> whiten([1.0, 2.0, 3.0])
    [-1.224744871391589, 0.0, 1.224744871391589]
    >>> whiten([0.1, 0.1, 0.1])
    [0.0, 0.0, 0.0]
    >>> whiten([])
    []
    """
    if not len(values):
        return []
    numbers = np.asarray(values, dtype=np.float64)
    spread = float(numbers.std())
    if spread <= _SMALLEST_SPREAD:
        # Equal rewards say nothing of which was better; dividing by rounding errors would.
        return [0.0] * len(numbers)
    return [float(number) for number in (numbers - numbers.mean()) / spread]
