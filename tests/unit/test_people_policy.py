"""What a policy may say of people as evaluators, and what is put on trial by it."""

from typing import Any

import pytest
from pydantic import ValidationError
from trueloop.trainers.on_trial import items_on_trial

from tests.processors.scenario import RUBRIC, policy
from trueloop.adapters.documents import load_policy, load_rubric
from trueloop.rubrics.publication import check_policy

PEOPLE = {"dimension": "overall", "evaluator": "people", "max_regression": 0.1}


def gate(*dimensions: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"dimensions": list(dimensions or (PEOPLE,)), **changes}


def test_people_may_be_asked_over_all_or_on_a_dimension_of_the_rubric() -> None:
    check_policy(policy(gate=gate()), RUBRIC)
    check_policy(policy(gate=gate(PEOPLE | {"dimension": "tone", "require": "superior"})), RUBRIC)
    with pytest.raises(Exception, match="'charm' is no dimension"):
        check_policy(policy(gate=gate(PEOPLE | {"dimension": "charm"})), RUBRIC)
    with pytest.raises(Exception, match="'overall' is no dimension"):
        check_policy(policy(gate=gate({"dimension": "overall", "evaluator": "check:x"})), RUBRIC)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (gate(PEOPLE, PEOPLE | {"dimension": "tone"}), "expected one of them"),
        (gate(PEOPLE | {"max_failures": 0}), "fail none"),
        (gate(PEOPLE | {"max_regression": 0.0}), "between 0 and 0.5"),
        (gate(PEOPLE | {"max_regression": 0.5}), "between 0 and 0.5"),
        (gate(PEOPLE, people={"comparisons": 0}), "comparisons"),
        (gate(PEOPLE | {"evaluator": "people:seniors"}), "evaluator"),
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        policy(gate=given)


def test_the_shipped_example_that_asks_people_fits_its_rubric() -> None:
    shipped = load_policy("pandalm")
    check_policy(shipped, load_rubric("pandalm"))


def test_items_are_chosen_and_ordered_by_ids_alone() -> None:
    ours = {f"item-{number}": f"ours {number}" for number in range(50)}
    theirs = {f"item-{number}": f"theirs {number}" for number in range(5, 55)}
    chosen = items_on_trial("e", 20, ours, theirs)
    turned = items_on_trial("e", 20, theirs, ours)
    assert [each.item_id for each in chosen] == [each.item_id for each in turned]
    assert [each.trial_id for each in chosen] == sorted(each.trial_id for each in chosen)
    assert {each.item_id for each in chosen} <= ours.keys() & theirs.keys()
    assert [each.item_id for each in items_on_trial("e", 10, ours, theirs)] == [each.item_id for each in chosen[:10]]
    assert [each.item_id for each in items_on_trial("f", 20, ours, theirs)] != [each.item_id for each in chosen]


def test_the_same_answer_is_a_tie_without_asking() -> None:
    chosen = items_on_trial("e", 9, {"a": "Yes.", "b": "No."}, {"a": "Yes.", "b": "No"})
    assert {each.item_id: each.identical for each in chosen} == {"a": True, "b": False}
