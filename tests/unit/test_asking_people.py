"""People are asked about a candidate unless the gate blocks it without them, at whatever look it will be decided on."""

from typing import Any

import pytest

from tests.factories import example
from tests.processors.scenario import RUBRIC, policy
from tests.unit.test_gates import scores
from trueloop.events import Evaluation, GateDecision, GateReason, ItemOnTrial, Verdict
from trueloop.gates.asking import AHEAD, is_blocked_anyway, looks_taken
from trueloop.gates.decide import decide
from trueloop.gates.looks import Look

PEOPLE = {"dimension": "overall", "evaluator": "people", "max_regression": 0.1}
CHECK = {"dimension": "accuracy", "evaluator": "check:support"}
CLEAR, GOOD = (1000, 780, 5, 150), (1000, 985, 5, 2)
"""A candidate that lies far below what is asked, and one that meets it."""


def evaluation(table: tuple[int, int, int, int], **changes: Any) -> Evaluation:
    found = [scores(*table, dimension="accuracy", evaluator="check:support")]
    return example(Evaluation, **{"scores": found, "evaluators": [], "error": None, "trials": [], **changes})


@pytest.mark.parametrize(("table", "expected"), [(CLEAR, True), (GOOD, False)])
def test_what_a_check_blocks_is_not_put_before_people(table: tuple[int, int, int, int], expected: bool) -> None:
    governed = policy(gate={"dimensions": [CHECK, PEOPLE]})
    assert is_blocked_anyway(evaluation(table), governed, RUBRIC, 0) is expected
    assert not is_blocked_anyway(evaluation(CLEAR), policy(gate={"dimensions": [PEOPLE]}), RUBRIC, 0)


@pytest.mark.parametrize("error_over", ["family", "look"])
def test_the_gate_blocks_whatever_people_were_not_asked_about(error_over: str) -> None:
    """From clear losses to none, and at every look that may be taken meanwhile: who is not asked about is blocked, and the reason is the other one's."""
    governed = policy(gate={"dimensions": [CHECK, PEOPLE], "error_over": error_over})
    seen = set()
    for lost in range(0, 160, 4):
        found = evaluation((1000, 940 - lost, 5, 5 + lost))
        for looks in (0, 3):
            blocked = is_blocked_anyway(found, governed, RUBRIC, looks)
            seen.add(blocked)
            if blocked:
                decisions = [decide(found, governed, RUBRIC, Look.numbered(governed.gate, number)) for number in range(1, looks + AHEAD + 1)]
                assert {decision.verdict for decision in decisions} == {Verdict.BLOCK}
                assert GateReason.NO_EVIDENCE in decisions[0].reasons
    assert seen == {True, False}


def test_where_it_is_close_people_are_asked() -> None:
    """Blocked at the next look, but not at all looks that may be taken before it is decided on."""
    governed = policy(gate={"dimensions": [CHECK, PEOPLE]})
    close = [
        found
        for lost in range(0, 160, 2)
        if decide(found := evaluation((1000, 940 - lost, 5, 5 + lost)), governed, RUBRIC, Look.numbered(governed.gate, 1)).verdict is Verdict.BLOCK
    ]
    asked = [is_blocked_anyway(found, governed, RUBRIC, 0) for found in close]
    assert asked == sorted(asked)
    assert asked[0] is False
    assert asked[-1] is True


def test_an_evaluation_with_trials_is_judged_as_if_nobody_had_been_asked() -> None:
    governed = policy(gate={"dimensions": [CHECK, PEOPLE]})
    trials = [ItemOnTrial(trial_id=f"t{n}", item_id=f"i{n}", identical=False) for n in range(20)]
    assert is_blocked_anyway(evaluation(CLEAR, trials=trials), governed, RUBRIC, 0)


def test_looks_are_counted_in_the_newest_family_of_the_application() -> None:
    def decision(application: str, family: int, look: int) -> GateDecision:
        return example(GateDecision, application=application, look_family=family, look=look)

    told = [decision("mine", 1, 7), decision("mine", 2, 2), decision("mine", 2, 3), decision("other", 3, 50), example(Evaluation)]
    assert looks_taken(told, "mine") == 3
    assert looks_taken(reversed(told), "mine") == 3
    assert looks_taken(told, "nobody") == 0
