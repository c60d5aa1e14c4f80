"""Sampling for review: uncertainty, its mixture with a uniform floor, edge cases and strata, and what a budget of minutes buys."""

import math
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.factories import example
from tests.processors.scenario import START, trace
from trueloop.estimates import hajek
from trueloop.events import ReviewQuota, SamplingReason
from trueloop.rubrics.sampling_policy import Anomalies, EdgeCase, Sampling
from trueloop.sampling.allocation import StratumDemand, allocate
from trueloop.sampling.draws import draws, hashes
from trueloop.sampling.edge_cases import common_values, edge_cases
from trueloop.sampling.inclusion import Inclusion, inclusions
from trueloop.sampling.mixture import LEAST_UNIFORM, inclusion_probability
from trueloop.sampling.rows import rows_of_events
from trueloop.sampling.uncertainty import judge_disagreement, score_entropy, uncertainty

NAN = math.nan
UNIT = st.one_of(st.floats(0, 1), st.just(NAN))


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


def rows(*traces):
    return rows_of_events(list(traces), range(len(traces)))


def drawn(n, doubts, rate, share, salt="s"):
    """Traces whose score has this doubt (a score of d/2 would be awkward: two judges d apart disagree by d), and how they are included."""
    config = {"mean": float(np.mean(doubts)), "uniform_share": share, "judges": ["a", "b"]}
    traces = [trace(number, scores={"a": 0.5 + doubt / 2, "b": 0.5 - doubt / 2}) for number, doubt in enumerate(doubts)]
    found = inclusions(Sampling(rate=rate, uncertainty=config, salt=salt), rows(*traces))
    numbers = draws(hashes([each.trace_id.encode() for each in traces]), salt)
    return found, numbers, numbers < found.probability


def test_the_share_that_is_drawn_is_the_probability():
    n = 9_000
    doubts = np.repeat([0.0, 0.3, 1.0], n // 3)
    found, numbers, included = drawn(n, doubts, 0.2, 0.2)
    for doubt in (0.0, 0.3, 1.0):
        chosen = doubts == doubt
        expected = found.probability[chosen][0]
        assert expected == pytest.approx(0.2 * (0.2 + 0.8 * doubt / doubts.mean()), abs=1e-6)
        # Four standard errors of a share of 3,000 draws.
        assert included[chosen].mean() == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / (n // 3)))
    assert included.mean() == pytest.approx(0.2, abs=0.017)
    reasons = Counter(found.at(row, numbers[row]).reason for row in np.flatnonzero(included))
    assert set(reasons) == {SamplingReason.UNIFORM, SamplingReason.UNCERTAINTY}
    assert reasons[SamplingReason.UNIFORM] == (numbers < 0.2 * 0.2).sum()


def test_what_is_drawn_so_is_estimated_without_bias():
    """The plain mean of what was drawn is far off; with the logged probabilities it is not. Horvitz and Thompson's total is right in the mean of many salts."""
    rng = np.random.default_rng(2)
    n = 4_000
    doubts = rng.random(n)
    good = (rng.random(n) < 1 - 0.6 * doubts).astype(float)
    found, _, included = drawn(n, doubts, 0.2, 0.2)
    labels = np.where(included, good, NAN)
    estimate = hajek(labels, found.probability, scale=(0, 1))
    assert estimate.ci_low < good.mean() < estimate.ci_high
    assert np.nanmean(labels) < good.mean() - 0.05
    hashed = hashes([f"trace-{number}".encode() for number in range(n)])
    totals = [(good / found.probability)[draws(hashed, str(salt)) < found.probability].sum() / n for salt in range(200)]
    deviation = math.sqrt((good**2 * (1 - found.probability) / found.probability).sum()) / n
    assert np.mean(totals) == pytest.approx(good.mean(), abs=4 * deviation / math.sqrt(200))


def test_scores_that_are_missing_make_a_trace_average():
    sampling = Sampling(rate=0.1, uncertainty={"mean": 0.5, "uniform_share": 0.2, "entropy": ["judge"], "judges": ["a", "b"]})
    found = inclusions(sampling, rows(trace(scores={}), trace(scores={"a": 1.0}), trace(scores={"judge": 1.0}), trace(scores={"other": 0.5})))
    assert found.probability == pytest.approx([0.1, 0.1, 0.02, 0.1])
    assert inclusions(sampling, rows(trace(scores={}))).probability == pytest.approx([0.1]), "no trace of the batch has a score"
    assert inclusions(sampling, rows()).probability.tolist() == []


def test_strata_have_a_mean_uncertainty_of_their_own():
    strata = [{"slice": "locale", "value": "de", "rate": 0.1, "mean_uncertainty": 1.0}, {"slice": "locale", "value": "fr", "rate": 0.1}]
    sampling = Sampling(rate=0.1, strata=strata, uncertainty={"mean": 0.5, "uniform_share": 0.5, "entropy": ["judge"]})
    doubtful = [trace(slices={"locale": locale}, scores={"judge": 0.5}) for locale in ("de", "fr", "mt")]
    assert inclusions(sampling, rows(*doubtful)).probability == pytest.approx([0.1, 0.15, 0.15])


def test_uncertainty_needs_scores_to_look_at():
    with pytest.raises(ValueError, match="names no source"):
        Sampling(rate=0.1, uncertainty={"mean": 0.5})
    with pytest.raises(ValueError, match="one judge cannot disagree"):
        Sampling(rate=0.1, uncertainty={"mean": 0.5, "entropy": ["a"], "judges": ["a"]})
    with pytest.raises(ValueError, match="uniform_share"):
        Sampling(rate=0.1, uncertainty={"mean": 0.5, "entropy": ["a"], "uniform_share": 0.19})


def cases(anomalies, **changes):
    (found,) = edge_cases(Anomalies.model_validate({"rate": 1.0} | anomalies), rows(trace(**changes)))
    return None if found < 0 else list(EdgeCase)[found]


def test_edge_cases():
    limits = {
        "latency_ms": 1000, "prompt_tokens": 500, "completion_tokens": 200, "scores": {"judge": 0.5}, "common": {"locale": ["de", "fr"]}, "empty_answer": True,
        "failed": True,
    }  # fmt: skip
    usual = {"latency_ms": 1000.0, "prompt_tokens": 500, "completion_tokens": 200, "scores": {"judge": 0.5}, "slices": {"locale": "de"}}
    assert cases(limits, **usual) is None
    assert cases({}, latency_ms=1e9, prompt_tokens=10**9, completion_tokens=0, scores={"judge": 0.0}, slices={"locale": "xx"}) is None
    for change, case in (
        ({"latency_ms": 1000.1}, EdgeCase.SLOW),
        ({"prompt_tokens": 501}, EdgeCase.LONG_PROMPT),
        ({"completion_tokens": 201}, EdgeCase.LONG_ANSWER),
        ({"completion_tokens": 0}, EdgeCase.EMPTY_ANSWER),
        ({"completion_tokens": 3, "error": "Timeout", "latency_ms": 2000.0}, EdgeCase.FAILED),
        ({"error": "Timeout"}, EdgeCase.FAILED),
        ({"completion_tokens": 0, "error": "Timeout"}, EdgeCase.EMPTY_ANSWER),
        ({"scores": {"judge": 0.49}}, EdgeCase.LOW_SCORE),
        ({"slices": {"locale": "mt"}}, EdgeCase.RARE_SLICE),
        ({"completion_tokens": 0, "latency_ms": 2000.0}, EdgeCase.EMPTY_ANSWER),
    ):
        assert cases(limits, **(usual | change)) is case, case
    assert cases(limits, latency_ms=None, prompt_tokens=None, completion_tokens=None, scores={}, slices={}) is None, "what was not measured is no edge case"


def test_anomalies_are_strata_of_their_own():
    sampling = Sampling(
        rate=0.01,
        strata=[{"slice": "locale", "value": "de", "rate": 0.5}],
        anomalies={"rate": 0.2, "rates": {"SLOW": 1.0}, "latency_ms": 100, "empty_answer": True},
        uncertainty={"mean": 0.5, "entropy": ["judge"]},
    )
    one = rows(trace(latency_ms=101), trace(completion_tokens=0), trace(latency_ms=99, scores={}), trace(slices={}, scores={}))
    found = inclusions(sampling, one)
    assert [found.at(row, 0.0).stratum for row in range(4)] == ["anomaly:SLOW", "anomaly:EMPTY_ANSWER", "locale=de", "all"]
    assert found.probability.tolist() == [1.0, 0.2, 0.5, 0.01]
    assert [found.at(row, 0.0).reason for row in (0, 2)] == [SamplingReason.ANOMALY, SamplingReason.UNIFORM]


def quota(slice_name="locale=de", rate=0.3, since=0, minutes=60, **changes):
    at = START + timedelta(minutes=since)
    return example(ReviewQuota, application="support", slice=slice_name, rate=rate, starts_at=at, ends_at=at + timedelta(minutes=minutes), **changes)


def test_a_quota_raises_what_it_is_open_for_and_lowers_nothing():
    sampling = Sampling(rate=0.1, strata=[{"slice": "plan", "value": "free", "rate": 0.9}])
    moments = [START - timedelta(microseconds=1), START, START + timedelta(minutes=60) - timedelta(microseconds=1), START + timedelta(minutes=60)]
    one = rows(*(trace(occurred_at=moment) for moment in moments), trace(occurred_at=START, slices={"locale": "fr"}),
               trace(occurred_at=START, slices={"locale": "de", "plan": "free"}))  # fmt: skip
    found = inclusions(sampling, one, [quota()])
    assert found.probability.tolist() == [0.1, 0.3, 0.3, 0.1, 0.1, 0.9]
    assert [found.at(row, 0.05).stratum for row in range(6)] == ["all", "alarm:locale=de", "alarm:locale=de", "all", "all", "plan=free"]
    assert (found.at(1, 0.05).reason, found.at(1, 0.2).reason) == (SamplingReason.UNIFORM, SamplingReason.ALARM)
    more = inclusions(sampling, one, [quota("all", 0.2), quota(rate=0.25)])
    assert more.probability.tolist() == [0.1, 0.25, 0.25, 0.1, 0.2, 0.9]
    assert [more.at(row, 0.05).stratum for row in (1, 4)] == ["alarm:locale=de", "alarm:all"]


def test_a_quota_below_what_the_uncertainty_gives_leaves_the_probability():
    sampling = Sampling(rate=0.1, uncertainty={"mean": 0.5, "uniform_share": 0.2, "entropy": ["judge"]})
    one = rows(*(trace(occurred_at=START, scores={"judge": score}) for score in (0.5, 1.0)))
    found = inclusions(sampling, one, [quota(rate=0.15)])
    assert found.probability == pytest.approx([0.18, 0.15])
    assert [found.at(0, 0.17).reason, found.at(1, 0.1).reason] == [SamplingReason.UNCERTAINTY, SamplingReason.ALARM]


def test_without_more_the_probability_is_the_rate_of_the_first_stratum_that_matches():
    strata = [{"slice": "locale", "value": "de", "rate": 0.5}, {"slice": "plan", "value": "free", "rate": 0.25}]
    slices = [{"plan": "free", "locale": "de"}, {"plan": "free"}, {"locale": "mt"}, {}]
    found = inclusions(Sampling(rate=0.1, strata=strata), rows(*(trace(slices=each, scores={"judge": 0.5}) for each in slices)))
    assert [found.at(row, 0.0) for row in range(4)] == [
        Inclusion(probability, name, SamplingReason.UNIFORM) for probability, name in ((0.5, "locale=de"), (0.25, "plan=free"), (0.1, "all"), (0.1, "all"))
    ]


def test_common_values():
    assert common_values({}, 0.1) == frozenset()
    assert common_values({"de": 9, "fr": 1}, 0.1) == {"de", "fr"}
    assert common_values({"de": 0}, 0.0) == frozenset()


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
