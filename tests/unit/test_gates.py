"""Bounds against published values and scipy; the decision's boundaries from both sides; laws of the decision."""

from math import sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tests.factories import example
from tests.processors.scenario import RUBRIC, policy
from trueloop.events import Evaluation, EvaluatorEvidence, GateReason, PairedScores, Verdict
from trueloop.gates.decide import Decision, decide
from trueloop.gates.intervals import mean_difference, tango, wilson, z_of
from trueloop.gates.looks import Look
from trueloop.gates.score_statistics import tango_statistic


@pytest.mark.parametrize(("hits", "n", "low", "high"), [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)])
def test_wilson_as_published(hits: int, n: int, low: float, high: float) -> None:
    """Newcombe 1998, Statistics in Medicine 17:857-872, table I, method 3."""
    bounds = wilson(hits / n, n, 0.975)
    assert (round(bounds.low, 4), round(bounds.high, 4)) == (low, high)


def test_tango_as_published() -> None:
    """Airway hyper-responsiveness before and after transplantation: Fagerland, Lydersen and Laake 2014, Statistics in Medicine 33:2850-2875."""
    bounds = tango(1, 7, 21, 0.975)
    assert (round(bounds.low, 3), round(bounds.high, 3)) == (-0.517, -0.026)


def test_wilson_equals_scipy() -> None:
    for hits, n in ((0, 10), (5, 10), (95, 100), (1000, 1000), (713, 1000)):
        ours = wilson(hits / n, n, 0.975)
        theirs = stats.binomtest(hits, n).proportion_ci(0.95, method="wilson")
        assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


@given(hits=st.integers(0, 2000), more=st.integers(0, 2000))
def test_wilson_holds_the_estimate(hits: int, more: int) -> None:
    n = max(hits + more, 1)
    bounds = wilson(hits / n, n, 0.95)
    assert 0 <= bounds.low <= hits / n <= bounds.high <= 1


def test_tango_equals_a_grid_search_over_his_equation() -> None:
    b, c, n = 12, 2, 44

    def statistic(delta: float) -> float:
        a_ = 2 * n
        b_ = -b - c + (2 * n - b + c) * delta
        c_ = -c * delta * (1 - delta)
        p21 = (sqrt(b_ * b_ - 4 * a_ * c_) - b_) / (2 * a_)
        return (b - c - n * delta) / sqrt(n * (2 * p21 + delta * (1 - delta)))

    grid = [step / 100_000 for step in range(-20_000, 60_000)]
    inside = [delta for delta in grid if abs(statistic(delta)) <= z_of(0.975)]
    bounds = tango(b, c, n, 0.975)
    assert (bounds.low, bounds.high) == pytest.approx((min(inside), max(inside)), abs=2e-5)


@given(b=st.integers(0, 60), c=st.integers(0, 60), rest=st.integers(0, 500))
def test_tango_is_antisymmetric_and_holds_the_estimate(b: int, c: int, rest: int) -> None:
    n = max(b + c + rest, 1)
    ours, mirrored = tango(b, c, n, 0.95), tango(c, b, n, 0.95)
    assert ours.low - 1e-9 <= (b - c) / n <= ours.high + 1e-9
    assert (ours.low, ours.high) == pytest.approx((-mirrored.high, -mirrored.low), abs=1e-7)


def test_tango_keeps_its_one_sided_level() -> None:
    """Over the exact trinomial distribution, a true loss of the margin is called non-inferior about 5 % of the time, never above 6.5 %."""
    n, worse, better = 200, 0.06, 0.04
    b, c = np.meshgrid(np.arange(40), np.arange(45))
    chance = stats.multinomial.pmf(np.stack([b, c, n - b - c], axis=-1), n, [better, worse, 1 - better - worse])
    accepted = chance[tango_statistic(b, c, n, -0.02) >= z_of(0.95)].sum()
    assert 0.03 < accepted < 0.065


def test_mean_difference_equals_scipy() -> None:
    bounds = mean_difference(0.1, 0.04, 400, 0.95)
    theirs = stats.norm.interval(0.90, loc=0.1, scale=0.2 / 20)
    assert (bounds.low, bounds.high) == pytest.approx(theirs)


def scores(n: int, both: int, candidate_only: int, baseline_only: int, **changes: Any) -> PairedScores:
    candidate, baseline = both + candidate_only, both + baseline_only
    values: dict[str, Any] = {
        "dimension": "accuracy",
        "slice": "all",
        "evaluator": "check:support",
        "n": n,
        "binary": True,
        "sum_candidate": candidate,
        "sum_baseline": baseline,
        "sum_candidate_squares": candidate,
        "sum_baseline_squares": baseline,
        "sum_products": both,
    }
    return PairedScores(**(values | changes))


def decided(*found: PairedScores, error: str | None = None, **gate: Any) -> Decision:
    governed = policy(gate={"error_over": "look"} | gate)
    return decide(example(Evaluation, scores=list(found), error=error), governed, RUBRIC, Look.numbered(governed.gate, 1))


def test_a_clear_improvement_over_the_floor_passes() -> None:
    decision = decided(scores(1000, 900, 80, 5))
    assert (decision.verdict, decision.reasons, decision.labels_needed) == (Verdict.PASS, (GateReason.MEETS_ALL,), 0)


def test_an_identical_model_over_the_floor_passes() -> None:
    assert decided(scores(1000, 980, 0, 0)).verdict is Verdict.PASS


def test_below_the_floor_blocks_however_much_better() -> None:
    decision = decided(scores(1000, 500, 300, 0))
    assert (decision.verdict, decision.reasons) == (Verdict.BLOCK, (GateReason.BELOW_FLOOR,))


def test_a_regression_blocks_however_high_above_the_floor() -> None:
    decision = decided(scores(1000, 940, 0, 50))
    assert (decision.verdict, decision.reasons) == (Verdict.BLOCK, (GateReason.REGRESSION,))


def test_the_floor_boundary_from_both_sides() -> None:
    """n = 1000, floor 0.90, one-sided 95 %: the least passing number of hits is the one whose Wilson bound clears 0.90."""
    least = next(hits for hits in range(900, 1000) if wilson(hits / 1000, 1000, 0.95).low >= 0.90)
    assert decided(scores(1000, least, 0, 0)).verdict is Verdict.PASS
    below = decided(scores(1000, least - 1, 0, 0))
    assert (below.verdict, below.reasons) == (Verdict.INCONCLUSIVE, (GateReason.FLOOR_UNCERTAIN,))
    share = (least - 1) / 1000
    assert below.labels_needed is not None
    total = 1000 + below.labels_needed
    assert wilson(share, total, 0.95).low >= 0.90 > wilson(share, total - 1, 0.95).low


def test_the_regression_boundary_from_both_sides() -> None:
    def lost(c: int) -> Decision:
        return decided(scores(1000, 950, 0, c))

    last = max(c for c in range(50) if tango(0, c, 1000, 0.95).low >= -0.02)
    assert lost(last).verdict is Verdict.PASS
    assert lost(last + 1).reasons == (GateReason.REGRESSION_UNCERTAIN,)
    # Floor and regression are two tests, and Holm holds the first of them to half the error.
    first = min(c for c in range(50) if tango(0, c, 1000, 0.975).high < -0.02)
    assert lost(first).verdict is Verdict.BLOCK
    assert lost(first - 1).verdict is Verdict.INCONCLUSIVE


def test_labels_needed_would_settle_it() -> None:
    decision = decided(scores(300, 276, 2, 4))
    assert decision.verdict is Verdict.INCONCLUSIVE
    assert decision.labels_needed is not None
    assert decision.labels_needed > 0
    grown = (300 + decision.labels_needed) / 300
    assert decided(scores(round(300 * grown), round(276 * grown), round(2 * grown), round(4 * grown))).labels_needed in range(0, 60)


def test_no_evidence_is_inconclusive_and_says_how_much_is_missing() -> None:
    nothing = decided()
    assert (nothing.verdict, nothing.reasons, nothing.labels_needed) == (Verdict.INCONCLUSIVE, (GateReason.NO_EVIDENCE,), 20)
    few = decided(scores(19, 19, 0, 0))
    assert (few.verdict, few.reasons, few.labels_needed) == (Verdict.INCONCLUSIVE, (GateReason.TOO_FEW_ITEMS,), 1)


def test_a_failed_evaluation_is_inconclusive() -> None:
    assert decided(error="checkpoint is missing").reasons == (GateReason.EVALUATION_FAILED,)


def test_a_bad_slice_blocks_a_good_average() -> None:
    decision = decided(scores(1000, 950, 20, 5), scores(200, 150, 0, 40, slice="locale=de"))
    assert decision.verdict is Verdict.BLOCK
    assert [verdict.slice for verdict in decision.dimensions if verdict.verdict is Verdict.BLOCK] == ["locale=de"]


def test_scores_between_0_and_1_use_the_mean_difference() -> None:
    found = scores(400, 380, 0, 0, binary=False, sum_candidate_squares=365.0, sum_baseline_squares=365.0, sum_products=360.0)
    (verdict,) = decided(found).dimensions
    # Variance of a difference is (365 + 365 - 2 * 360) / 400 * 400 / 399; its standard error over 400 items times 1.645.
    assert verdict.difference_low == pytest.approx(-1.6449 * sqrt(10 / 399 / 400), abs=1e-4)


def test_p_values_and_bounds_say_the_same() -> None:
    for c in range(0, 40, 3):
        (verdict,) = decided(scores(1000, 930, 10, c)).dimensions
        assert verdict.pass_p is not None
        own, difference = wilson((930 + 10) / 1000, 1000, 0.95), tango(10, c, 1000, 0.95)
        assert (verdict.pass_p <= 0.05) == (own.low >= 0.90 and difference.low >= -0.02)
        assert (verdict.candidate_low, verdict.difference_low) == pytest.approx((own.low, difference.low))


def test_superiority_is_asked_of_the_whole_and_not_of_a_slice() -> None:
    def superior(*found: PairedScores) -> Decision:
        return decided(*found, dimensions=[{"dimension": "accuracy", "evaluator": "check:support", "require": "superior"}])

    slightly_worse = scores(500, 480, 1, 3, slice="locale=de")
    assert superior(scores(1000, 900, 80, 5), slightly_worse).verdict is Verdict.PASS
    unsure = superior(scores(1000, 960, 12, 10), slightly_worse)
    assert (unsure.verdict, unsure.reasons) == (Verdict.INCONCLUSIVE, (GateReason.SUPERIORITY_UNCERTAIN,))
    worse = superior(scores(1000, 940, 2, 20), slightly_worse)
    assert (worse.verdict, worse.reasons) == (Verdict.BLOCK, (GateReason.NOT_SUPERIOR,))
    assert [verdict.superior for verdict in worse.dimensions] == [True, False]
    identical = superior(scores(1000, 980, 0, 0))
    assert (identical.verdict, identical.labels_needed) == (Verdict.INCONCLUSIVE, None)


def safety(**rule: Any) -> dict[str, Any]:
    return {"dimensions": [{"dimension": "safety", "evaluator": "check:support", "safety": True, **rule}]}


def test_one_failure_too_many_blocks_whatever_the_average_and_however_few_the_items() -> None:
    def probed(n: int, failures: int) -> Decision:
        return decided(scores(n, n - failures, 0, 0, dimension="safety"), **safety(max_failures=0))

    assert probed(1000, 0).verdict is Verdict.PASS
    assert (probed(1000, 1).verdict, probed(1000, 1).reasons) == (Verdict.BLOCK, (GateReason.SAFETY_FAILURE,))
    assert probed(5, 1).verdict is Verdict.BLOCK
    assert probed(5, 0).reasons == (GateReason.TOO_FEW_ITEMS,)


def test_a_safety_dimension_blocks_without_correction_where_another_needs_more() -> None:
    """A loss that is significant by itself, and not among eight tests."""
    c = min(c for c in range(60) if tango(0, c, 1000, 0.96).high < -0.02)
    found = [scores(1000, 990 - c, 0, c, dimension="safety"), scores(1000, 990, 0, 0)]
    found += [scores(300, 295, 0, 0, slice=f"locale={number}") for number in range(3)]
    gated = [{"dimension": name, "evaluator": "check:support", "safety": name == "safety"} for name in ("accuracy", "safety")]
    assert decided(*found, dimensions=gated).reasons == (GateReason.REGRESSION,)
    plain = decided(*found, dimensions=[gate | {"safety": False} for gate in gated])
    assert (plain.verdict, plain.reasons) == (Verdict.INCONCLUSIVE, (GateReason.REGRESSION_UNCERTAIN,))


def probed(failures: int, *, missing: int = 0, asked: int = 8, **gate: Any) -> Decision:
    """A candidate that answers eight probes beside a dimension that passes."""
    gated = [{"dimension": "accuracy", "evaluator": "check:support"}, {"dimension": "safety", "evaluator": "probe:privacy", "safety": True, **gate}]
    n = asked - missing
    found = [scores(1000, 980, 0, 0)]
    if n:
        found.append(scores(n, n - failures, 0, 0, dimension="safety", evaluator="probe:privacy"))
    governed = policy(gate={"error_over": "look", "dimensions": gated})
    beside = [EvaluatorEvidence(dimension="safety", evaluator="probe:privacy", n_asked=asked, n_missing=missing)] if asked else []
    return decide(example(Evaluation, scores=found, evaluators=beside, error=None), governed, RUBRIC, Look.numbered(governed.gate, 1))


def test_probes_are_counted_and_need_no_number_of_items() -> None:
    assert probed(0).verdict is Verdict.PASS
    failed = probed(1)
    assert (failed.verdict, failed.reasons) == (Verdict.BLOCK, (GateReason.SAFETY_FAILURE,))
    assert probed(1, max_failures=1).verdict is Verdict.PASS
    assert probed(2, max_failures=1).verdict is Verdict.BLOCK


def test_a_probe_without_an_answer_passes_nothing_and_hides_no_failure() -> None:
    unanswered = probed(0, missing=1)
    assert (unanswered.verdict, unanswered.reasons, unanswered.labels_needed) == (Verdict.INCONCLUSIVE, (GateReason.PROBES_INCOMPLETE,), None)
    assert probed(0, asked=0).reasons == (GateReason.PROBES_INCOMPLETE,)
    assert probed(0, asked=3, missing=3).reasons == (GateReason.PROBES_INCOMPLETE,)
    assert probed(1, missing=1).verdict is Verdict.BLOCK


def judged(low: float | None, table: tuple[int, int, int, int] = (1000, 980, 0, 0), **gate: Any) -> Decision:
    gated = [{"dimension": "accuracy", "evaluator": "judge:panel"}]
    evidence = EvaluatorEvidence(dimension="accuracy", evaluator="judge:panel", n_asked=1000, human_agreement=0.9, human_agreement_low=low)
    governed = policy(gate={"error_over": "look", "dimensions": gated, **gate})
    found = example(Evaluation, scores=[scores(*table, evaluator="judge:panel")], evaluators=[evidence], error=None)
    return decide(found, governed, RUBRIC, Look.numbered(governed.gate, 1))


def test_a_judge_decides_only_as_far_as_people_agree_with_it() -> None:
    assert judged(None).verdict is Verdict.PASS, "a policy that demands nothing gets nothing"
    assert judged(0.5, min_judge_agreement=0.5).verdict is Verdict.PASS
    for low in (0.49, None):
        unproven = judged(low, min_judge_agreement=0.5)
        assert (unproven.verdict, unproven.reasons, unproven.labels_needed) == (Verdict.INCONCLUSIVE, (GateReason.JUDGE_UNPROVEN,), None)
        assert unproven.dimensions[0].candidate == 0.98, "what it said is shown all the same"
    bad = (1000, 500, 0, 300)
    assert judged(0.9, bad, min_judge_agreement=0.5).verdict is Verdict.BLOCK
    assert judged(0.1, bad, min_judge_agreement=0.5).verdict is Verdict.INCONCLUSIVE, "nor does it block"


def test_two_evaluators_of_one_dimension_are_two_requirements() -> None:
    gated = [{"dimension": "accuracy", "evaluator": name} for name in ("check:support", "judge:panel")]
    good, bad = scores(1000, 980, 0, 0), scores(1000, 700, 0, 200, evaluator="judge:panel")
    both = decided(good, bad, dimensions=gated)
    assert both.verdict is Verdict.BLOCK
    assert [(each.evaluator, each.verdict) for each in both.dimensions] == [("check:support", Verdict.PASS), ("judge:panel", Verdict.BLOCK)]
    assert decided(good, dimensions=gated).reasons == (GateReason.NO_EVIDENCE,)


TABLES = st.tuples(st.integers(0, 900), st.integers(0, 60), st.integers(0, 60), st.integers(0, 200))
RANK = {Verdict.BLOCK: 0, Verdict.INCONCLUSIVE: 1, Verdict.PASS: 2}


@given(table=TABLES, more=st.integers(1, 40), other=TABLES)
def test_more_regression_never_makes_a_verdict_better(table: tuple[int, int, int, int], more: int, other: tuple[int, int, int, int]) -> None:
    both, ours, theirs, neither = table
    n, lost = both + ours + theirs + neither + 1, min(more, both)
    beside = scores(sum(other) + 1, *other[:3], slice="locale=de")
    before = decided(scores(n, both, ours, theirs), beside).verdict
    assert RANK[decided(scores(n, both - lost, ours, theirs + lost), beside).verdict] <= RANK[before]


@given(tables=st.lists(TABLES, min_size=2, max_size=5), seed=st.randoms(use_true_random=False))
def test_the_order_of_slices_does_not_matter(tables: list[tuple[int, int, int, int]], seed: Any) -> None:
    found = [scores(sum(table) + 1, *table[:3], slice="all" if number == 0 else f"locale={number}") for number, table in enumerate(tables)]
    shuffled = list(found)
    seed.shuffle(shuffled)
    assert decided(*shuffled) == decided(*found)


@given(table=TABLES)
def test_a_sharper_error_settles_less(table: tuple[int, int, int, int]) -> None:
    found = scores(sum(table) + 1, *table[:3])
    mild, sharp = decided(found, confidence=0.95), decided(found, confidence=0.999)
    assert sharp.verdict in (mild.verdict, Verdict.INCONCLUSIVE)
