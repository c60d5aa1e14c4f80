"""Moments of a population of which some are labelled and the others only summed, against the moments of all its columns."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.processors.scenario import policy
from trueloop.estimates import aipw_of, hajek, sample_moments
from trueloop.estimates.population import JudgedTotals, LabelledUnit, population_moments
from trueloop.estimates.quality import quality_fields
from trueloop.events import EstimateMethod, JudgeFallback

SCORES = st.integers(0, 2**20).map(lambda step: step / 2**20)
"""Scores that a step holds exactly."""
ROWS = st.lists(
    st.tuples(st.one_of(st.none(), st.integers(0, 4).map(lambda v: v / 4)), st.sampled_from([0.1, 0.5, 1.0]), SCORES, st.sampled_from(["a", "b", None])),
    max_size=30,
)


@given(ROWS)
def test_it_is_the_moments_of_all_columns(rows):
    """Labelled units in clusters; each of the others is one of its own."""
    labelled = [LabelledUnit(value, p, score, cluster) for value, p, score, cluster in rows if value is not None]
    found = population_moments(labelled, JudgedTotals.of([score for _, _, score, _ in rows]))
    clusters = [cluster if value is not None else None for value, _, _, cluster in rows]
    expected = sample_moments([row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows], clusters)
    assert (found.n_units, found.n_labels, found.n_clusters) == (expected.n_units, expected.n_labels, expected.n_clusters)
    assert found.totals == pytest.approx(expected.totals, abs=1e-9)
    assert found.products == pytest.approx(expected.products, abs=1e-9)


@given(st.lists(SCORES, max_size=20), st.lists(SCORES, max_size=20))
def test_sums_merge_and_can_be_taken_back(one, other):
    both = JudgedTotals.of([*one, *other])
    assert JudgedTotals.of(one) + JudgedTotals.of(other) == both
    assert both - JudgedTotals.of(other) == JudgedTotals.of(one)


def test_sums_that_are_behind_the_labels_do_no_harm():
    units = [LabelledUnit(float(place % 2), 0.5, place / 10, None) for place in range(10)]
    alone = population_moments(units, JudgedTotals())
    assert population_moments(units, JudgedTotals.of([0.5] * 3)) == alone
    odd = aipw_of(population_moments(units, JudgedTotals.of([0.0] * 11)), scale=(0, 1))
    assert odd.value is not None
    assert 0.0 <= odd.ci_low <= odd.value <= odd.ci_high <= 1.0


def test_a_judge_that_has_not_earned_it_is_not_used():
    units = [LabelledUnit(float(place % 2), 0.5, (place // 2 % 2) / 2, None) for place in range(200)]
    totals = JudgedTotals.of([unit.prediction for unit in units] * 5)
    found = quality_fields(units, totals, "judge")
    labels = hajek([unit.value for unit in units], [0.5] * 200, scale=(0, 1))
    assert (found["fallback"], found["method"], found["trust"]) == (JudgeFallback.NOT_EARNED, EstimateMethod.HAJEK, 0.0)
    assert (found["value"], found["low"], found["high"]) == (labels.value, labels.ci_low, labels.ci_high)
    assert quality_fields([], totals, "judge")["fallback"] is JudgeFallback.NO_PREDICTIONS
    assert quality_fields([], JudgedTotals(), None)["value"] is None


def test_a_judge_helps_only_where_its_scores_are_summed():
    with pytest.raises(ValidationError, match=r"drift\.slices"):
        policy(estimates={"judge": {"accuracy": "judge"}, "slices": ["locale"]})
