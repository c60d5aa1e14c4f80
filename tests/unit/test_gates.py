"""Bounds against published values and scipy; the decision's boundaries from both sides."""

from math import sqrt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tests.factories import example
from tests.processors.scenario import RUBRIC, policy
from trueloop.events import Evaluation, GateReason, PairedScores, Verdict
from trueloop.gates.decide import Decision, decide
from trueloop.gates.intervals import mean_difference, tango, wilson, z_of


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
    accepted = sum(
        stats.multinomial.pmf([b, c, n - b - c], n, [better, worse, 1 - better - worse])
        for b in range(40)
        for c in range(45)
        if tango(b, c, n, 0.95).low >= -0.02
    )
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


def decided(*found: PairedScores, error: str | None = None) -> Decision:
    return decide(example(Evaluation, scores=list(found), error=error), policy(), RUBRIC)


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
    over = lost(last + 1)
    assert over.reasons == (GateReason.REGRESSION_UNCERTAIN,)
    first = min(c for c in range(50) if tango(0, c, 1000, 0.95).high < -0.02)
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
