"""Operating characteristics: the simulation decides as the gate does, and the gate keeps the errors that it declares."""

from math import comb

import numpy as np
import pytest

from tests.factories import example
from tests.processors.scenario import RUBRIC, policy
from trueloop.events import Evaluation, EvaluatorEvidence, PairedScores, Verdict
from trueloop.gates.assumptions import Assumptions
from trueloop.gates.decide import decide
from trueloop.gates.looks import Look
from trueloop.gates.operating import Scenario, assumed_baseline, characteristic, scenarios, simulated, simulated_evidence
from trueloop.rubrics import Policy

TWO = {"dimensions": [{"dimension": name, "evaluator": "check:support"} for name in ("accuracy", "safety")], "slices": ["locale"]}
ASSUMED = Assumptions({"accuracy": 0.96, "safety": 0.95}, slices={"locale=de": 0.3, "locale=fr": 0.2})
SIMULATIONS = 4000


def chances(governed: Policy, scenario: Scenario, assumed: Assumptions = ASSUMED, n: int = 800, look: int = 1) -> dict[Verdict, float]:
    taken = Look.numbered(governed.gate, look)
    found = characteristic(governed, RUBRIC, assumed, scenario, n=n, simulations=SIMULATIONS, look=taken, random=np.random.default_rng(11))
    return {verdict: found.chance(verdict) for verdict in (Verdict.PASS, Verdict.BLOCK, Verdict.INCONCLUSIVE)}


@pytest.mark.parametrize("shift", [0.0, -0.03, 0.02])
def test_what_is_simulated_is_what_decides(shift: float) -> None:
    governed = policy(gate=TWO)
    scenario, look = Scenario("x", {"accuracy": shift}), Look.numbered(governed.gate, 1)
    sizes = {"n": 900, "simulations": 40}
    judged = simulated(governed, RUBRIC, ASSUMED, scenario, **sizes, look=look, random=np.random.default_rng(5))
    evidence = simulated_evidence(governed, ASSUMED, scenario, **sizes, random=np.random.default_rng(5))
    verdicts = set()
    for row in range(40):
        scores = [
            PairedScores(
                dimension=dimension,
                slice=name,
                evaluator="check:support",
                n=int(found.n[row]),
                binary=True,
                sum_candidate=found.candidate[row],
                sum_baseline=found.baseline[row],
                sum_candidate_squares=found.candidate_squares[row],
                sum_baseline_squares=found.baseline_squares[row],
                sum_products=found.products[row],
            )
            for (dimension, name, _), found in evidence.items()
        ]
        decision = decide(example(Evaluation, scores=scores, error=None), governed, RUBRIC, look)
        assert (decision.verdict is Verdict.PASS, decision.verdict is Verdict.BLOCK) == (judged.passed[row], judged.blocked[row])
        verdicts.add(decision.verdict)
    assert verdicts


PROBED = {"dimensions": [*TWO["dimensions"], {"dimension": "safety", "evaluator": "probe:privacy", "safety": True}]}
"""Two sampled dimensions, and probes of which none may be failed."""


def table(both: int, candidate_only: int, baseline_only: int, n: int, dimension: str, evaluator: str) -> PairedScores:
    ours, theirs = float(both + candidate_only), float(both + baseline_only)
    sums = {"sum_candidate": ours, "sum_baseline": theirs, "sum_candidate_squares": ours, "sum_baseline_squares": theirs, "sum_products": float(both)}
    return PairedScores(dimension=dimension, slice="all", evaluator=evaluator, n=n, binary=True, **sums)


def decided_directly(governed: Policy, rates: dict[str, float], n: int, n_probes: int, unsafe: float, candidates: int) -> dict[Verdict, float]:
    """Draw candidates item by item and probe by probe, and let the gate itself decide: nothing of the simulation under test is used."""
    random, counts, look = np.random.default_rng(23), dict.fromkeys((Verdict.PASS, Verdict.BLOCK, Verdict.INCONCLUSIVE), 0), Look.numbered(governed.gate, 1)
    for _ in range(candidates):
        drawn = {(dimension, "check:support"): (random.random(n) < rate, random.random(n) < rate) for dimension, rate in rates.items()}
        drawn["safety", "probe:privacy"] = (random.random(n_probes) >= unsafe, np.ones(n_probes, dtype=bool))
        scores = [table(int((a & b).sum()), int((a & ~b).sum()), int((b & ~a).sum()), len(a), *unit) for unit, (a, b) in drawn.items()]
        evaluators = [EvaluatorEvidence(dimension="safety", evaluator="probe:privacy", n_asked=n_probes, n_missing=0)]
        counts[decide(example(Evaluation, scores=scores, evaluators=evaluators, error=None, trials=[]), governed, RUBRIC, look).verdict] += 1
    return {verdict: count / candidates for verdict, count in counts.items()}


@pytest.mark.parametrize("max_failures", [0, 2])
def test_probes_weigh_in_the_simulation_as_they_do_in_the_gate(max_failures: int) -> None:
    """To three standard errors of 200 candidates; that probes were forgotten would show as twice the chance to pass."""
    probes = {**PROBED["dimensions"][2], "max_failures": max_failures}
    governed = policy(gate={"dimensions": [*TWO["dimensions"], probes]})
    assumed = Assumptions({"accuracy": 0.985, "safety": 0.985}, correlation=0.0, probes={"probe:privacy": 25}, unsafe=0.03 if max_failures == 0 else 0.1)
    simulated_chances = chances(governed, Scenario("identical"), assumed, n=500)
    directly = decided_directly(governed, dict(assumed.baseline), 500, 25, assumed.unsafe, candidates=200)
    for verdict, chance in simulated_chances.items():
        assert directly[verdict] == pytest.approx(chance, abs=3 * 0.035), verdict
    without = chances(policy(gate={"dimensions": TWO["dimensions"]}), Scenario("identical"), assumed, n=500)
    all_met = sum(comb(25, k) * assumed.unsafe**k * (1 - assumed.unsafe) ** (25 - k) for k in range(max_failures + 1))
    assert simulated_chances[Verdict.PASS] == pytest.approx(without[Verdict.PASS] * all_met, abs=0.03)


def test_probes_alone_are_counted_and_take_no_share_of_the_error() -> None:
    """The chance to pass is that of failing no more probes than are allowed, at whatever look; each further failure blocks."""
    governed = policy(gate={"dimensions": [PROBED["dimensions"][2]]})
    assumed = Assumptions({}, probes={"probe:privacy": 12}, unsafe=0.02)
    for look in (1, 9):
        found = chances(governed, Scenario("identical"), assumed, n=0, look=look)
        assert found[Verdict.PASS] == pytest.approx(0.98**12, abs=0.02)
        assert found[Verdict.BLOCK] == pytest.approx(1 - 0.98**12, abs=0.02)
    unsafe = next(each for each in scenarios(governed, 0.02) if each.unsafe.get("probe:privacy") == 0.1)
    assert chances(governed, unsafe, assumed, n=0)[Verdict.PASS] == pytest.approx(0.88**12, abs=0.03)
    assert chances(governed, scenarios(governed, 0.02)[1], assumed, n=0)[Verdict.PASS] == 1.0


@pytest.mark.parametrize("safety", [True, False])
def test_probes_take_nothing_from_the_error_of_other_blocks(safety: bool) -> None:
    """Holm corrects for what is inferred, and of probes nothing is: with probes that all hold, as many candidates are blocked as without."""
    probed = {"dimensions": [*TWO["dimensions"], {**PROBED["dimensions"][2], "safety": safety}]}
    assumed = Assumptions({"accuracy": 0.93, "safety": 0.95}, probes={"probe:privacy": 12}, unsafe=0.0)
    worse = Scenario("worse", {"accuracy": -0.02})
    with_probes, without = (chances(policy(gate=gate), worse, assumed, n=800) for gate in (probed, {"dimensions": TWO["dimensions"]}))
    assert with_probes == without


def test_a_number_of_probes_has_to_be_given() -> None:
    with pytest.raises(ValueError, match="no number of probes is given for 'probe:privacy'; given are none"):
        chances(policy(gate=PROBED), Scenario("identical"))


def test_a_candidate_that_is_worse_by_the_margin_passes_at_most_one_time_in_twenty() -> None:
    """Least favourable: it is worse on one dimension, and so good on the other that nothing else stops it."""
    governed = policy(gate={**TWO, "error_over": "look"})
    assumed = Assumptions({"accuracy": 0.999, "safety": 0.95})
    found = chances(governed, Scenario("worse", {"safety": -0.02}), assumed, n=1500)
    assert 0.03 < found[Verdict.PASS] < 0.05 + 3 * 0.0035
    assert chances(policy(gate=TWO), Scenario("worse", {"safety": -0.02}), assumed, n=1500)[Verdict.PASS] < 0.025 + 3 * 0.0025


def test_a_candidate_on_its_limits_is_seldom_blocked_however_many_they_are() -> None:
    """Nine requirements, each met by nothing: without Holm about one candidate in five would be blocked."""
    governed = policy(gate={**TWO, "error_over": "look"})
    assumed = Assumptions({"accuracy": 0.92, "safety": 0.95}, correlation=0.8, slices=ASSUMED.slices)
    on_the_limit = chances(governed, Scenario("on the limit", {"accuracy": -0.02, "safety": -0.02}), assumed, n=2000)
    assert 0.005 < on_the_limit[Verdict.BLOCK] < 0.05 * 1.3
    assert on_the_limit[Verdict.PASS] < 0.01


def test_more_items_pass_more_of_what_is_good() -> None:
    governed = policy(gate=TWO)
    assumed = Assumptions({"accuracy": 0.97, "safety": 0.97})
    passes = [chances(governed, Scenario("identical"), assumed, n=n)[Verdict.PASS] for n in (300, 1000, 3000)]
    assert passes == sorted(passes)
    assert passes[-1] > 0.9 > 0.2 > passes[0]
    assert chances(governed, Scenario("better", {"accuracy": 0.02, "safety": 0.02}), assumed, n=1000)[Verdict.PASS] > 0.95


def test_many_looks_at_bad_candidates_keep_the_error_of_one() -> None:
    """Twenty candidates that are worse by the margin: that any passes is as seldom as the policy says; with the error of each look it is not."""

    def any_passed(error_over: str) -> float:
        governed = policy(gate={**TWO, "error_over": error_over})
        assumed = Assumptions({"accuracy": 0.999, "safety": 0.95})
        random = np.random.default_rng(3)
        passed = np.zeros(SIMULATIONS, dtype=bool)
        for number in range(1, 21):
            look = Look.numbered(governed.gate, number)
            worse = Scenario("worse", {"safety": -0.02})
            passed |= simulated(governed, RUBRIC, assumed, worse, n=800, simulations=SIMULATIONS, look=look, random=random).passed
        return float(passed.mean())

    assert any_passed("family") < 0.05
    assert any_passed("look") > 0.4


def test_a_scenario_for_every_way_to_miss_a_policy() -> None:
    gated = [{"dimension": "accuracy", "evaluator": "check:x"}, {"dimension": "tone", "evaluator": "check:x", "require": "superior", "max_regression": 0.1}]
    governed = policy(gate={"dimensions": gated})
    assert {each.name: dict(each.shifts) for each in scenarios(governed, 0.05)} == {
        "identical": {},
        "better by 0.05": {"accuracy": 0.05, "tone": 0.05},
        "worse by 0.02 on accuracy": {"accuracy": -0.02},
        "no better on tone": {"accuracy": 0.05, "tone": 0.0},
    }
    assert assumed_baseline(governed, RUBRIC) == pytest.approx({"accuracy": 0.95, "tone": 0.9})
    with pytest.raises(ValueError, match="no baseline is assumed for dimension 'tone'"):
        simulated_evidence(governed, Assumptions({"accuracy": 0.9}), Scenario("x"), n=10, simulations=1, random=np.random.default_rng(1))
