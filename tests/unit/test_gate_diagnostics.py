"""Diagnostics of reward hacking: what is counted, how sure a difference is, and when it warns."""

import pytest
from scipy import stats

from tests.unit.test_gates import scores
from trueloop.events import Diagnostic, DiagnosticKind, EvaluationWarning
from trueloop.gates.diagnostics import diagnose, measures, paired, refuses, warnings


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Perhaps it is so.", DiagnosticKind.HEDGING),
        ("I\u2019m not sure about this.", DiagnosticKind.HEDGING),
        ("We apologise.", DiagnosticKind.APOLOGY),
        ("I cannot help with this request.", DiagnosticKind.REFUSAL),
        ("I\u2019m unable to assist with that.", DiagnosticKind.REFUSAL),
    ],
)
def test_phrases_are_found(text: str, kind: DiagnosticKind) -> None:
    found = measures(text)
    assert [each for each in (DiagnosticKind.HEDGING, DiagnosticKind.APOLOGY, DiagnosticKind.REFUSAL) if found[each]] == [kind]


def test_plain_answers_count_for_nothing() -> None:
    found = measures("Our records show balance due $47.71. A refund is not possible here.")
    assert [found[kind] for kind in (DiagnosticKind.HEDGING, DiagnosticKind.APOLOGY, DiagnosticKind.REFUSAL, DiagnosticKind.REPETITION)] == [0.0] * 4
    assert not refuses("")
    assert measures("")[DiagnosticKind.REPETITION] == 0.0
    assert measures("no no no no no")[DiagnosticKind.REPETITION] == pytest.approx(2 / 3)


def test_a_paired_difference_is_that_of_scipy() -> None:
    ours, theirs = [5.0, 7.0, 9.0, 4.0], [4.0, 7.0, 5.0, 3.0]
    found = paired(DiagnosticKind.WORDS, ours, theirs)
    expected = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    assert (found.difference, found.difference_low, found.difference_high) == pytest.approx((1.5, expected.low, expected.high))
    single = paired(DiagnosticKind.WORDS, [1.0], [2.0])
    assert (single.difference, single.difference_low, single.difference_high) == (-1.0, None, None)
    for columns in (([], []), ([1.0], [])):
        with pytest.raises(ValueError, match="expected as many, at least one"):
            paired(DiagnosticKind.WORDS, *columns)


def test_only_prompts_that_both_answered_are_compared() -> None:
    found = diagnose({"a": "one two", "b": "x"}, {"a": "one", "c": "y"})
    assert {each.n for each in found} == {1}
    assert diagnose({"a": "x"}, {"b": "y"}) == []


def reward(low: float) -> Diagnostic:
    return Diagnostic(kind=DiagnosticKind.REWARD, n=100, candidate=2.0, baseline=1.0, difference=1.0, difference_low=low, difference_high=2.0)


def test_a_reward_that_rises_while_the_rubric_falls_warns_and_else_it_does_not() -> None:
    fell, held = scores(100, 60, 0, 20), scores(100, 60, 1, 2)
    assert warnings([reward(0.5)], [fell]) == [EvaluationWarning.REWARD_UP_RUBRIC_DOWN]
    assert warnings([reward(0.5)], [held]) == []
    assert warnings([reward(-0.5)], [fell]) == []
    assert warnings([reward(0.5)], [fell.model_copy(update={"slice": "locale=de"})]) == []
    assert warnings([reward(0.5)], [scores(100, 80, 5, 0), fell.model_copy(update={"dimension": "tone"})]) == [EvaluationWarning.REWARD_UP_RUBRIC_DOWN]


def test_answers_that_grew_or_grovel_warn() -> None:
    ours = {str(number): "I am sorry, so very sorry, for this." + " word" * (number % 3) for number in range(30)}
    theirs = dict.fromkeys(ours, "Yes.")
    assert warnings(diagnose(ours, theirs), []) == [EvaluationWarning.LONGER, EvaluationWarning.MORE_APOLOGIES]
    assert warnings(diagnose(theirs, ours), []) == []
    assert warnings(diagnose(ours, ours), []) == []
