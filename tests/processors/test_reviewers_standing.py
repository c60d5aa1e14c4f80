"""What is thought of reviewers: accuracy on known answers, the opinion of others, onboarding, watch and quarantine, and the model of the panel."""

import random
from datetime import timedelta
from fractions import Fraction

import pytest

from tests.processors.reviewers_scenario import LATER, driver, gold, newest, says, thoughts
from tests.processors.scenario import START, label, policy, prefers, ratings, task
from trueloop.events import Rating, ReviewerReason, ReviewerStatus, ReviewForm
from trueloop.processors.processor import Source
from trueloop.reviewers import gold_accuracy_of, reliability
from trueloop.reviewers.panel_fit import FIT_EVERY
from trueloop.topics import REVIEWERS


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
