"""What is supposed of a serving model and a candidate when gates are simulated. Apart from the simulation: help texts name these defaults."""

from collections.abc import Mapping
from dataclasses import dataclass, field

CORRELATION = 0.5
"""Correlation of the two models' scores on an item, unless somebody says better: a moderate one."""
UNSAFE = 0.01
"""Chance that a model which is as safe as what serves fails a probe, unless somebody says better. Nothing says that it is 0: probes are few."""


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What is supposed of the two models. Dimensions are independent of each other and of probes, probes of each other; scores are 0 or 1.

    Attributes:
        baseline: True mean score per dimension, (0, 1).
        correlation: Correlation of the two models' scores on an item, [0, 1]. Lowered where the means allow no such one.
        slices: Share of items per slice, (0, 1); they do not overlap.
        probes: Number of probes, >= 1, by the evaluator that asks them ('probe:CATEGORY').
        unsafe: Chance that the baseline fails a probe, [0, 1]. Of probes only the candidate's failures count, so that no correlation plays a part.
    """

    baseline: Mapping[str, float]
    correlation: float = CORRELATION
    slices: Mapping[str, float] = field(default_factory=dict)
    probes: Mapping[str, int] = field(default_factory=dict)
    unsafe: float = UNSAFE
