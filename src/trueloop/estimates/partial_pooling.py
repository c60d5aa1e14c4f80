"""Partial pooling of sparse slices: each is drawn towards their common mean by as much as its own evidence is weak."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import fsum, sqrt
from statistics import NormalDist
from typing import Any, Literal

from trueloop.estimates.estimate import Estimate, Undefined

MIN_SLICES = 4
"""Slices below which nothing is pooled: their common spread cannot be estimated from fewer."""
_TOLERANCE = 1e-12
_ROUNDS = 10_000


@dataclass(frozen=True, slots=True)
class PooledEstimate:
    """A slice as a chart may show it. For display only: it borrows from other slices, so no gate and no alarm may stand on it.

    Attributes:
        value: The pooled mean; None when there is nothing to pool, or too little to pool with.
        own: The estimate of the slice alone.
        shrinkage: How far the value was drawn from its own to the common mean, [0, 1].
        ci_low: Lower end of the interval.
        ci_high: Its upper end.
        undefined: Why `value` is None.
        display_only: True.
    """

    value: float | None
    own: Estimate
    shrinkage: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    undefined: Undefined | None = None
    display_only: Literal[True] = True


def partial_pooling(slices: Mapping[Any, Estimate], *, confidence: float = 0.95) -> dict[Any, PooledEstimate]:
    """Return each slice's mean, drawn towards the common mean of all: parametric empirical Bayes with normal slices.

    A slice's true mean is taken as Normal(mu, A), its estimate as Normal around that with its own squared standard error V. mu and A are
    estimated from all slices, A >= 0; a slice keeps 1 - B of its distance from mu, B = (k - 3) / (k - 1) V / (V + A). Its interval counts what is
    not known of mu and A. Slices without value, or without a standard error above 0, are left out of the pool and get no pooled value.

    Args:
        slices: Estimate by slice; at least `MIN_SLICES` of them with a standard error, or none is pooled (TOO_FEW).
        confidence: Of the two-sided intervals, (0, 1).

    Reference: Morris, C. N. (1983). Parametric empirical Bayes inference: theory and applications. JASA 78, 47-55, section 5. With equal V it is
    the estimator of James and Stein; see Efron, B., Morris, C. (1977). Stein's paradox in statistics. Scientific American 236(5), 119-127.

    >>> slices = {name: Estimate(value, 50, std_error=0.1) for name, value in zip("abcd", (0.2, 0.6, 0.7, 0.9))}
    >>> pooled = partial_pooling(slices)
    >>> round(pooled["a"].value, 3), round(pooled["a"].shrinkage, 3)
    (0.215, 0.038)
    """
    known = {name: (own.value, own.std_error**2) for name, own in slices.items() if own.value is not None and own.std_error is not None and own.std_error > 0}
    k = len(known)
    if k < MIN_SLICES:
        return {name: PooledEstimate(None, own, undefined=own.undefined or Undefined.TOO_FEW) for name, own in slices.items()}
    common, between = _hyperparameters(list(known.values()))
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    precision = fsum(1 / (v + between) for _, v in known.values())
    usual = fsum(v / (v + between) for _, v in known.values()) / precision
    pooled: dict[Any, PooledEstimate] = {}
    for name, own in slices.items():
        if name not in known:
            pooled[name] = PooledEstimate(None, own, undefined=own.undefined or Undefined.NO_VARIATION)
            continue
        value, v = known[name]
        shrinkage = (k - 3) / (k - 1) * v / (v + between)
        leverage = 1 / (v + between) / precision
        of_spread = 2 / (k - 3) * shrinkage**2 * (usual + between) / (v + between)
        variance = v * (1 - (1 - leverage) * shrinkage) + of_spread * (value - common) ** 2
        centre, reach = (1 - shrinkage) * value + shrinkage * common, z * sqrt(variance)
        pooled[name] = PooledEstimate(centre, own, shrinkage, centre - reach, centre + reach)
    return pooled


def _hyperparameters(known: list[tuple[float, float]]) -> tuple[float, float]:
    """Return the common mean and the variance between slices, by Morris's fixed point (equation 5.2 and 5.3)."""
    k, between = len(known), 0.0
    common = fsum(value for value, _ in known) / k
    for _ in range(_ROUNDS):
        weights = [1 / (v + between) for _, v in known]
        common = fsum(w * value for w, (value, _) in zip(weights, known, strict=True)) / fsum(weights)
        following = fsum(w * (k / (k - 1) * (value - common) ** 2 - v) for w, (value, v) in zip(weights, known, strict=True)) / fsum(weights)
        following = max(0.0, following)
        if abs(following - between) <= _TOLERANCE * (1 + between):
            return common, following
        between = following
    return common, between
