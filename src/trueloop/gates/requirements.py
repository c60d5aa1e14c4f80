"""What a policy requires of a candidate, and how far the evidence lies from it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

import numpy as np

from trueloop.events import PairedScores
from trueloop.gates.score_statistics import Numbers, floor_statistic, mean_statistic, tango_statistic
from trueloop.gates.scores import ALL
from trueloop.rubrics import Policy, Rubric
from trueloop.rubrics.gate_policy import DimensionGate

_ROUNDING = 1e-9


class Kind(Enum):
    """What is required: a least mean score, a largest loss against the baseline, a gain over it, or no more failures than are allowed."""

    FLOOR = auto()
    NON_INFERIORITY = auto()
    SUPERIORITY = auto()
    COUNT = auto()


Unit = tuple[str, str, str]
"""Dimension, slice and evaluator: what evidence is of, and what a verdict is on."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One thing that the scores of a candidate have to meet: a floor, a least difference from the baseline, or a most of failures. Of people the limit
    is a win rate."""

    gate: DimensionGate
    slice: str
    kind: Kind
    limit: float

    @property
    def unit(self) -> Unit:
        """What has to meet it."""
        return self.gate.dimension, self.slice, self.gate.evaluator

    @property
    def is_corrected(self) -> bool:
        """Whether a block of it is corrected for the number of tests: not where safety is at stake, nor where failures are counted and nothing is inferred."""
        return not self.gate.safety and self.kind is not Kind.COUNT


def requirements(policy: Policy, rubric: Rubric, units: Iterable[Unit] = ()) -> tuple[Requirement, ...]:
    """Return what a policy requires, in the order of its dimensions and of the names of slices.

    Superiority is required over all items only: that each slice gains says more than that the whole does, and no policy means it. Of probes only
    failures are counted, over all: they are no sample, so there is nothing to infer from them. People compare over all items.

    Args:
        policy: The policy.
        rubric: Its rubric, which has the floors.
        units: What has evidence, in any order; slices are gated where they have some.
    """
    found: list[Requirement] = []
    named = sorted(set(units))
    for gate in policy.gate.dimensions:
        if gate.probes:
            found.append(Requirement(gate, ALL, Kind.COUNT, float(gate.failures_allowed or 0)))
            continue
        if gate.people:
            found.append(Requirement(gate, ALL, Kind.SUPERIORITY if gate.require == "superior" else Kind.NON_INFERIORITY, gate.least_win_rate))
            continue
        dimension = rubric.dimension(gate.dimension)
        for name in (ALL, *(name for of, name, by in named if (of, by) == (gate.dimension, gate.evaluator) and name != ALL)):
            if dimension is not None and dimension.floor is not None:
                found.append(Requirement(gate, name, Kind.FLOOR, dimension.floor))
            if gate.require == "superior" and name == ALL:
                found.append(Requirement(gate, name, Kind.SUPERIORITY, 0.0))
            else:
                found.append(Requirement(gate, name, Kind.NON_INFERIORITY, -gate.max_regression))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Sums of paired scores of many candidates on one dimension and slice (see `PairedScores`): arrays of one length."""

    n: Numbers
    candidate: Numbers
    baseline: Numbers
    candidate_squares: Numbers
    baseline_squares: Numbers
    products: Numbers
    binary: bool

    @classmethod
    def of(cls, scores: Sequence[PairedScores]) -> "Evidence":
        """Return what some candidates showed, all of them with scores of 0 and 1 or none."""

        def numbers(name: str) -> Numbers:
            return np.asarray([getattr(each, name) for each in scores], dtype=np.float64)

        return cls(
            n=numbers("n"),
            candidate=numbers("sum_candidate"),
            baseline=numbers("sum_baseline"),
            candidate_squares=numbers("sum_candidate_squares"),
            baseline_squares=numbers("sum_baseline_squares"),
            products=numbers("sum_products"),
            binary=all(each.binary for each in scores),
        )

    @classmethod
    def of_tables(cls, both: Numbers, candidate_only: Numbers, baseline_only: Numbers, n: Numbers) -> "Evidence":
        """Return the evidence of 2 x 2 tables: items that both got right, only the one, only the other, and all."""
        ours, theirs = both + candidate_only, both + baseline_only
        return cls(n, ours, theirs, ours, theirs, both, binary=True)

    @property
    def failures(self) -> Numbers:
        """Return by how much the candidate's scores fall short of all items: for scores of 0 and 1 the number of failed items."""
        return self.n - self.candidate

    def statistic(self, required: Requirement) -> Numbers:
        """Return how far the evidence lies from a limit, in standard errors; above 0 it speaks for the candidate."""
        if required.kind is Kind.COUNT:
            return np.where(self.failures <= required.limit + _ROUNDING, np.inf, -np.inf)
        if required.kind is Kind.FLOOR:
            return floor_statistic(np.minimum(self.candidate / self.n, 1.0), self.n, required.limit)
        if self.binary:
            only_candidate = np.maximum(self.candidate - self.products, 0.0)
            only_baseline = np.maximum(self.baseline - self.products, 0.0)
            return tango_statistic(only_candidate, only_baseline, self.n, required.limit)
        return mean_statistic(self.mean_difference, self.difference_variance, self.n, required.limit)

    @property
    def mean_difference(self) -> Numbers:
        """Return candidate minus baseline, [-1, 1]."""
        return (self.candidate - self.baseline) / self.n

    @property
    def difference_variance(self) -> Numbers:
        """Return the sample variance of one paired difference."""
        squares = self.candidate_squares + self.baseline_squares - 2 * self.products
        mean = self.mean_difference
        return np.asarray((squares / self.n - mean * mean) * self.n / np.maximum(self.n - 1, 1), dtype=np.float64)
