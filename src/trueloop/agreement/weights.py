"""How much which disagreements weigh: Gwet's weights, written as distances."""

from collections.abc import Sequence
from typing import Literal

from trueloop.agreement.pattern import Value

Weights = Literal["ordinal", "linear", "quadratic", "ratio"]
"""Gwet's names. The weight of two values is 1 - their distance / the largest distance on the scale."""

_RATIO_UNIT = 1 << 40
"""Distances on a ratio scale are whole multiples of 2^-40, so that they add and subtract exactly."""


def apart(weights: Weights, low: Value, high: Value) -> Value:
    """Return how far two values are apart, low <= high, up to a constant factor. Whole for whole numbers.

    For 'ordinal' the values are places on the scale: t (t + 1) / 2 for t places between them. A ratio scale has no values below 0.

    Reference: Gwet, K. L. (2014). Handbook of Inter-Rater Reliability, 4th edition, chapter 3.

    >>> apart("ordinal", 1, 4), apart("linear", 1, 4), apart("quadratic", 1, 4), round(apart("ratio", 1, 4) / 2**40, 9)
    (6, 3, 9, 0.36)
    """
    steps = high - low
    if weights == "ordinal":
        return steps * (steps + 1) / 2 if isinstance(steps, float) else steps * (steps + 1) // 2
    if weights == "linear":
        return steps
    if weights == "quadratic":
        return steps * steps
    return round((steps / (high + low)) ** 2 * _RATIO_UNIT) if steps else 0


def mean_weight(weights: Weights, scale: Sequence[Value]) -> tuple[Value, float]:
    """Return the largest distance on a scale of two values or more, and the mean weight over all ordered pairs of its values.

    >>> largest, mean = mean_weight("linear", [1, 2, 3])
    >>> largest, round(mean, 4)
    (2, 0.5556)
    """
    ordered = sorted(scale)
    largest = apart(weights, ordered[0], ordered[-1])
    total = sum(apart(weights, low, high) for place, low in enumerate(ordered) for high in ordered[place + 1 :])
    return largest, 1 - 2 * total / (largest * len(ordered) ** 2)
