"""The reviewers processor: what a label, a task and a known answer do to what is thought of reviewers, in whatever order they come."""

import random
from datetime import timedelta
from fractions import Fraction

import pytest
from trueloop.streams.state_topics import is_whole, state_partitions

from tests.processors.scenario import START, context, label, policy, prefers, ratings, task
from trueloop.events import Critique, GoldAnswer, Rating, ReviewerReason, ReviewerStatus, ReviewForm, Rewrite, SpanMark
from trueloop.events.judgement import Severity
from trueloop.processors.processor import Source
from trueloop.processors.reviewers import MOST_WAITING, PROCESSOR
from trueloop.reviewers import gold_accuracy_of, reliability
from trueloop.reviewers.panel_fit import FIT_EVERY
from trueloop.testing import Clock, ProcessorDriver
from trueloop.topics import REVIEWERS

LATER = START + timedelta(days=400)


def driver(**reviewers):
    return ProcessorDriver(PROCESSOR, context(policy(reviewers=reviewers)), Clock(LATER))


def gold(number=1, *, at=START, **changes):
    """The known answer of a task of the scenario: candidate a is right on accuracy."""
    values = {
        "event_id": f"gold-{number}-{at.isoformat()}-{sorted(changes)}",
        "occurred_at": at,
        "application": "support",
        "task_id": f"task-{number}",
        "rubric_id": "support",
        "rubric_version": 1,
        "ratings": [Rating(candidate_id="a", dimension="accuracy", value=1)],
    }
    return GoldAnswer(**(values | changes))


def says(reviewer, number, accuracy, **changes):
    changes = {"at": START + timedelta(minutes=number), "seconds_spent": 30.0} | changes
    return label(reviewer, number, ratings=ratings({"a": {"accuracy": accuracy}}), **changes)


def newest(drive):
    """What is known of each reviewer now; whatever the order, one event per reviewer."""
    return {event.reviewer_id: event for event in drive.out_of(REVIEWERS)}


def thoughts(drive):
    return {name: event.event_id for name, event in newest(drive).items()}


def test_a_label_and_its_known_answer_become_an_accuracy():
    drive = driver()
    drive.send(task(1))
    drive.send(gold(1))
    drive.send(says("ada", 1, 1))
    drive.send(says("ben", 1, 0))
    found = newest(drive)
    expected = gold_accuracy_of(1, 1)
    ada = found["ada"]
    assert (ada.n_labels, ada.n_gold, ada.gold_correct, ada.gold_low, ada.gold_high) == (1, 1, 1.0, expected.ci_low, expected.ci_high)
    assert (ada.status, ada.weight, ada.median_seconds, ada.occurred_at) == (ReviewerStatus.ACTIVE, 1.0, 30.0, LATER)
    assert (ada.rubric_id, ada.rubric_version) == ("support", 1)
    (dimension,) = ada.reliability
    posterior = reliability([1], [START], 90)
    assert (dimension.dimension, dimension.alpha, dimension.beta, dimension.n_gold) == ("accuracy", posterior.alpha, posterior.beta, 1)
    assert (found["ben"].gold_correct, found["ben"].reliability[0].beta) == (0.0, 2.0)
    assert drive.outcomes == {"task_opened": 1, "gold_known": 1, "counted": 2}


def test_without_gold_the_others_on_the_task_speak_with_less_weight():
    drive = driver(consensus_weight=0.5)
    drive.send(task(1))
    for reviewer, value in (("ada", 1), ("ben", 1), ("cleo", 0)):
        drive.send(says(reviewer, 1, value))
    found = newest(drive)
    # Of two others one says the same as ada: (1 + 1/2) / 3; nobody says what cleo says: (0 + 1/2) / 3.
    for reviewer, right in (("ada", Fraction(1, 2)), ("ben", Fraction(1, 2)), ("cleo", Fraction(1, 6))):
        (dimension,) = found[reviewer].reliability
        assert dimension.alpha == pytest.approx(1 + 0.5 * float(right))
        assert dimension.beta == pytest.approx(1 + 0.5 * float(1 - right))
        assert (found[reviewer].n_gold, found[reviewer].gold_low) == (0, None)


def test_a_reviewer_alone_on_a_task_is_not_judged():
    drive = driver()
    drive.send(task(1))
    drive.send(says("ada", 1, 1))
    (event,) = drive.out_of(REVIEWERS)
    assert (event.n_labels, event.reliability, event.drift_log_e) == (1, [], None)


def test_several_candidates_of_a_gold_item_are_one_observation():
    drive = driver()
    drive.send(task(1))
    drive.send(gold(1, ratings=[Rating(candidate_id=c, dimension=d, value=1) for c in "ab" for d in ("accuracy", "safety")]))
    drive.send(label("ada", ratings=ratings({"a": {"accuracy": 1, "safety": 1}, "b": {"accuracy": 1, "safety": 0}})))
    ada = newest(drive)["ada"]
    assert (ada.n_gold, ada.gold_correct) == (1, 0.75)
    assert {each.dimension: (each.n_gold, each.gold_correct) for each in ada.reliability} == {"accuracy": (1, 1.0), "safety": (1, 0.5)}


def test_tolerance_is_of_the_item():
    drive = driver()
    for number, tolerance in ((1, 0), (2, 1)):
        drive.send(task(number))
        drive.send(gold(number, ratings=[Rating(candidate_id="a", dimension="tone", value=4)], tolerance=tolerance))
        drive.send(label("ada", number, ratings=ratings({"a": {"tone": 5}})))
    assert [event.gold_correct for event in drive.out_of(REVIEWERS)] == [0.0, 1.0]


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


def test_quarantine_comes_by_gold_and_not_by_the_opinion_of_others():
    drive = driver()
    with drive.batch():
        for number in range(1, 41):
            drive.send(task(number))
            drive.send(gold(number))
            drive.send(says("honest", number, 1))
            for crook in ("crook-1", "crook-2", "crook-3"):
                drive.send(says(crook, number, 0))
        for number in range(41, 81):
            drive.send(task(number))
            drive.send(says("honest", number, 1))
            for crook in ("crook-1", "crook-2", "crook-3"):
                drive.send(says(crook, number, 0))
    found = newest(drive)
    assert (found["honest"].status, found["honest"].reasons, found["honest"].weight) == (ReviewerStatus.ACTIVE, [], 1.0)
    for crook in ("crook-1", "crook-2", "crook-3"):
        assert (found[crook].status, found[crook].weight, found[crook].routes) == (ReviewerStatus.QUARANTINED, 0.0, [])
        assert found[crook].gold_high < 0.6
    assert found["honest"].routes == []  # forty items on which three crooks contradict are no praise
    assert ReviewerReason.GOLD_BELOW_QUARANTINE in found["crook-1"].reasons


def test_onboarding_comes_first():
    drive = driver(onboarding={"items": 20, "pass_at": 0.8})
    for number in range(1, 22):
        drive.send(task(number))
        drive.send(gold(number, onboarding=number <= 20))
        drive.send(says("new", number, int(number > 2)))
    told = drive.out_of(REVIEWERS)
    assert [event.onboarding_left for event in told] == [*range(19, -1, -1), 0]
    assert {event.status for event in told[:19]} == {ReviewerStatus.ONBOARDING}
    assert told[18].reasons[0] is ReviewerReason.ONBOARDING_PENDING
    assert told[19].status is ReviewerStatus.ACTIVE  # 18 of 20
    assert newest(driver_with_failure())["new"].reasons[0] is ReviewerReason.ONBOARDING_FAILED


def driver_with_failure():
    drive = driver(onboarding={"items": 20, "pass_at": 0.8})
    with drive.batch():
        for number in range(1, 26):
            drive.send(task(number))
            drive.send(gold(number, onboarding=True))
            drive.send(says("new", number, int(number > 5)))  # 15 of the first 20; the rest come too late
    return drive


def test_speed_and_places_put_under_watch():
    drive = driver()
    with drive.batch():
        for number in range(1, 61):
            drive.send(task(number, form=ReviewForm.PAIRWISE))
            liked = "ab"[number % 2]
            for reviewer, choice, seconds in (("calm", liked, 30.0), ("calm-2", liked, 40.0), ("hasty", liked, 1.0), ("first", "a", 30.0)):
                drive.send(label(reviewer, number, at=START + timedelta(minutes=number), preferences=prefers(choice), seconds_spent=seconds))
    found = newest(drive)
    assert (found["hasty"].status, found["hasty"].reasons, found["hasty"].fast_share) == (ReviewerStatus.WATCH, [ReviewerReason.TOO_FAST], 1.0)
    assert found["first"].reasons == [ReviewerReason.PREFERS_PLACE]
    assert (found["first"].first_share, found["first"].n_preferences) == (1.0, 60)
    assert (found["calm"].reasons, found["calm"].first_share) == ([], 0.5)
    assert found["first"].weight == policy().reviewers.watch_weight


def test_a_reviewer_who_becomes_careless_is_seen():
    drive = driver(drift={"reference_size": 40, "arl_target": 1000})
    rng = random.Random(3)
    with drive.batch():
        for number in range(1, 141):
            drive.send(task(number))
            drive.send(gold(number))
            drive.send(says("tired", number, int(rng.random() > (0.05 if number < 80 else 0.6))))
    assert ReviewerReason.DRIFTED in newest(drive)["tired"].reasons
    assert newest(drive)["tired"].drift_log_e is not None


def panel_events(n, reviewers, flips=(), gold_every=10):
    rng = random.Random(5)
    for number in range(1, n + 1):
        yield task(number)
        truth = rng.randrange(2)
        if number % gold_every == 0:
            yield gold(number, ratings=[Rating(candidate_id="a", dimension="accuracy", value=truth)])
        for reviewer in rng.sample(reviewers, 4):
            right = (rng.random() < 0.9) != (reviewer in flips)
            yield says(reviewer, number, truth if right else 1 - truth)


def test_dawid_and_skene_are_fitted_at_fixed_places_of_the_log():
    """Four of six turn everything round: their own agreement says that they are right, and gold says that they are not."""
    names = [f"r{number}" for number in range(6)]
    drive = driver()
    events = list(panel_events(250, names, flips=names[:4]))
    for start in range(0, len(events), 50):
        with drive.batch():
            for event in events[start : start + 50]:
                drive.send(event)
    fitted = [event for event in drive.out_of(REVIEWERS) if event.reliability and event.reliability[0].em_accuracy is not None]
    assert drive.outcomes["counted"] == 1000
    assert fitted[0].n_labels < newest(drive)[fitted[0].reviewer_id].n_labels  # since the first 500 labels
    for name, event in newest(drive).items():
        (dimension,) = event.reliability
        assert dimension.em_accuracy < 0.35 if name in names[:4] else dimension.em_accuracy > 0.65
        assert 0 < dimension.em_labels < event.n_labels  # the last ones wait for the next fit
        assert (event.status is ReviewerStatus.QUARANTINED) == (name in names[:4])


def test_a_fit_is_the_same_after_a_restart_and_with_late_corrections():
    names = [f"r{number}" for number in range(5)]
    events = list(panel_events(150, names))
    late = [gold(7, at=START + timedelta(days=1)), says("r0", 3, 1, at=START + timedelta(days=1))]
    plain, restarted = driver(), driver()
    for drive in (plain, restarted):
        with drive.batch():
            for event in events:
                drive.send(event)
        for event in late:
            if drive is restarted:
                drive.restart()
            drive.send(event)
    assert thoughts(plain) == thoughts(restarted)
    told = plain.out_of(REVIEWERS)
    assert {event.event_id for event in told} == {event.event_id for event in restarted.out_of(REVIEWERS)}
    assert any(each.em_accuracy is not None for event in told for each in event.reliability)
    before = {event.reviewer_id: event for event in told[: len(names)]}
    changed = [event for event in told[len(names) :] if event.reliability[0].em_accuracy != before[event.reviewer_id].reliability[0].em_accuracy]
    assert changed  # what was said before the boundary is corrected before it


def test_two_accounts_of_one_person_are_named():
    rng = random.Random(6)
    drive = driver()
    with drive.batch():
        for number in range(1, 211):
            drive.send(task(number))
            truth = rng.randrange(2)
            said = {name: truth if rng.random() < 0.85 else 1 - truth for name in ("ada", "ben", "cleo", "dan")}
            said["dan-again"] = said["dan"]
            for name, value in said.items():
                drive.send(says(name, number, value))
    found = newest(drive)
    assert found["dan"].same_errors == ["dan-again"]
    assert found["dan-again"].reasons == [ReviewerReason.SHARED_ERRORS]
    assert found["ada"].same_errors == []


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


def test_places_are_those_of_the_log():
    """The same labels from another partition: boundaries are counted apart, and neither loses the other's labels."""
    drive = driver()
    names = ["ada", "ben", "cleo"]
    with drive.batch():
        for number in range(1, 201):
            drive.send(task(number))
            for place, name in enumerate(names):
                offset = (number - 1) // 2 * 3 + place + (FIT_EVERY - 200)
                drive.send(says(name, number, 1), source=Source("labels", number % 2, offset))
    (dimension,) = newest(drive)["ada"].reliability
    assert 0 < dimension.em_labels < 200
