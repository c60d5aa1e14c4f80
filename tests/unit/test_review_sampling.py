"""Sampling for review: uncertainty, its mixture with a uniform floor, edge cases and strata, and what a budget of minutes buys."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trueloop.estimates import hajek
from trueloop.rubrics.policy import Stratum
from trueloop.sampling.allocation import StratumDemand, allocate
from trueloop.sampling.draws import draws, hashes
from trueloop.sampling.edge_cases import ALL, ANOMALY, APPEAL, EdgeCase, Ordinary, common_values, edge_cases, stratum_of
from trueloop.sampling.mixture import LEAST_UNIFORM, inclusion_probability, review_draw
from trueloop.sampling.uncertainty import judge_disagreement, score_entropy, uncertainty

NAN = math.nan
UNIT = st.one_of(st.floats(0, 1), st.just(NAN))


def trace_draws(n, salt="s"):
    return draws(hashes([f"trace-{number}".encode() for number in range(n)]), salt)


def test_entropy_by_hand():
    """-1/4 log2 1/4 - 3/4 log2 3/4 = 2/4 + 3/4 (2 - log2 3)."""
    assert score_entropy([0.25, 0.75]) == pytest.approx([0.5 + 0.75 * (2 - math.log2(3))] * 2)
    assert score_entropy([0.0, 1.0, 0.5]).tolist() == [0.0, 0.0, 1.0]
    assert math.isnan(score_entropy([NAN])[0])
    assert float(score_entropy(0.5)) == 1.0
    with pytest.raises(ValueError, match=r"scores\[1\] is .*1.5"):
        score_entropy([0.5, 1.5])


def test_judges_disagree_in_pairs_or_not_at_all():
    apart = judge_disagreement([[1.0, 0.6, 0.5, NAN], [0.0, 0.4, NAN, NAN]])
    assert apart[:2] == pytest.approx([1.0, 0.2])
    assert np.isnan(apart[2:]).all()
    three = judge_disagreement([[0.9], [0.9], [0.3]])
    assert three == pytest.approx([2 * np.std([0.9, 0.9, 0.3])])
    with pytest.raises(ValueError, match="judges is empty"):
        judge_disagreement([])


@given(st.lists(st.tuples(UNIT, UNIT), min_size=1, max_size=20))
def test_uncertainty_is_the_largest_that_is_known(rows):
    one, other = [list(column) for column in zip(*rows, strict=True)]
    found = uncertainty([one, other])
    for value, *pair in zip(found, one, other, strict=True):
        known = [each for each in pair if not math.isnan(each)]
        assert value == max(known) if known else math.isnan(value)


def test_uncertainty_needs_a_source():
    with pytest.raises(ValueError, match="sources is empty"):
        uncertainty([])


@settings(deadline=None)
@given(st.floats(0, 1), st.lists(UNIT, min_size=1, max_size=20), st.one_of(UNIT), st.floats(LEAST_UNIFORM, 1))
def test_a_probability_is_never_below_the_floor_and_never_above_one(rate, doubts, mean, share):
    found = inclusion_probability(rate, doubts, mean_uncertainty=mean, uniform_share=share)
    assert (found >= rate * share - 1e-15).all()
    assert (found <= 1).all()
    for doubt, probability in zip(doubts, found, strict=True):
        if math.isnan(doubt) or not mean > 1e-9:
            assert probability == pytest.approx(rate)


def test_without_uncertainty_it_is_the_rate():
    assert inclusion_probability(0.3, [0.1, 0.9], mean_uncertainty=0.5, uniform_share=1.0).tolist() == [0.3, 0.3]
    assert inclusion_probability(0.3, [0.4, 0.4], mean_uncertainty=0.4, uniform_share=0.2) == pytest.approx([0.3, 0.3])


@pytest.mark.parametrize("share", [0.0, 0.19, 1.01])
def test_the_floor_cannot_be_given_up(share):
    with pytest.raises(ValueError, match=r"expected a number in \[0.2, 1\]"):
        inclusion_probability(0.1, [0.5], mean_uncertainty=0.5, uniform_share=share)


@pytest.mark.parametrize(("rate", "doubt", "mean"), [(1.5, 0.5, 0.5), (NAN, 0.5, 0.5), (0.5, -0.1, 0.5), (0.5, 0.5, 2.0)])
def test_numbers_off_their_scale_are_refused(rate, doubt, mean):
    with pytest.raises(ValueError, match="not in"):
        inclusion_probability(rate, [doubt], mean_uncertainty=mean, uniform_share=0.5)


def test_a_draw_is_repeated_exactly_and_logs_its_probability():
    doubts = np.random.default_rng(1).random(500)
    one = review_draw(trace_draws(500), 0.3, doubts, mean_uncertainty=0.5, uniform_share=0.25)
    again = review_draw(trace_draws(500), 0.3, doubts, mean_uncertainty=0.5, uniform_share=0.25)
    assert (one.included == again.included).all()
    other = review_draw(trace_draws(500, "t"), 0.3, doubts, mean_uncertainty=0.5, uniform_share=0.25)
    assert (one.included != other.included).any()
    # A part of the batch draws the same as the whole.
    part = review_draw(trace_draws(500)[100:110], 0.3, doubts[100:110], mean_uncertainty=0.5, uniform_share=0.25)
    assert (part.included == one.included[100:110]).all()
    assert (one.probability == inclusion_probability(0.3, doubts, mean_uncertainty=0.5, uniform_share=0.25)).all()


def test_the_share_that_is_drawn_is_the_probability():
    n = 60_000
    doubts = np.repeat([0.0, 0.3, 1.0], n // 3)
    found = review_draw(trace_draws(n), 0.2, doubts, mean_uncertainty=0.433, uniform_share=0.2)
    for doubt in (0.0, 0.3, 1.0):
        rows = doubts == doubt
        expected = found.probability[rows][0]
        # Four standard errors of a share of 20,000 draws.
        assert found.included[rows].mean() == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / (n // 3)))
    assert found.included.mean() == pytest.approx(0.2, abs=0.01)
    assert found.uniform[~found.included].sum() == 0
    assert found.uniform.sum() / n == pytest.approx(0.2 * 0.2, abs=0.004)


def test_what_is_drawn_so_is_estimated_without_bias():
    """The plain mean of what was drawn is far off; with the logged probabilities it is not."""
    rng = np.random.default_rng(2)
    n = 20_000
    doubts = rng.random(n)
    good = (rng.random(n) < 1 - 0.6 * doubts).astype(float)
    found = review_draw(trace_draws(n), 0.1, doubts, mean_uncertainty=0.5, uniform_share=0.2)
    labels = np.where(found.included, good, NAN)
    estimate = hajek(labels, found.probability, scale=(0, 1))
    assert estimate.ci_low < good.mean() < estimate.ci_high
    assert np.nanmean(labels) < good.mean() - 0.05


def test_edge_cases():
    ordinary = Ordinary(latency_ms=1000, prompt_tokens=500, completion_tokens=200, scores={"judge": 0.5}, common={"locale": {"de", "fr"}}, alarms={"plan=free"})
    assert edge_cases(ordinary) == ()
    assert edge_cases(Ordinary(), latency_ms=1e9, completion_tokens=10**9, scores={"judge": 0.0}, slices={"locale": "xx"}) == ()
    usual = {"latency_ms": 1000.0, "prompt_tokens": 500, "completion_tokens": 200, "scores": {"judge": 0.5}, "slices": {"locale": "de", "plan": "paid"}}
    assert edge_cases(ordinary, **usual) == ()
    for change, case in (
        ({"latency_ms": 1000.1}, EdgeCase.SLOW),
        ({"prompt_tokens": 501}, EdgeCase.LONG_PROMPT),
        ({"completion_tokens": 201}, EdgeCase.LONG_ANSWER),
        ({"completion_tokens": 0}, EdgeCase.EMPTY_ANSWER),
        ({"scores": {"judge": 0.49}}, EdgeCase.LOW_SCORE),
        ({"slices": {"locale": "mt"}}, EdgeCase.RARE_SLICE),
        ({"slices": {"plan": "free"}}, EdgeCase.OPEN_ALARM),
    ):
        assert edge_cases(ordinary, **(usual | change)) == (case,), case
    assert edge_cases(ordinary, scores={"judge": NAN}, latency_ms=NAN) == ()
    assert edge_cases(replace(ordinary, alarms={"all"})) == (EdgeCase.OPEN_ALARM,)


def test_common_values():
    assert common_values({}, 0.1) == frozenset()
    assert common_values({"de": 9, "fr": 1}, 0.1) == {"de", "fr"}
    assert common_values({"de": 0}, 0.0) == frozenset()


def test_every_trace_is_in_one_stratum():
    strata = (Stratum(slice="locale", value="de", rate=0.5), Stratum(slice="plan", value="free", rate=0.1))
    slices = {"locale": "de", "plan": "free"}
    assert stratum_of(slices, strata, appealed=True, found=(EdgeCase.SLOW,)) == APPEAL
    assert stratum_of(slices, strata, found=(EdgeCase.SLOW,)) == ANOMALY
    assert stratum_of(slices, strata) == "locale=de"
    assert stratum_of({"plan": "free"}, strata) == "plan=free"
    assert stratum_of({}, strata) == ALL


DEMANDS = st.lists(
    st.builds(
        StratumDemand,
        name=st.just(""),
        traffic=st.floats(0, 1e5),
        minutes=st.floats(0.1, 60),
        quota=st.floats(0, 1e4),
        spread=st.floats(0, 0.5),
    ),
    max_size=8,
)


@settings(deadline=None)
@given(DEMANDS, st.floats(0, 1e6))
def test_the_budget_is_kept_and_quotas_are_met_when_it_pays_for_them(demands, budget):
    strata = [replace(stratum, name=str(number)) for number, stratum in enumerate(demands)]
    found = allocate(strata, budget)
    assert sum(each.minutes for each in found) <= budget * (1 + 1e-9) + 1e-9
    affordable = sum(min(stratum.quota, stratum.traffic) * stratum.minutes for stratum in strata) <= budget
    for stratum, each in zip(strata, found, strict=True):
        assert 0 <= each.rate <= 1
        assert each.tasks <= stratum.traffic * (1 + 1e-9)
        if affordable:
            assert each.tasks >= min(stratum.quota, stratum.traffic) * (1 - 1e-9)
            assert each.quota_met == (stratum.quota * (1 - 1e-9) <= each.tasks)


def test_neymans_allocation():
    """Tasks in proportion to traffic x spread / sqrt(minutes): 1000 x 0.5 / 1 against 1000 x 0.25 / 2, so 4 to 1, and 4 n + 4 n = 800 minutes."""
    found = allocate([StratumDemand("a", 1000, 1, spread=0.5), StratumDemand("b", 1000, 4, spread=0.25)], 800)
    assert [each.tasks for each in found] == pytest.approx([400, 100])
    assert [each.rate for each in found] == pytest.approx([0.4, 0.1])


def test_what_a_small_stratum_cannot_take_goes_to_the_others():
    found = allocate([StratumDemand("a", 50, 1, spread=0.5), StratumDemand("b", 1000, 1, spread=0.01)], 300)
    assert [each.tasks for each in found] == pytest.approx([50, 250])


def test_no_other_allocation_of_the_same_cost_estimates_better():
    strata = [StratumDemand("a", 500, 2, spread=0.5), StratumDemand("b", 2000, 1, spread=0.3), StratumDemand("c", 100, 5, quota=30, spread=0.1)]
    found = allocate(strata, 600)

    def variance(tasks):
        return sum((stratum.traffic * stratum.spread) ** 2 / n for stratum, n in zip(strata, tasks, strict=True))

    best = [each.tasks for each in found]
    assert sum(each.minutes for each in found) == pytest.approx(600)
    for give, take in ((0, 1), (1, 0)):  # the third is held by its quota
        moved = list(best)
        moved[give] -= 4 / strata[give].minutes
        moved[take] += 4 / strata[take].minutes
        assert variance(moved) > variance(best)


def test_quotas_that_the_budget_does_not_pay_for_are_cut_alike_and_it_says_so():
    found = allocate([StratumDemand("a", 1000, 2, quota=100), StratumDemand("b", 1000, 2, quota=300)], 400)
    assert [each.tasks for each in found] == pytest.approx([50, 150])
    assert not any(each.quota_met for each in found)


def test_more_budget_than_work_is_not_spent():
    found = allocate([StratumDemand("a", 10, 2), StratumDemand("b", 0, 2, quota=5)], 1e6)
    assert [(each.rate, each.tasks) for each in found] == [(1.0, 10), (0.0, 0)]
    assert [each.quota_met for each in found] == [True, False]
    assert allocate([], 100) == ()


def test_bad_demands_are_refused():
    with pytest.raises(ValueError, match="expected each once"):
        allocate([StratumDemand("a", 1, 1), StratumDemand("a", 1, 1)], 1)
    with pytest.raises(ValueError, match="budget_minutes is -1"):
        allocate([], -1)
    with pytest.raises(ValueError, match="minutes > 0"):
        StratumDemand("a", 1, 0)
    with pytest.raises(ValueError, match="expected traffic"):
        StratumDemand("a", NAN, 1)
