"""Laws of the datasets: the newest event counts, order of keys does not, and nothing held out or withheld gets in."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.factories import example
from trueloop.datasets.calibration import build_calibration_set
from trueloop.datasets.pair_log import EMPTY, extend
from trueloop.datasets.pairs_dataset import PairSelection, build_pairs_dataset, is_probable, seen_prompts
from trueloop.datasets.rows import demonstration_rows, preference_rows, prompt_rows, stepwise_rows, unpaired_rows
from trueloop.datasets.versions_of_text import split_steps
from trueloop.events import CalibrationItem, DimensionOutcome, Message, PairSource, PreferencePair, Role, Split, prompt_hash

SELECTION = PairSelection("billing-support", "billing", 2)
MESSAGES = [Message(role=Role.SYSTEM, content="Rules."), Message(role=Role.USER, content="Question?")]


def pair(pair_id: str, event_id: str, **changes: Any) -> PreferencePair:
    standard = {
        "application": "billing-support",
        "rubric_id": "billing",
        "rubric_version": 2,
        "split": Split.TRAIN,
        "trainable": True,
        "withdrawn": False,
        "source": PairSource.RATINGS,
        "messages": MESSAGES,
    }
    return example(PreferencePair, **standard | {"pair_id": pair_id, "event_id": event_id} | changes)


def ids(log: list[PreferencePair], selection: PairSelection = SELECTION) -> dict[str, str]:
    return {found.pair_id: found.event_id for found in build_pairs_dataset(log, selection).pairs}


VARIANTS: list[dict[str, Any]] = [
    {},
    {"withdrawn": True},
    {"trainable": False},
    {"split": Split.CALIBRATION},
    {"rubric_version": 1},
    {"rubric_id": "other"},
    {"application": "other"},
    {"messages": [Message(role=Role.UNKNOWN, content="Who?")]},
]
LOGS = st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, len(VARIANTS) - 1)), max_size=20).map(
    lambda drawn: [pair(pair_id, f"event-{number}", **VARIANTS[variant]) for number, (pair_id, variant) in enumerate(drawn)]
)


@given(LOGS)
def test_the_newest_event_of_a_pair_decides(log: list[PreferencePair]) -> None:
    newest = {event.pair_id: event for event in log}

    assert ids(log) == {pair_id: event.event_id for pair_id, event in newest.items() if SELECTION.admits(event)}


@given(LOGS)
def test_the_hash_is_that_of_the_trigger(log: list[PreferencePair]) -> None:
    chain = EMPTY
    for event in log:
        if event.trainable and event.split is Split.TRAIN and (event.application, event.rubric_id, event.rubric_version) == ("billing-support", "billing", 2):
            chain = extend(chain, event.event_id)

    assert build_pairs_dataset(log, SELECTION).content_hash == chain


@given(LOGS, st.randoms())
def test_the_order_of_different_pairs_does_not_matter(log: list[PreferencePair], random: Any) -> None:
    newest = list({event.pair_id: event for event in log}.values())
    shuffled = newest.copy()
    random.shuffle(shuffled)

    assert build_pairs_dataset(newest, SELECTION).pairs == build_pairs_dataset(shuffled, SELECTION).pairs


@given(LOGS)
def test_seeing_the_log_twice_changes_nothing_that_is_trained_on(log: list[PreferencePair]) -> None:
    assert ids(log + log) == ids(log)


def test_each_ground_of_exclusion_excludes() -> None:
    for changes in VARIANTS[1:]:
        assert ids([pair("a", "1"), pair("a", "2", **changes)]) == {}, changes
        assert ids([pair("a", "1", **changes), pair("a", "2")]) == {"a": "2"}, changes


def test_a_held_out_pair_is_never_trained_on_and_needs_no_consent_to_be_scored() -> None:
    held_out = pair("a", "1", split=Split.CALIBRATION, trainable=False)

    assert ids([held_out]) == {}
    assert ids([held_out], PairSelection("billing-support", "billing", 2, Split.CALIBRATION)) == {"a": "1"}


def test_prompts_once_offered_for_training_stay_seen() -> None:
    log = [pair("a", "1", prompt_hash="p"), pair("a", "2", prompt_hash="p", withdrawn=True), pair("b", "3", prompt_hash="q", split=Split.CALIBRATION)]

    assert seen_prompts(log, "prompt") == {"p"}


def test_rows_for_dpo() -> None:
    dataset = build_pairs_dataset([pair("a", "1", chosen="good", rejected="bad", weight=0.5, margin=0.25)], SELECTION)

    (row,) = preference_rows(dataset)

    assert row["prompt"] == [{"role": "system", "content": "Rules."}, {"role": "user", "content": "Question?"}]
    assert row["chosen"] == [{"role": "assistant", "content": "good"}]
    assert row["rejected"] == [{"role": "assistant", "content": "bad"}]
    assert (row["weight"], row["margin"]) == (0.5, 0.25)
    assert set(row) == {"prompt", "chosen", "rejected", "weight", "margin", "p_correct", "source", "slices", "outcomes", "pair_id"}


def test_rows_carry_what_a_loss_or_a_report_asks_for() -> None:
    outcomes = [DimensionOutcome(dimension="tone", outcome=-1), DimensionOutcome(dimension="accuracy", outcome=1)]
    dataset = build_pairs_dataset([pair("a", "1", p_correct=None, slices={"locale": "de"}, outcomes=outcomes)], SELECTION)

    (row,) = preference_rows(dataset)

    assert (row["p_correct"], row["source"], row["slices"]) == (None, "RATINGS", {"locale": "de"})
    assert (row["outcomes"], row["pair_id"]) == ({"tone": -1, "accuracy": 1}, "a")


def test_a_completion_is_good_when_it_won_more_weight_than_it_lost() -> None:
    won, lost = {"chosen": "x", "prompt_hash": "p"}, {"rejected": "x", "prompt_hash": "p"}
    dataset = build_pairs_dataset(
        [pair("a", "1", **won, rejected="y", weight=1.0), pair("b", "2", **lost, chosen="z", weight=0.5), pair("c", "3", **lost, chosen="y", weight=0.5)],
        SELECTION,
    )

    rows = {row["completion"][0]["content"]: (row["label"], row["weight"]) for row in unpaired_rows(dataset)}

    assert rows == {"z": (True, 0.5), "y": (False, 0.25)}  # x won as much as it lost, so nobody knows


def test_the_same_completion_of_another_prompt_is_another_row() -> None:
    dataset = build_pairs_dataset(
        [pair("a", "1", prompt_hash="p", chosen="x", rejected="y"), pair("b", "2", prompt_hash="q", chosen="y", rejected="x")], SELECTION
    )

    assert [(row["completion"][0]["content"], row["label"]) for row in unpaired_rows(dataset)] == [("x", True), ("y", False), ("y", True), ("x", False)]


def test_each_prompt_once() -> None:
    dataset = build_pairs_dataset([pair("a", "1", prompt_hash="p"), pair("b", "2", prompt_hash="p"), pair("c", "3", prompt_hash="q")], SELECTION)

    assert [row["prompt_id"] for row in prompt_rows(dataset)] == ["p", "q"]


def improvement(pair_id: str, chosen: str, rejected: str, **changes: Any) -> PreferencePair:
    standard = {"source": PairSource.REWRITE, "task_id": "t", "label_ids": ["l"], "chosen": chosen, "rejected": rejected}
    return pair(pair_id, f"event-{pair_id}", **standard | changes)


WORST, BETTER, BEST = "Bad one. Bad two. Fine.", "Good one. Bad two. Fine.", "Good one. Good two. Fine."


def test_versions_of_one_text_give_a_row_each_and_the_best_says_which_steps_stood() -> None:
    chain = [improvement("a", BEST, WORST), improvement("b", BETTER, WORST), improvement("c", BEST, BETTER)]

    rows = list(stepwise_rows(build_pairs_dataset(chain, SELECTION)))

    assert [row["labels"] for row in rows] == [[False, False, True], [True, False, True], [True, True, True]]
    assert ["".join(row["completions"]) for row in rows] == [WORST, BETTER, BEST]


def test_two_texts_that_one_label_improved_are_two_stages() -> None:
    log = [improvement("a", "Good.", "Bad."), improvement("b", "Right.", "Wrong.")]

    assert [row["completions"] for row in stepwise_rows(build_pairs_dataset(log, SELECTION))] == [["Bad."], ["Good."], ["Wrong."], ["Right."]]


def test_what_is_no_chain_gives_no_steps() -> None:
    circle = [improvement("a", "x", "y"), improvement("b", "y", "z"), improvement("c", "z", "x")]
    two_best = [improvement("a", "x", "z"), improvement("b", "y", "z")]
    candidates = [improvement("a", "x", "y", source=PairSource.RATINGS)]

    for log in (circle, two_best, candidates):
        assert list(stepwise_rows(build_pairs_dataset(log, SELECTION))) == []


@given(st.text(alphabet="ab.!? \n", max_size=40))
def test_steps_joined_are_the_text(text: str) -> None:
    assert "".join(split_steps(text)) == text


def test_rows_that_a_trainer_would_refuse_are_not_written() -> None:
    dataset = build_pairs_dataset([pair("a", "1", chosen="same", rejected="same"), pair("b", "2", chosen=" ", rejected="text")], SELECTION)

    assert len(list(preference_rows(dataset))) == 1
    assert [row["completion"][0]["content"] for row in demonstration_rows(dataset)] == ["same"]


def test_rewrites_teach_alone_and_equal_demonstrations_once() -> None:
    dataset = build_pairs_dataset(
        [
            pair("a", "1", prompt_hash="p", chosen="better"),
            pair("b", "2", prompt_hash="p", chosen="rewritten", source=PairSource.REWRITE),
            pair("c", "3", prompt_hash="q", chosen="fine"),
            pair("d", "4", prompt_hash="q", chosen="fine"),
        ],
        SELECTION,
    )

    assert [row["completion"][0]["content"] for row in demonstration_rows(dataset)] == ["rewritten", "fine"]


def item(item_id: str, event_id: str, **changes: Any) -> CalibrationItem:
    standard = {"application": "billing-support", "prompt_hash": f"prompt-{item_id}", "messages": MESSAGES}
    return example(CalibrationItem, **standard | {"item_id": item_id, "event_id": event_id} | changes)


ITEM_LOGS = st.lists(st.sampled_from("abcdefgh"), max_size=20).map(
    lambda drawn: [(offset * 2, item(item_id, f"event-{offset}")) for offset, item_id in enumerate(drawn)]
)


@given(ITEM_LOGS, st.integers(0, 10))
def test_a_calibration_set_is_the_oldest_items_with_their_newest_content(log: list[tuple[int, CalibrationItem]], max_items: int) -> None:
    found = build_calibration_set(log, "billing-support", max_items)

    expected = list(dict.fromkeys(event.item_id for _, event in log))[:max_items]
    newest = {event.item_id: event.event_id for _, event in log}
    assert [(event.item_id, event.event_id) for event in found.items] == [(item_id, newest[item_id]) for item_id in expected]
    assert found.end_offset == (log[-1][0] + 1 if log else 0)
    assert found.n_new == len(expected)


@given(ITEM_LOGS, ITEM_LOGS)
def test_a_full_calibration_set_keeps_its_items_as_the_log_grows(log: list[tuple[int, CalibrationItem]], more: list[tuple[int, CalibrationItem]]) -> None:
    later = [(100 + offset, event) for offset, event in more]
    before = build_calibration_set(log, "billing-support", 3)
    after = build_calibration_set(log + later, "billing-support", 3, since=100)

    assert [event.item_id for event in after.items][: len(before.items)] == [event.item_id for event in before.items]
    assert after.n_new == len(after.items) - len(before.items)


@given(ITEM_LOGS, st.randoms())
def test_the_calibration_hash_depends_on_the_items_and_not_on_their_order(log: list[tuple[int, CalibrationItem]], random: Any) -> None:
    events = list({event.item_id: event for _, event in log}.values())
    shuffled = events.copy()
    random.shuffle(shuffled)

    def hash_of(chosen: list[CalibrationItem]) -> str:
        return build_calibration_set(enumerate(chosen), "billing-support", 100).content_hash

    assert hash_of(events) == hash_of(shuffled)
    if events:
        assert hash_of(events) != hash_of(events[1:])
        assert hash_of(events) != hash_of([item(events[0].item_id, "another event"), *events[1:]])


def test_trained_prompts_other_applications_and_unknown_roles_are_left_out() -> None:
    log = [
        item("a", "1", prompt_hash="p"),
        item("b", "2", application="other"),
        item("c", "3", messages=[Message(role=Role.UNKNOWN, content="Who?")]),
        item("d", "4"),
    ]

    assert [event.item_id for event in build_calibration_set(enumerate(log), "billing-support", 10, trained_prompts={"p"}).items] == ["d"]


def test_training_weights_are_capped_so_that_nobody_carries_the_dataset():
    panel = [pair(f"p{n}", f"p{n}", reviewers=[name], weight=1.0) for n, name in enumerate(["ada", "ben", "cleo", "dan", "eve"] * 2)]
    flood = [pair(f"m{n}", f"m{n}", reviewers=["mallory"], weight=1.0) for n in range(90)]
    selection = PairSelection("billing-support", "billing", 2, max_influence=0.25)
    weights = {row["pair_id"]: row["weight"] for row in preference_rows(build_pairs_dataset([*panel, *flood], selection))}
    assert all(weights[each.pair_id] == 1.0 for each in panel)
    assert sum(weights[each.pair_id] for each in flood) == pytest.approx(5.0), "six parties: a third of 15"
    uncut = preference_rows(build_pairs_dataset([*panel, *flood], SELECTION))
    assert {row["weight"] for row in uncut} == {1.0}


def test_versions_on_the_way_are_no_demonstrations():
    log = [
        pair("a", "1", prompt_hash="p", source=PairSource.SPAN, margin=1.0, rejected="bad bad", chosen="good good"),
        pair("b", "2", prompt_hash="p", source=PairSource.SPAN, margin=0.5, rejected="bad bad", chosen="good bad"),
        pair("c", "3", prompt_hash="p", source=PairSource.RATINGS, margin=1.0, rejected="x", chosen="y"),
    ]
    rows = list(demonstration_rows(build_pairs_dataset(log, SELECTION)))
    assert [row["completion"][0]["content"] for row in rows] == ["good good"]


def test_what_is_alike_to_a_trained_prompt_is_not_evaluated_on():
    def billed(amount: str) -> list[Message]:
        return [Message(role=Role.USER, content=f"Why was I billed {amount}?")]

    log = [pair("a", "1", prompt_hash=prompt_hash(billed("$4.71")), messages=billed("$4.71"))]
    alike = item("i", "1", prompt_hash=prompt_hash(billed("$93")), messages=billed("$93"))
    other = item("j", "2", prompt_hash="other", messages=[Message(role=Role.USER, content="Who are you?")])
    for split_by, expected in (("prompt", {"i", "j"}), ("template", {"j"})):
        held_out = build_calibration_set([(0, alike), (1, other)], "billing-support", 10, trained_prompts=seen_prompts(log, split_by), split_by=split_by)
        assert {each.item_id for each in held_out.items} == expected


@pytest.mark.parametrize(("p_correct", "least", "probable"), [(None, 0.9, True), (0.5, 0.5, True), (0.49, 0.5, False), (0.8, 0.81, False), (1.0, 0.99, True)])
def test_a_pair_is_probable_unless_its_posterior_says_less(p_correct: float | None, least: float, probable: bool) -> None:
    assert is_probable(pair("p", "e", p_correct=p_correct), least) is probable
