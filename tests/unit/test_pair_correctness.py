"""The probability that a pair's order is right, against going through every outcome; and what is true of an item by a fitted model."""

from itertools import product
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trueloop.pairs.comparison import net_wins
from trueloop.pairs.correctness import win_probability
from trueloop.reviewers import dawid_skene, fitted_truth, item_truth
from trueloop.reviewers.expectation_maximisation import COMPETENCE
from trueloop.rubrics import Rubric

NAMES = ("a", "b", "c", "d")


def rubric(vetoes, tie_break):
    dimensions = [{"name": name, "description": name, "scale": {"min": 0, "max": 1}} for name in NAMES]
    return Rubric(id="r", version=1, title="r", statement="r", dimensions=dimensions, vetoes=vetoes, tie_break=tie_break)


@st.composite
def random_outcomes(draw):
    found = {}
    for name in draw(st.permutations(NAMES))[: draw(st.integers(1, 4))]:
        parts = [draw(st.integers(0, 10)) for _ in range(3)]
        total = sum(parts) or 1
        found[name] = tuple(part / total for part in parts) if sum(parts) else (0.0, 1.0, 0.0)
    return found


@given(random_outcomes(), st.permutations(NAMES), st.integers(0, 3), st.permutations(NAMES), st.integers(0, 4))
def test_every_outcome_by_the_net_win_rule(outcomes, vetoes, n_vetoes, breaks, n_breaks):
    rule = rubric(tuple(vetoes[:n_vetoes]), tuple(breaks[:n_breaks]))
    expected = 0.0
    for signs in product((1, 0, -1), repeat=len(outcomes)):
        probability = prod(outcomes[name][1 - sign] for name, sign in zip(outcomes, signs, strict=True))
        expected += probability * (net_wins(dict(zip(outcomes, signs, strict=True)), rule).direction == 1)
    assert win_probability(outcomes, rule) == pytest.approx(expected, abs=1e-12)


LABELS = [(item, name, value) for item in range(40) for name, value in (("ada", item % 2), ("ben", item % 2), ("cleo", 1), ("dan", (item // 3) % 2))]


def test_of_an_item_that_was_fitted_it_is_the_posterior_of_the_fit():
    fit = dawid_skene(*map(list, zip(*LABELS, strict=True)), tolerance=1e-12)
    for item in (0, 1, 5):
        found = fitted_truth({name: value for other, name, value in LABELS if other == item}, fit, (0, 1))
        assert [found[0], found[1]] == pytest.approx(fit.posterior[item], abs=1e-6)


def test_who_always_says_the_same_says_nothing():
    fit = dawid_skene(*map(list, zip(*LABELS, strict=True)))
    silent, with_cleo = fitted_truth({"ada": 0}, fit, (0, 1)), fitted_truth({"ada": 0, "cleo": 1}, fit, (0, 1))
    assert with_cleo[1] == pytest.approx(silent[1], abs=0.05)


def test_the_unknown_are_taken_for_competent_and_the_unweighed_for_nobody():
    assert fitted_truth({"eve": 1}, None, (0, 1)) == item_truth({"eve": 1}, {"eve": COMPETENCE}, (0, 1))
    fit = dawid_skene(*map(list, zip(*LABELS, strict=True)))
    assert fitted_truth({"eve": 1, "ada": 0}, fit, (0, 1), weights={"ada": 0.0}) == fitted_truth({"eve": 1}, fit, (0, 1))
    assert fitted_truth({"ada": 1}, fit, (0, 1), weights={"ada": 0.0}) is None
    # A value that the fit has never seen can be true, too.
    assert fitted_truth({"ada": 7, "ben": 7}, fit, (0, 1, 7))[7] > 0.2
