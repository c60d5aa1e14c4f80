"""Preferences: the display order undone, and the test whether it mattered."""

import random
from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trueloop.agreement import position_bias, preference_agreement
from trueloop.agreement.position import TIE, Positions, position_test
from trueloop.events import Undefined


def simulated(tasks, *, bias, seed, raters=3, candidates=2):
    """Reviewers prefer the better candidate mostly, and the one shown first with probability `bias`, whatever it is."""
    chance, rows = random.Random(seed), []
    for task in range(tasks):
        better = chance.randrange(candidates)
        for rater in range(raters):
            order = chance.sample(range(candidates), candidates)
            wanted = order[0] if chance.random() < bias else better if chance.random() < 0.8 else chance.randrange(candidates)
            rows.append((task, rater, TIE if chance.random() < 0.1 else order.index(wanted), tuple(order)))
    return [list(column) for column in zip(*rows, strict=True)]


def test_undoing_the_order_restores_agreement():
    tasks, raters, choices, orders = simulated(200, bias=0.0, seed=1)
    found = preference_agreement(tasks, raters, choices, orders)
    assert found.observed.value > 0.65
    assert found.alpha.interval[0] > 0.4
    shuffled = preference_agreement(tasks, raters, choices, [(0, 1)] * len(orders))
    assert shuffled.alpha.value < 0.15
    assert found.position.p_value > 0.01


@pytest.mark.parametrize("candidates", [2, 3])
def test_a_bias_for_the_first_is_found(candidates):
    tasks, raters, choices, orders = simulated(200, bias=0.3, seed=2, candidates=candidates)
    bias = preference_agreement(tasks, raters, choices, orders).position
    assert bias.expected == pytest.approx(1 / candidates)
    assert bias.p_value < 1e-6
    assert bias.ci_low > bias.expected
    assert bias.ci_low < bias.share_first < bias.ci_high


def test_no_bias_is_found_at_the_declared_rate_even_when_the_reviewers_of_a_task_agree():
    """A test that took the labels of a task for independent would find one in a third of these."""
    found = []
    for seed in range(400):
        chance = random.Random(seed)
        tasks = [(task, chance.random() < 0.5) for task in range(60)]
        rows = [(task, int(first)) for task, first in tasks for _ in range(4)]
        found.append(position_bias([task for task, _ in rows], [choice for _, choice in rows]).p_value < 0.05)
    assert sum(found) / 400 == pytest.approx(0.05, abs=3.5 * sqrt(0.05 * 0.95 / 400))


def test_by_hand():
    """30 of 40 tasks for the first: z = (30 - 10) / 2 / sqrt(40 / 4)."""
    bias = position_bias(range(40), [0] * 30 + [1] * 10)
    assert (bias.share_first, bias.expected, bias.n_preferences, bias.n_tasks) == (0.75, 0.5, 40, 40)
    assert bias.p_value == pytest.approx(0.0015654, abs=1e-6)


def test_ties_and_missing_answers_say_nothing_of_the_position():
    assert position_bias(range(44), [0] * 30 + [1] * 10 + [TIE] * 2 + [None] * 2) == position_bias(range(40), [0] * 30 + [1] * 10)
    nothing = position_bias([1, 2], [TIE, None])
    assert (nothing.share_first, nothing.p_value, nothing.undefined) == (None, None, Undefined.NO_PAIRABLE_UNITS)
    few = position_bias(range(19), [0] * 19)
    assert (few.share_first, few.p_value, few.undefined) == (1.0, None, Undefined.TOO_FEW_UNITS)
    opposed = position_bias([task for task in range(30) for _ in range(2)], [0, 1] * 30)
    assert (opposed.share_first, opposed.p_value, opposed.undefined) == (0.5, None, Undefined.NO_VARIATION)


def test_wrong_choices_are_named():
    with pytest.raises(ValueError, match=r"choices\[1\] is none of the places 0 to 1"):
        position_bias([1, 2], [0, 2])
    with pytest.raises(ValueError, match="candidates is 1; expected at least 2"):
        position_bias([1], [0], candidates=1)
    with pytest.raises(ValueError, match=r"orders have \[2, 3\] candidates"):
        preference_agreement([1, 1], ["x", "y"], [0, 0], [(0, 1), (0, 1, 2)])


TASKS = st.lists(st.tuples(st.integers(2, 4), st.integers(0, 3), st.integers(0, 3)).map(lambda task: (task[0], task[1], task[1] + task[2])), max_size=40)


@given(TASKS, TASKS)
def test_positions_add_and_subtract_exactly(tasks, others):
    whole, one, other = Positions(), Positions(), Positions()
    for task in tasks:
        whole.add(*task)
        one.add(*task)
    for task in others[::-1]:
        whole.add(*task)
        other.add(*task)
    one.merge(other)
    assert one.sums == whole.sums
    assert position_test(one) == position_test(whole)
    one.merge(other, -1)
    for task in others:
        whole.add(*task, -1)
    assert one.sums == whole.sums
