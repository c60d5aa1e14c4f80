"""The billing task: cases are a pure function of index and salt, and the checks find exactly the faults that were written."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trueloop.demo.billing import (
    DENIAL,
    FIELDS,
    GRANT,
    QUESTIONS,
    REFERENCE,
    Case,
    FaultRates,
    corpus_pair,
    make_case,
    money,
    statement_pair,
    write_answer,
)
from trueloop.demo.billing_checks import DIMENSIONS, check

RIGHT = dict.fromkeys(DIMENSIONS, 1.0)
N = 600


def first(condition: str) -> Case:
    cases = (make_case(index, "unit") for index in range(N))
    wanted = {
        "confused": lambda case: case.question.confused_with is not None,
        "not due": lambda case: not case.truth.refund_due,
        "due": lambda case: case.truth.refund_due,
        "rude": lambda case: case.slices["mood"] == "rude",
    }[condition]
    return next(case for case in cases if wanted(case))


def test_a_case_depends_on_index_and_salt_only() -> None:
    assert make_case(7, "a") == make_case(7, "a")
    assert len({make_case(index, salt).case_id for index in range(N) for salt in ("a", "b")}) == 2 * N


def test_the_five_amounts_differ_so_that_a_wrong_line_is_never_right() -> None:
    assert all(len(set(make_case(index, "unit").ledger_cents.values())) == len(FIELDS) for index in range(N))


def test_shares_are_those_declared() -> None:
    cases = [make_case(index, "shares") for index in range(4000)]

    def share(wanted: list[bool]) -> float:
        return sum(wanted) / len(wanted)

    # 4000 draws: a standard error of at most 0.008, so 0.03 is nearly four of them
    assert share([case.slices["mood"] == "rude" for case in cases]) == pytest.approx(0.4, abs=0.03)
    assert share([case.question.confused_with is not None for case in cases]) == pytest.approx(5 / 20, abs=0.03)
    assert share([case.truth.refund_due for case in cases]) == pytest.approx(0.75 * 0.5, abs=0.03)


def test_no_question_holds_another() -> None:
    texts = [question.text[1:] for question in QUESTIONS]
    assert not [(a, b) for a in texts for b in texts if a != b and a in b]


def test_the_reference_corpus_is_right_everywhere() -> None:
    assert all(check(case.messages, answer) == RIGHT for case, answer in (corpus_pair(index, "unit", REFERENCE) for index in range(N)))


def test_each_fault_lowers_its_own_dimension_only() -> None:
    confused, not_due, rude = first("confused"), first("not due"), first("rude")

    assert check(confused.messages, write_answer(confused, salt="x", wrong_line=True)) == RIGHT | {"numeric_accuracy": 0.0}
    assert check(not_due.messages, write_answer(not_due, salt="x", grant_anyway=True)) == RIGHT | {"policy": 0.0}
    assert check(rude.messages, write_answer(rude, salt="x", curt=True)) == RIGHT | {"tone": 0.0}


def test_the_flawed_corpus_is_wrong_as_often_as_declared() -> None:
    pairs = [corpus_pair(index, "rates", FaultRates(wrong_line=1.0, refund_against_rule=1.0, curt_to_rude=1.0)) for index in range(4000)]
    means = {name: sum(check(case.messages, answer)[name] for case, answer in pairs) / len(pairs) for name in DIMENSIONS}

    # the same four standard errors; these are the scores of a model that always shows its faults, as greedy decoding does
    assert means == {
        "numeric_accuracy": pytest.approx(1 - 5 / 20, abs=0.03),
        "policy": pytest.approx(1 - 0.4 * 0.5 * 0.625, abs=0.03),
        "tone": pytest.approx(0.60, abs=0.03),
    }


@pytest.mark.parametrize(
    ("completion", "dimension"),
    [
        ("", "numeric_accuracy"),
        ("{right} or perhaps $1.23.", "numeric_accuracy"),
        ("{right}0", "numeric_accuracy"),
        ("{right} " + GRANT + " " + DENIAL, "policy"),
        ("{right} Let me see about that refund.", "policy"),
        ("{right}", "tone"),
        ("Thank you. Read your bill. {right}", "tone"),
    ],
)
def test_an_answer_that_hedges_is_wrong(completion: str, dimension: str) -> None:
    case = first("due")
    assert check(case.messages, completion.format(right=money(case.truth.amount_cents)))[dimension] == 0.0


def test_a_ledger_typed_by_the_customer_changes_nothing() -> None:
    case = make_case(3, "unit")
    system, user = case.messages
    forged = {"role": "user", "content": user["content"] + "\n" + f"{case.truth.field} $0.01\nCharged 1 days ago, service unused."}

    assert check((system, forged), write_answer(case, salt="x")) == RIGHT


@pytest.mark.parametrize(
    "change",
    [
        lambda system, user: [],
        lambda system, user: [user],
        lambda system, user: [user, system],
        lambda system, user: [system | {"content": ""}, user],
        lambda system, user: [system | {"content": system["content"] * 2}, user],
        lambda system, user: [system | {"content": re.sub(r"\$\d+", "$many", system["content"])}, user],
        lambda system, user: [system, user | {"content": "What is the weather?"}],
        lambda system, user: [system, user | {"content": "What is my balance due? What are my late fees?"}],
    ],
)
def test_a_prompt_that_cannot_be_read_is_no_evidence(change) -> None:
    system, user = make_case(1, "unit").messages
    assert check(change(system, user), "Thank you.") == {}


@given(st.text(), st.text(), st.text())
def test_hostile_text_is_handled(system: str, user: str, completion: str) -> None:
    assert check([{"role": "system", "content": system}, {"role": "user", "content": user}], completion) == {}
    assert set(check(make_case(0, "unit").messages, completion)) == set(DIMENSIONS)


def test_a_statement_reads_out_every_line() -> None:
    messages, answer = statement_pair(5, "unit")
    assert sorted(re.findall(r"\$\d+\.\d\d", answer)) == sorted(re.findall(r"\$\d+\.\d\d", messages[0]["content"]))
    assert check(messages, answer) == {}
