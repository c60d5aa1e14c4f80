"""Inclusion probabilities: which trace is sampled is a hash, so that a replay samples the same ones."""

from collections.abc import Mapping
from dataclasses import dataclass

from trueloop.events.identity import unit_interval
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


def selected(sampling: Sampling, trace_id: str, probability: float) -> bool:
    """Return whether a trace is in the sample: true with `probability` over trace ids, always the same for one id and salt.

    >>> from trueloop.rubrics.policy import Sampling
    >>> selected(Sampling(rate=1.0), "trace-1", 1.0), selected(Sampling(rate=0.0), "trace-1", 0.0)
    (True, False)
    """
    return unit_interval("sample", sampling.salt, trace_id) < probability
