"""Partial pooling of slices, against James and Stein's published numbers."""

import math

import pytest

from trueloop.estimates import (
    Estimate,
    Undefined,
    partial_pooling,
)
from trueloop.estimates.partial_pooling import MIN_SLICES

# Efron & Morris (1977), Scientific American 236(5), table on p. 121: hits in the first 45 times at bat, and the James-Stein estimate.
BASEBALL = [
    ("Clemente", 18, 0.294), ("F. Robinson", 17, 0.289), ("F. Howard", 16, 0.285), ("Johnstone", 15, 0.280), ("Berry", 14, 0.275),
    ("Spencer", 14, 0.275), ("Kessinger", 13, 0.270), ("L. Alvarado", 12, 0.266), ("Santo", 11, 0.261), ("Swoboda", 11, 0.261),
    ("Unser", 10, 0.256), ("Williams", 10, 0.256), ("Scott", 10, 0.256), ("Petrocelli", 10, 0.256), ("E. Rodriguez", 10, 0.256),
    ("Campaneris", 9, 0.252), ("Munson", 8, 0.247), ("Alvis", 7, 0.242),
]  # fmt: skip


def test_partial_pooling_is_james_and_steins_on_their_baseball_data():
    mean = sum(hits for _, hits, _ in BASEBALL) / 45 / len(BASEBALL)
    error = math.sqrt(mean * (1 - mean) / 45)
    pooled = partial_pooling({name: Estimate(hits / 45, 45, std_error=error) for name, hits, _ in BASEBALL})
    assert 1 - pooled["Alvis"].shrinkage == pytest.approx(0.212, abs=0.001)  # c, as printed
    for name, _, published in BASEBALL:
        assert pooled[name].value == pytest.approx(published, abs=0.0011)  # they worked with c and the mean rounded to three digits
        assert pooled[name].display_only
        assert pooled[name].ci_high - pooled[name].ci_low < 2 * 1.96 * error


def test_pooling_draws_the_uncertain_further():
    slices = {name: Estimate(value, 50, std_error=error) for name, value, error in (("a", 0.9, 0.02), ("b", 0.5, 0.2), ("c", 0.8, 0.05), ("d", 0.7, 0.05))}
    pooled = partial_pooling(slices)
    assert pooled["b"].shrinkage > pooled["c"].shrinkage > pooled["a"].shrinkage
    assert 0.5 < pooled["b"].value < 0.9


def test_too_little_to_pool_with():
    slices = {name: Estimate(0.5, 10, std_error=0.1) for name in range(MIN_SLICES - 1)} | {"none": Estimate(None, 0, undefined=Undefined.NO_LABELS)}
    pooled = partial_pooling(slices)
    assert {each.value for each in pooled.values()} == {None}
    assert (pooled[0].undefined, pooled["none"].undefined) == (Undefined.TOO_FEW, Undefined.NO_LABELS)
    more = partial_pooling(slices | {name: Estimate(0.4, 10, std_error=0.1) for name in "xy"} | {"sure": Estimate(1.0, 10, std_error=0.0)})
    assert (more["none"].value, more["sure"].value, more["sure"].undefined) == (None, None, Undefined.NO_VARIATION)
    assert more["x"].value is not None
