"""Inclusion probabilities: what a trace's draw is compared with."""

from collections.abc import Mapping
from dataclasses import dataclass

from trueloop.rubrics.policy import Sampling

ALL = "all"


@dataclass(frozen=True, slots=True)
class Inclusion:
    """The probability with which a trace is included, and the stratum that it comes from."""

    probability: float
    stratum: str


def inclusion(sampling: Sampling, slices: Mapping[str, str]) -> Inclusion:
    """Return the inclusion of a trace: the rate of the first stratum that its slices match, else the general rate."""
    for stratum in sampling.strata:
        if slices.get(stratum.slice) == stratum.value:
            return Inclusion(stratum.rate, stratum.name)
    return Inclusion(sampling.rate, ALL)
