"""The reviewers processor: which labels, tasks and known answers count, in whatever order they come, and what it keeps of them."""

import random
from datetime import timedelta

import pytest
from trueloop.streams.state_topics import is_whole, state_partitions

from tests.processors.reviewers_scenario import LATER, driver, gold, newest, says, thoughts
from tests.processors.scenario import START, context, label, policy, prefers, ratings, task
from trueloop.events import Critique, Rating, ReviewerStatus, ReviewForm, Rewrite, SpanMark
from trueloop.events.judgement import Severity
from trueloop.processors.reviewers import MOST_WAITING, PROCESSOR
from trueloop.testing import Clock, ProcessorDriver
from trueloop.topics import REVIEWERS

EVENTS = [
    *(task(number) for number in range(1, 7)),
    *(gold(number) for number in (1, 2, 3)),
    *(says(reviewer, number, (number + place) % 2) for number in range(1, 7) for place, reviewer in enumerate(("ada", "ben", "cleo")[: 2 + number % 2])),
    says("ada", 2, 1, at=START + timedelta(hours=1), supersedes=says("ada", 2, 0).event_id),
    label("ben", 3, at=START + timedelta(hours=2), retracts=says("ben", 3, 0).event_id),
]  # fmt: skip


def test_order_of_arrival_does_not_matter():
    """Labels before their tasks, gold before or after both: in the end the same is thought of everybody."""
    found = set()
    for seed in range(6):
        drive = driver()
        for event in random.Random(seed).sample(EVENTS, len(EVENTS)):
            drive.send(event)
        found.add(tuple(sorted(thoughts(drive).items())))
    assert len(found) == 1
    assert [name for name, _ in next(iter(found))] == ["ada", "ben", "cleo"]


def test_replay_is_once():
    drive = driver()
    for event in EVENTS:
        drive.send(event)
    states = {key: drive.state(key) for key in drive.keys}
    counted = drive.outcomes["counted"]
    assert drive.replay() == []
    assert {key: drive.state(key) for key in drive.keys} == states
    assert drive.outcomes["counted"] == counted
    # The newest answer of each task counts; the very same one again is a duplicate.
    assert (drive.outcomes["duplicate"], drive.outcomes.get("stale", 0)) == (len(EVENTS), 0)


@pytest.mark.parametrize("cut", range(0, len(EVENTS), 4))
def test_restart_in_the_middle_changes_nothing(cut):
    plain, restarted = driver(), driver()
    for number, event in enumerate(EVENTS):
        plain.send(event)
        if number == cut:
            restarted.restart()
        restarted.send(event)
    # A restarted worker tells of everybody again, in the same words: they have the same ids.
    assert {event.event_id for event in restarted.out} == {event.event_id for event in plain.out}
    assert thoughts(restarted) == thoughts(plain)
    assert restarted.outcomes == plain.outcomes


@pytest.mark.parametrize("size", [1, 3, 50])
def test_however_the_stream_is_cut_the_last_word_is_the_same(size):
    plain, batched = driver(), driver()
    for event in EVENTS:
        plain.send(event)
    for start in range(0, len(EVENTS), size):
        with batched.batch():
            for event in EVENTS[start : start + size]:
                batched.send(event)
    assert thoughts(batched) == thoughts(plain)


def test_a_newer_label_replaces_and_a_retraction_takes_away():
    drive = driver()
    drive.send(task(1))
    drive.send(gold(1))
    first = says("ada", 1, 0)
    drive.send(first)
    assert newest(drive)["ada"].gold_correct == 0.0
    second = says("ada", 1, 1, at=START + timedelta(hours=1))
    drive.send(second)
    assert (newest(drive)["ada"].n_labels, newest(drive)["ada"].gold_correct) == (1, 1.0)
    drive.send(label("ada", 1, at=START + timedelta(hours=2), retracts=second.event_id))
    # What was retracted does not count, and what it had replaced does not come back.
    gone = newest(drive)["ada"]
    assert (gone.n_labels, gone.n_gold, gone.gold_low, gone.reliability, gone.rubric_id) == (0, 0, None, [], None)
    assert (gone.median_seconds, gone.first_share, gone.status) == (None, None, ReviewerStatus.ACTIVE)


def test_nobody_takes_back_what_another_said():
    drive = driver()
    drive.send(task(1))
    drive.send(gold(1))
    drive.send(says("ada", 1, 1))
    drive.send(label("eve", 1, retracts=says("ada", 1, 1).event_id))
    assert newest(drive)["ada"].gold_correct == 1.0
    assert newest(drive)["eve"].n_labels == 0


def test_gold_that_is_corrected_or_withdrawn_counts_as_it_is_now():
    drive = driver()
    drive.send(task(1))
    drive.send(says("ada", 1, 1))
    drive.send(gold(1, ratings=[Rating(candidate_id="a", dimension="accuracy", value=0)]))
    assert newest(drive)["ada"].gold_correct == 0.0
    drive.send(gold(1, at=START + timedelta(hours=1)))
    assert newest(drive)["ada"].gold_correct == 1.0
    drive.send(gold(1, at=START + timedelta(minutes=1)))
    assert drive.outcomes["stale"] == 1
    drive.send(gold(1, at=START + timedelta(hours=2), withdrawn=True))
    assert newest(drive)["ada"].n_gold == 0


@pytest.mark.parametrize(
    "answer",
    [
        {"rubric_version": 2},
        {"ratings": []},
        {"ratings": [Rating(candidate_id="unknown", dimension="accuracy", value=1)]},
        {"ratings": [Rating(candidate_id="a", dimension="unknown", value=1)]},
        {"ratings": [], "preferences": prefers("unknown")},
        {"ratings": [], "preferences": prefers("a", "unknown")},
    ],
)
def test_an_answer_that_does_not_fit_its_task_judges_nobody(answer):
    drive = driver()
    drive.send(task(1))
    drive.send(says("ada", 1, 1))
    drive.send(gold(1, **answer))
    assert newest(drive)["ada"].n_gold == 0


@pytest.mark.parametrize(
    "bad",
    [
        says("ada", 1, 7),
        says("ada", 1, 1, rubric_version=2),
        label("ada", 1, ratings=ratings({"stranger": {"accuracy": 1}})),
        label("ada", 1, ratings=ratings({"a": {"charm": 1}})),
        label("ada", 1),
        label(
            "ada", 1, ratings=ratings({"a": {"accuracy": 1}}), spans=[SpanMark(candidate_id="a", start=0, end=99, dimension="tone", severity=Severity.MINOR)]
        ),
    ],
    ids=["off the scale", "another rubric version", "unknown candidate", "unknown dimension", "empty", "span outside the text"],
)
@pytest.mark.parametrize("early", [False, True])
def test_what_collection_refuses_counts_for_nothing_here(bad, early):
    drive = driver()
    for event in (bad, task(1)) if early else (task(1), bad):
        drive.send(event)
    assert drive.out == []
    assert drive.rejected == []  # collection says so in its dead letters; one is enough
    assert drive.outcomes == ({"waiting": 1, "task_opened": 1} if early else {"task_opened": 1, "refused": 1})
    drive.send(says("ada", 1, 1))
    assert newest(drive)["ada"].n_labels == 1


def test_labels_wait_for_their_task_up_to_a_limit():
    drive = driver()
    for number in range(MOST_WAITING + 5):
        drive.send(says(f"r{number:03d}", 1, 1))
    assert drive.outcomes == {"waiting": MOST_WAITING, "refused": 5}
    drive.send(says("r000", 1, 1))
    assert drive.outcomes["duplicate"] == 1
    drive.send(task(1))
    assert len(newest(drive)) == MOST_WAITING


def test_state_keeps_no_text():
    drive = driver()
    secret = "my card is 4000 1234"
    text = label(
        "ada", 1, ratings=ratings({"a": {"accuracy": 1}}), rewrite=Rewrite(candidate_id="a", completion=secret),
        critiques=[Critique(candidate_id="a", principle="kind", text=secret)],
        spans=[SpanMark(candidate_id="a", start=0, end=2, dimension="tone", severity=Severity.MINOR, replacement=secret)],
    )  # fmt: skip
    drive.send(text)
    assert secret not in PROCESSOR.dump(drive.state("task-1")).decode()
    drive.send(task(1))
    stored = PROCESSOR.dump(drive.state("task-1")).decode()
    assert secret not in stored
    assert "text a" not in stored
    assert "question" not in stored


def test_spans_alone_are_a_label_that_is_not_judged():
    drive = driver()
    drive.send(task(1, form=ReviewForm.SPAN))
    drive.send(label("ada", 1, seconds_spent=12.0))
    assert (newest(drive)["ada"].n_labels, newest(drive)["ada"].median_seconds) == (1, 12.0)


def test_an_unknown_rubric_is_counted_and_keeps_the_labels():
    drive = driver()
    drive.send(says("ada", 1, 1))
    drive.send(task(1, rubric_version=9))
    assert drive.outcomes == {"waiting": 1, "no_policy": 1}
    assert drive.state("task-1").frame is None


def test_what_is_too_old_is_forgotten():
    drive = driver(keep_days=30)
    drive.send(task(1))
    drive.send(gold(1))
    drive.send(says("ada", 1, 0))
    drive.send(says("stranger", 99, 1))  # its task never came
    recent = START + timedelta(days=40)
    drive.send(task(2, occurred_at=recent))
    drive.send(says("ada", 2, 1, at=recent))
    assert drive.outcomes["expired"] == 2
    assert drive.keys == ("task-2",)
    drive.send(says("ada", 2, 0, at=recent + timedelta(minutes=1)))
    assert (newest(drive)["ada"].n_labels, newest(drive)["ada"].n_gold) == (1, 0)
    drive.send(says("ada", 1, 0))
    assert drive.outcomes["waiting"] == 2


def test_a_date_in_the_future_outlives_nobody():
    drive = driver(keep_days=30, half_life_days=10)
    for number, at in ((1, START), (2, LATER + timedelta(days=9000))):
        drive.send(task(number, occurred_at=at))
        drive.send(gold(number, at=START))
        drive.send(says("ada", number, 0, at=at), at=START + timedelta(days=1))
    ada = newest(drive)["ada"]
    assert (ada.n_labels, ada.n_gold) == (2, 2)
    assert ada.reliability[0].beta == pytest.approx(1 + 0.5 ** (1 / 10) + 1, abs=1e-9)


def test_applications_are_apart():
    drive = ProcessorDriver(PROCESSOR, context(policy()), Clock(LATER))
    drive.send(task(1))
    drive.send(task(2, application="shop"))
    drive.send(says("ada", 1, 1))
    drive.send(says("ada", 2, 1))
    # Nothing governs 'shop' here: it keeps what was said, and says nothing.
    assert [(event.application, event.n_labels) for event in drive.out_of(REVIEWERS)] == [("support", 1)]
    assert REVIEWERS.key(drive.out_of(REVIEWERS)[0]) == "support/ada"


def test_one_worker_sees_everything():
    """Each reviewer's labels are spread over the partitions of `labels`, and so is what a model of the panel needs."""
    assert is_whole(PROCESSOR)
    assert state_partitions(PROCESSOR) == 1
