"""Operating characteristics of a policy: how often its gate passes and blocks candidates whose truth is known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

from trueloop.events import Verdict
from trueloop.gates.assumptions import Assumptions
from trueloop.gates.judge import Judgement, judge
from trueloop.gates.looks import Look
from trueloop.gates.requirements import Evidence, Unit, requirements
from trueloop.gates.scores import ALL
from trueloop.rubrics import Policy, Rubric
from trueloop.rubrics.gate_policy import DimensionGate

if TYPE_CHECKING:
    from numpy.random import Generator

WITHOUT_FLOOR = 0.9
"""Mean score that a baseline is assumed to have on a dimension whose rubric sets no floor."""
MORE_UNSAFE = 0.1
"""By how much that chance is higher for a candidate that is unsafe on a category."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A candidate by its true difference from the baseline, per dimension (0 where none is named), in all slices alike; and by the difference of the
    chance that it fails a probe, per evaluator."""

    name: str
    shifts: Mapping[str, float] = field(default_factory=dict)
    unsafe: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Characteristic:
    """How many simulated candidates of a scenario came to which verdict, with n items each."""

    scenario: Scenario
    n: int
    simulations: int
    passed: int
    blocked: int

    def chance(self, verdict: Verdict) -> float:
        """Return the share of a verdict, [0, 1]."""
        counts = {Verdict.PASS: self.passed, Verdict.BLOCK: self.blocked, Verdict.INCONCLUSIVE: self.simulations - self.passed - self.blocked}
        return counts[verdict] / self.simulations

    def standard_error(self, verdict: Verdict) -> float:
        """Return the standard error of that share."""
        chance = self.chance(verdict)
        return sqrt(chance * (1 - chance) / self.simulations)


def assumed_baseline(policy: Policy, rubric: Rubric) -> dict[str, float]:
    """Return the means that a baseline is assumed to have where nobody says better: half-way from each floor to 1.

    >>> from trueloop.adapters.documents import load_policy, load_rubric
    >>> assumed_baseline(load_policy("billing-support"), load_rubric("billing-support"))["tone"]
    0.94
    """
    found = {}
    for gate in sampled(policy):
        dimension = rubric.dimension(gate.dimension)
        found[gate.dimension] = WITHOUT_FLOOR if dimension is None or dimension.floor is None else (1 + dimension.floor) / 2
    return found


def scenarios(policy: Policy, better: float) -> tuple[Scenario, ...]:
    """Return an identical candidate, one that is better by `better` everywhere, per dimension one that just misses what the policy requires, and per
    category of probes one that fails them more often by `MORE_UNSAFE`.

    Where superiority is required, a candidate that is no better misses it. Evaluators of one dimension are supposed to see the same, and the last
    one's rule is the one that is just missed.
    """
    named = [gate.dimension for gate in sampled(policy)]
    probed = [gate.evaluator for gate in policy.gate.dimensions if gate.probes]
    found = [Scenario("identical"), Scenario(f"better by {better:g}", dict.fromkeys(named, better), dict.fromkeys(probed, -better))]
    for gate in {gate.dimension: gate for gate in sampled(policy)}.values():
        if gate.require == "superior":
            others = {name: better for name in named if name != gate.dimension}
            found.append(Scenario(f"no better on {gate.dimension}", others | {gate.dimension: 0.0}))
        else:
            found.append(Scenario(f"worse by {gate.max_regression:g} on {gate.dimension}", {gate.dimension: -gate.max_regression}))
    found += [Scenario(f"fails {MORE_UNSAFE:g} more of {evaluator}", unsafe={evaluator: MORE_UNSAFE}) for evaluator in dict.fromkeys(probed)]
    return tuple(found)


def characteristic(
    policy: Policy, rubric: Rubric, assumed: Assumptions, scenario: Scenario, *, n: int, simulations: int, look: Look, random: "Generator"
) -> Characteristic:
    """Simulate candidates with n items each, and return what the gate says of them: the same `judge` that decides on real ones.

    Raises ValueError as `simulated_evidence` does.
    """
    found = simulated(policy, rubric, assumed, scenario, n=n, simulations=simulations, look=look, random=random)
    return Characteristic(scenario, n, simulations, int(found.passed.sum()), int(found.blocked.sum()))


def sampled(policy: Policy) -> tuple[DimensionGate, ...]:
    """Return what is judged by scores of n items: neither probes, whose number is fixed, nor people."""
    return tuple(gate for gate in policy.gate.dimensions if not (gate.probes or gate.people))


def simulated(
    policy: Policy, rubric: Rubric, assumed: Assumptions, scenario: Scenario, *, n: int, simulations: int, look: Look, random: "Generator"
) -> Judgement:
    """Return the judgement of simulated candidates, one per row, on all but people's answers, which are no matter of n items."""
    evidence = simulated_evidence(policy, assumed, scenario, n=n, simulations=simulations, random=random)
    asked = tuple(gate for gate in policy.gate.dimensions if not gate.people)
    without_people = policy.model_copy(update={"gate": policy.gate.model_copy(update={"dimensions": asked})})
    return judge(requirements(without_people, rubric, evidence), evidence, look.alpha, policy.gate.min_items)


def simulated_evidence(policy: Policy, assumed: Assumptions, scenario: Scenario, *, n: int, simulations: int, random: "Generator") -> dict[Unit, Evidence]:
    """Return the sums of paired scores of simulated candidates, by dimension, slice and evaluator. Evaluators err independently.

    Raises ValueError when a dimension of the policy has no assumed baseline, or one of its categories no number of probes.
    """
    sizes = {name: int(share * n + 1e-9) for name, share in assumed.slices.items()}
    sizes = {name: size for name, size in sizes.items() if size}
    evidence: dict[Unit, Evidence] = {}
    for gate in sampled(policy):
        if gate.dimension not in assumed.baseline:
            raise ValueError(f"no baseline is assumed for dimension {gate.dimension!r}; given are {', '.join(assumed.baseline) or 'none'}")
        cells = _cells(assumed.baseline[gate.dimension], scenario.shifts.get(gate.dimension, 0.0), assumed.correlation)
        parts = {name: random.multinomial(size, cells, simulations).astype(np.float64) for name, size in sizes.items()}
        rest = random.multinomial(n - sum(sizes.values()), cells, simulations).astype(np.float64)
        for name, table in {ALL: sum(parts.values(), rest), **parts}.items():
            evidence[gate.dimension, name, gate.evaluator] = Evidence.of_tables(table[:, 0], table[:, 1], table[:, 2], table.sum(axis=1))
    for gate in policy.gate.dimensions:
        if gate.probes:
            evidence[gate.dimension, ALL, gate.evaluator] = _probed(gate.evaluator, assumed, scenario, simulations, random)
    return evidence


def _probed(evaluator: str, assumed: Assumptions, scenario: Scenario, simulations: int, random: "Generator") -> Evidence:
    """Return how simulated candidates did on the probes of a category; the baseline, whose failures nobody counts, passes all."""
    asked = assumed.probes.get(evaluator, 0)
    if asked < 1:
        known = ", ".join(f"{name}: {number}" for name, number in assumed.probes.items()) or "none"
        raise ValueError(f"no number of probes is given for {evaluator!r}; given are {known}; expected at least one")
    chance = min(max(assumed.unsafe + scenario.unsafe.get(evaluator, 0.0), 0.0), 1.0)
    failed = random.binomial(asked, chance, simulations).astype(np.float64)
    return Evidence.of_tables(asked - failed, np.zeros(simulations), failed, np.full(simulations, float(asked)))


def _cells(baseline: float, shift: float, correlation: float) -> Sequence[float]:
    """Return the chances that both are right, only the candidate, only the baseline, none."""
    candidate = min(max(baseline + shift, 0.0), 1.0)
    together = candidate * baseline + correlation * sqrt(candidate * (1 - candidate) * baseline * (1 - baseline))
    both = min(together, candidate, baseline)
    only_candidate, only_baseline = candidate - both, baseline - both
    return (both, only_candidate, only_baseline, max(1.0 - both - only_candidate - only_baseline, 0.0))
