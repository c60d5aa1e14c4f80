"""Holm against published values and the definition; looks: what they may spend together, and when they start anew."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.factories import example
from tests.processors.scenario import policy
from trueloop.events import Evaluation
from trueloop.gates.holm import holm
from trueloop.gates.looks import Look, LookLedger
from trueloop.gates.spending import look_alpha

GATE = policy().gate


def adjusted(*p_values: float) -> list[float]:
    found: list[float] = holm(np.array([p_values]), np.ones((1, len(p_values)), dtype=bool))[0].tolist()
    return found


def test_holm_rejects_what_is_published() -> None:
    """Benjamini and Hochberg 1995, JRSS B 57:289-300, section 3.2: of 15 p-values the family-wise procedures reject the first three at 0.05."""
    p_values = (0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0)
    found = adjusted(*p_values)
    assert [p <= 0.05 for p in found] == [True] * 3 + [False] * 12
    assert found[:4] == pytest.approx([0.0015, 0.0056, 0.0247, 0.114])


def test_holm_equals_its_definition_in_any_order() -> None:
    assert adjusted(0.01, 0.02, 0.03, 0.04, 0.05) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])
    assert adjusted(0.05, 0.03, 0.01, 0.04, 0.02) == pytest.approx([0.09, 0.09, 0.05, 0.09, 0.08])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.data())
def test_holm_steps_down(p_values: list[float], data: Any) -> None:
    counted = data.draw(st.lists(st.booleans(), min_size=len(p_values), max_size=len(p_values)))
    found = holm(np.array([p_values]), np.array([counted]))[0]
    family = sorted(p for p, member in zip(p_values, counted, strict=True) if member)
    for p, member, ours in zip(p_values, counted, found, strict=True):
        # Rejected at level a exactly when every p up to and including it is at most a / (number not yet rejected).
        steps = [(len(family) - place) * each for place, each in enumerate(family) if each <= p]
        assert ours == pytest.approx(min(max(steps), 1.0) if member else p)


def test_all_looks_together_spend_no_more_than_the_error() -> None:
    spent = [look_alpha(0.05, look) for look in range(1, 2000)]
    assert sum(spent) == pytest.approx(0.05 * (1 - 1 / 2000))
    assert spent == sorted(spent, reverse=True)
    with pytest.raises(ValueError, match="look is 0"):
        look_alpha(0.05, 0)


def test_a_policy_may_hold_its_error_for_each_look() -> None:
    single = policy(gate={"error_over": "look"}).gate
    assert [Look.numbered(single, number).alpha for number in (1, 7)] == pytest.approx([0.05, 0.05])
    assert Look.numbered(GATE, 2).alpha == pytest.approx(Look.numbered(GATE, 1).next_alpha)


def evaluation(number: int, *, version: int = 1, new: int = 0, items: int = 1000, candidate: str = "c") -> Evaluation:
    return example(Evaluation, event_id=f"e{number}", candidate=candidate, calibration_version=version, calibration_new=new, n_items=items, error=None)


def looks(*evaluations: Evaluation) -> list[tuple[int, int, int]]:
    ledger, found = LookLedger(), []
    for each in evaluations:
        ledger, look = ledger.taken(each, GATE)
        found.append((look.family, look.number, look.of_candidate))
    return found


def test_looks_are_counted_over_candidates_and_of_each() -> None:
    assert looks(*(evaluation(number, candidate=name) for number, name in enumerate("aabab"))) == [(1, 1, 1), (1, 2, 2), (1, 3, 1), (1, 4, 3), (1, 5, 2)]


def test_a_set_that_grew_a_little_is_the_same_and_one_that_is_half_new_is_another() -> None:
    grown = [
        evaluation(0, version=3, new=800, items=1000),  # the first look: what came before it is no news
        evaluation(1, version=4, new=300, items=1300),
        evaluation(2, version=4, new=300, items=1300),  # the same version again brings nothing
        evaluation(3, version=5, new=400, items=1700),  # 700 of 1,700 are new since the first look
        evaluation(4, version=6, new=200, items=1800),  # 900 of 1,800
        evaluation(5, version=7, new=100, items=1900),
    ]
    assert [(family, number) for family, number, _ in looks(*grown)] == [(1, 1), (1, 2), (1, 3), (1, 4), (2, 1), (2, 2)]


def test_a_ledger_knows_what_it_saw_and_stays_small() -> None:
    ledger = LookLedger()
    for number in range(700):
        ledger, _ = ledger.taken(evaluation(number), GATE)
    assert ledger.knows(evaluation(699))
    assert not ledger.knows(evaluation(700))
    assert len(ledger.looked) == 500
    assert ledger.number == 700
