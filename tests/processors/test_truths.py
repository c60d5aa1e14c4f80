"""What is probably true of each task: told by the reviewers worker, and what collection makes of it."""

import random
from datetime import timedelta
from itertools import permutations
from statistics import fmean

import pytest

from tests.processors.scenario import START, context, label, policy, prefers, ratings, task
from trueloop.events import GoldAnswer, ItemTruth, Rating, StandingVoice, UnitTruth
from trueloop.processors import collection, reviewers
from trueloop.processors.processor import Source
from trueloop.reviewers.expectation_maximisation import COMPETENCE
from trueloop.testing import Clock, ProcessorDriver
from trueloop.topics import PREFERENCE_PAIRS, TRUTHS

LATER = START + timedelta(days=400)
SEED = 20261121


def reviewing(**sections):
    return ProcessorDriver(reviewers.PROCESSOR, context(policy(**sections)), Clock(LATER))


def collecting(**sections):
    return ProcessorDriver(collection.PROCESSOR, context(policy(**sections)), Clock(LATER))


def says(reviewer, number, value, **changes):
    return label(reviewer, number, ratings=ratings({"a": {"accuracy": value}, "b": {"accuracy": 1 - value}}), **({"at": at(number)} | changes))


def at(number):
    return START + timedelta(minutes=number)


def gold(number, right, **changes):
    known = [Rating(candidate_id="a", dimension="accuracy", value=right)]
    values = {"event_id": f"gold-{number}", "occurred_at": START, "application": "support", "task_id": f"task-{number}"}
    return GoldAnswer(**(values | {"rubric_id": "support", "rubric_version": 1, "ratings": known} | changes))


def last_words(drive):
    return {truth.task_id: truth for truth in drive.out_of(TRUTHS)}


def posterior(truth, dimension="accuracy", candidate="a"):
    unit = next(unit for unit in truth.units if (unit.dimension, unit.candidate_id) == (dimension, candidate))
    return dict(zip(unit.categories, unit.probabilities, strict=True))


def truth_of(values, number=1, weights=(), labels=None, **changes):
    """A truth of the task's two candidates: probability that accuracy is 1."""
    units = [
        UnitTruth(dimension="accuracy", candidate_id=name, categories=[0, 1], probabilities=[round(1 - p, 6), p], mean=p, n_labels=2)
        for name, p in values.items()
    ]
    voices = [StandingVoice(label_id=each.event_id, reviewer_id=each.reviewer_id, weight=dict(weights).get(each.reviewer_id, 1.0)) for each in labels or ()]
    fields = {"task_id": f"task-{number}", "rubric_id": "support", "rubric_version": 1, "labels": voices, "units": units}
    return ItemTruth(**({"event_id": f"truth-{values}-{weights}", "occurred_at": at(number), "application": "support"} | fields | changes))


# What is told -----------------------------------------------------------------------------------------------------------------------------------


def test_before_any_fit_everybody_is_as_competent_as_a_new_reviewer():
    drive = reviewing()
    drive.send(task(1))
    drive.send(says("ada", 1, 1))
    drive.send(says("ben", 1, 0))
    one, two = drive.out_of(TRUTHS)
    assert posterior(one)[1] == pytest.approx(COMPETENCE)
    assert posterior(two) == {0: 0.5, 1: 0.5}
    assert [voice.label_id for voice in two.labels] == [says("ada", 1, 1).event_id, says("ben", 1, 0).event_id]
    assert (one.adjudicate, two.adjudicate) == (False, True)  # two labels are needed; then 0.5 is too little
    assert {unit.mean for unit in two.units} == {0.5}


def test_a_preference_is_a_unit_with_ties_and_places():
    drive = reviewing()
    drive.send(task(1))
    for name in ("ada", "ben"):
        drive.send(label(name, 1, preferences=prefers("b"), at=at(1)))
    (unit,) = last_words(drive)["task-1"].units
    wrong = (1 - COMPETENCE) / 2
    expected = COMPETENCE**2 / (COMPETENCE**2 + 2 * wrong**2)
    assert (unit.dimension, unit.candidate_id, unit.categories, unit.mean) == ("overall", None, [-1, 0, 1], None)
    assert unit.probabilities[2] == pytest.approx(expected, abs=1e-6)


def test_a_retracted_label_leaves_a_truth_without_evidence():
    drive = reviewing()
    drive.send(task(1))
    said = says("ada", 1, 1)
    drive.send(said)
    drive.send(label("ada", 1, retracts=said.event_id, at=at(2)))
    assert (last_words(drive)["task-1"].labels, last_words(drive)["task-1"].units) == ([], [])


def test_gold_does_not_show_in_the_truth_of_its_own_task():
    plain, known = reviewing(), reviewing()
    for drive in (plain, known):
        drive.send(task(1))
        if drive is known:
            drive.send(gold(1, 1))
        for name, value in (("ada", 0), ("ben", 0)):
            drive.send(says(name, 1, value))
    assert last_words(plain) == last_words(known)


def panel(count, accuracies, seed=SEED, per_task=3):
    """Tasks and their labels by reviewers with an accuracy each; true values by task."""
    rng = random.Random(seed)
    truths, events = {}, []
    for number in range(1, count + 1):
        truths[number] = {name: rng.randrange(2) for name in "ab"}
        events.append(task(number, labels_needed=per_task))
        for name in rng.sample(sorted(accuracies), per_task):
            said = {c: {"accuracy": value if rng.random() < accuracies[name] else 1 - value} for c, value in truths[number].items()}
            events.append(label(name, number, at=at(number), ratings=ratings(said)))
    return truths, events


def test_replay_tells_nothing_and_order_does_not_matter():
    _, events = panel(12, dict.fromkeys("abcd", 0.8))
    found = []
    for seed in range(4):
        drive = reviewing()
        for event in random.Random(seed).sample(events, len(events)):
            drive.send(event)
        found.append(last_words(drive))
        assert drive.replay() == []
    assert all(each == found[0] for each in found)
    assert len(found[0]) == 12


def test_a_label_costs_one_truth_and_a_fit_at_most_one_per_task():
    """However the stream is cut and wherever the worker restarts, the last words differ by less than a step."""
    _, events = panel(120, {"ada": 0.95, "ben": 0.9, "cleo": 0.9, "dan": 0.6, "eve": 0.55})
    labels = [event for event in events if event.application and hasattr(event, "reviewer_id")]
    single, batched = reviewing(), reviewing()
    for place, event in enumerate(events):
        if place == 200:
            single.restart()
        single.send(event)
    for start in range(0, len(events), 37):
        with batched.batch():
            for event in events[start : start + 37]:
                batched.send(event)
    fits = 3  # at 50, 100 and 200 labels of the one partition
    assert len(single.out_of(TRUTHS)) <= len(labels) + (fits + 1) * 120
    assert len(batched.out_of(TRUTHS)) < len(single.out_of(TRUTHS))
    one, other = last_words(single), last_words(batched)
    assert one.keys() == other.keys()
    for key, truth in one.items():
        assert truth.labels == other[key].labels
        for unit, same in zip(truth.units, other[key].units, strict=True):
            assert unit.probabilities == pytest.approx(same.probabilities, abs=0.1)


def test_quarantine_takes_the_weight_of_what_was_said_before():
    drive = reviewing()
    with drive.batch():
        for number in range(1, 31):
            drive.send(task(number))
            for name in ("ada", "crook"):
                drive.send(says(name, number, 1 if name == "ada" else 0))
    assert {truth.labels[1].weight for truth in last_words(drive).values()} == {1.0}
    with drive.batch():
        for number in range(1, 21):
            drive.send(gold(number, 1))
    told = last_words(drive)
    assert {truth.weights()["crook"] for truth in told.values()} == {0.0}
    assert all(posterior(truth)[1] > 0.6 for truth in told.values())
    assert {unit.n_labels for truth in told.values() for unit in truth.units} == {1}


# What collection makes of it ------------------------------------------------------------------------------------------------------------------------


def complete(**sections):
    drive = collecting(**sections)
    drive.send(task(1))
    said = [says(name, 1, 1) for name in ("ada", "ben")]
    for each in said:
        drive.send(each)
    return drive, said


def test_a_pair_has_a_probability_before_its_truth_is_told():
    drive, _ = complete()
    (pair,) = drive.out_of(PREFERENCE_PAIRS)
    right = COMPETENCE**2 / (COMPETENCE**2 + (1 - COMPETENCE) ** 2)
    assert (pair.weight, pair.replaced_weight) == (1.0, 0.0)
    assert pair.p_correct == pytest.approx(right**2, abs=1e-5)  # both candidates have to be what they are taken for


@pytest.mark.parametrize(("p", "revised"), [(0.9, False), (0.999, True), (0.5, True)])
def test_a_truth_revises_a_pair_when_it_moves_it_enough(p, revised):
    drive, said = complete()
    first = drive.out_of(PREFERENCE_PAIRS)[0]
    drive.send(truth_of({"a": p, "b": 1 - p}, labels=said))
    later = drive.out_of(PREFERENCE_PAIRS)[1:]
    assert bool(later) == revised == (abs(p * p - first.p_correct) > 0.1)
    for pair in later:
        assert (pair.revises, pair.replaced_weight, pair.weight, pair.pair_id) == (first.event_id, 1.0, 1.0, first.pair_id)
        assert pair.p_correct == pytest.approx(p * p, abs=1e-6)
    drive.send(truth_of({"a": p - 0.01, "b": 1 - p}, labels=said))
    assert len(drive.out_of(PREFERENCE_PAIRS)) == 1 + len(later)  # no endless stream
    assert drive.replay() == []


def test_weights_decide_the_order_and_the_weight_of_a_pair():
    drive = collecting(sampling={"labels_needed": 3})
    drive.send(task(1, labels_needed=3))
    said = [says("ada", 1, 0), says("crook", 1, 1), says("crony", 1, 1)]
    for each in said:
        drive.send(each)
    (first,) = drive.out_of(PREFERENCE_PAIRS)
    assert first.chosen == "text a"
    drive.send(truth_of({"a": 0.05, "b": 0.95}, weights=(("crook", 0.0), ("crony", 0.5)), labels=said))
    second = drive.out_of(PREFERENCE_PAIRS)[-1]
    assert (second.chosen, second.label_ids) == ("text b", sorted([said[0].event_id, said[2].event_id]))
    assert (second.weight, second.replaced_weight) == (pytest.approx(0.5), 1.0)
    # Nobody is left who counts: the pair does not hold, and the label stays in the log.
    drive.send(truth_of({}, weights=(("ada", 0.0), ("crook", 0.0), ("crony", 0.0)), labels=said))
    third = drive.out_of(PREFERENCE_PAIRS)[-1]
    assert (third.withdrawn, third.weight, third.replaced_weight, third.revises) == (True, 0.0, second.weight, second.event_id)
    assert len(drive.state("task-1").labels) == 3


def test_the_sum_of_weight_changes_is_the_weight_of_what_holds():
    drive, said = complete()
    for p, weight in ((0.99, 1.0), (0.9, 0.5), (0.9, 0.0), (0.9, 1.0), (0.5, 0.25)):
        drive.send(truth_of({"a": p, "b": 1 - p}, weights=(("ada", weight),), labels=said))
    pairs = drive.out_of(PREFERENCE_PAIRS)
    assert len({pair.event_id for pair in pairs}) == len(pairs)
    assert sum(pair.weight - pair.replaced_weight for pair in pairs) == pytest.approx(pairs[-1].weight)


def test_task_labels_and_truth_in_whatever_order():
    said = [says(name, 1, 1) for name in ("ada", "ben")]
    truth = truth_of({"a": 0.999, "b": 0.001}, labels=said, weights=(("ben", 0.5),))
    ends = set()
    for order in permutations([task(1), *said, truth]):
        drive = collecting()
        for event in order:
            drive.send(event)
        drive.retry()
        pair = drive.out_of(PREFERENCE_PAIRS)[-1]
        ends.add((pair.p_correct, pair.weight, pair.chosen, pair.withdrawn))
    ((p_correct, *rest),) = ends
    assert (p_correct, rest) == (pytest.approx(0.998001), [0.75, "text a", False])


def test_an_older_truth_that_is_sent_again_changes_nothing():
    drive, said = complete()
    old, new = truth_of({"a": 0.999, "b": 0.001}, labels=said), truth_of({"a": 0.5, "b": 0.5}, labels=said)
    drive.send(old, source=Source("truths", 0, 3))
    drive.send(new, source=Source("truths", 0, 5))
    told = len(drive.out_of(PREFERENCE_PAIRS))
    drive.send(old, source=Source("truths", 0, 3))
    assert (len(drive.out_of(PREFERENCE_PAIRS)), drive.outcomes["stale"]) == (told, 1)


# Both together --------------------------------------------------------------------------------------------------------------------------------------


def through_both(events):
    review, collect = reviewing(), collecting()
    told = 0
    for start in range(0, len(events), 20):
        with review.batch():
            for event in events[start : start + 20]:
                review.send(event)
                collect.send(event)
        truths = review.out_of(TRUTHS)
        for truth in truths[told:]:
            collect.send(truth)
        told = len(truths)
    return review, collect


def test_p_correct_is_calibrated_and_better_than_the_share_of_votes():
    accuracies = {"ada": 0.97, "ben": 0.93, "cleo": 0.9, "dan": 0.85, "eve": 0.7, "finn": 0.6, "gus": 0.55}
    truths, events = panel(500, accuracies)
    review, collect = through_both(events)
    said = {}
    for event in events:
        if hasattr(event, "reviewer_id"):
            values = {rating.candidate_id: rating.value for rating in event.ratings}
            said.setdefault(event.task_id, []).append(values["a"] - values["b"])
    pairs = {pair.pair_id: pair for pair in collect.out_of(PREFERENCE_PAIRS)}
    rows = []
    for pair in (pair for pair in pairs.values() if not pair.withdrawn):
        direction = 1 if pair.chosen == "text a" else -1
        known = truths[int(pair.task_id.removeprefix("task-"))]
        rows.append((pair.p_correct, said[pair.task_id].count(direction) / 3, float((known["a"] - known["b"]) * direction > 0)))
    assert len(rows) > 180
    brier = [fmean((row[column] - row[2]) ** 2 for row in rows) for column in (0, 1)]
    assert brier[0] < 0.9 * brier[1]
    # Calibrated in the large, and in each third of the pairs by probability.
    rows.sort()
    thirds = [rows[: len(rows) // 3], rows[len(rows) // 3 : 2 * len(rows) // 3], rows[2 * len(rows) // 3 :]]
    for part in (rows, *thirds):
        expected, right = fmean(row[0] for row in part), fmean(row[2] for row in part)
        assert abs(expected - right) < 0.08, (expected, right)
    assert len(review.out_of(TRUTHS)) < 1500  # labels; a batch tells of a task once


def test_a_task_that_has_left_the_window_is_told_of_again_only_when_it_gets_a_label():
    drive = reviewing()
    with drive.batch():
        for number in range(1, 4):
            drive.send(task(number))
            drive.send(says("ada", number, 1), source=Source("labels", 0, number))
    drive.send(task(9))
    drive.send(says("ben", 9, 1), source=Source("labels", 0, 50_000))
    told = len(drive.out_of(TRUTHS))
    drive.restart()
    drive.send(says("cleo", 2, 0), source=Source("labels", 0, 50_001))
    assert {truth.task_id for truth in drive.out_of(TRUTHS)[told:]} == {"task-2", "task-9"}  # what is in the window is told again after a restart
