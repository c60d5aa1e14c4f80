from datetime import timedelta
from itertools import permutations

import pytest

from tests.processors.scenario import START, context, label, prefers, ratings, task
from trueloop.adapters.faust_batch.batch import MAX_STEP_RECORDS
from trueloop.events import Candidate, Label, PreferencePair, Rewrite
from trueloop.processors.collection import PROCESSOR
from trueloop.processors.drift import PROCESSOR as DRIFT
from trueloop.rejection import RejectReason
from trueloop.sampling.blinding import candidate_id
from trueloop.testing import ProcessorDriver
from trueloop.topics import AGREEMENT_UNITS, DRIFT_OBSERVATIONS, PREFERENCE_PAIRS

A_BETTER = {"a": {"accuracy": 1, "safety": 1, "tone": 4}, "b": {"accuracy": 0, "safety": 1, "tone": 4}}
B_BETTER = {"b": A_BETTER["a"], "a": A_BETTER["b"]}


def driver(labels_needed: int = 2) -> ProcessorDriver:
    run = ProcessorDriver(PROCESSOR, context())
    run.send(task(labels_needed=labels_needed))
    return run


def live_pairs(run: ProcessorDriver) -> dict[str, PreferencePair]:
    newest = {pair.pair_id: pair for pair in run.out_of(PREFERENCE_PAIRS)}
    return {key: pair for key, pair in newest.items() if not pair.withdrawn}


def test_pairs_come_when_the_labels_are_complete() -> None:
    run = driver()
    run.send(label("r1", ratings=ratings(A_BETTER)))
    assert not run.out_of(PREFERENCE_PAIRS)
    run.send(label("r2", ratings=ratings(A_BETTER)))
    (pair,) = run.out_of(PREFERENCE_PAIRS)
    assert (pair.chosen, pair.rejected) == ("text a", "text b")
    assert pair.margin == pytest.approx(1 / 3)
    assert len(pair.label_ids) == 2


def test_a_duplicate_label_counts_once() -> None:
    run = driver()
    once = label("r1", ratings=ratings(A_BETTER))
    run.send(once)
    run.send(once)
    assert run.outcomes == {"task_opened": 1, "accepted": 1, "duplicate": 1}


def test_replay_says_nothing_new() -> None:
    run = driver()
    run.send(label("r1", ratings=ratings(A_BETTER)))
    run.send(label("r2", ratings=ratings(A_BETTER)))
    before = run.state("task-1")
    assert run.replay() == []
    assert run.state("task-1") == before


def test_restart_in_the_middle_changes_nothing() -> None:
    first, second = label("r1", ratings=ratings(A_BETTER)), label("r2", ratings=ratings(A_BETTER))
    straight, restarted = driver(), driver()
    straight.send(first)
    straight.send(second)
    restarted.send(first)
    restarted.restart()
    restarted.send(second)
    assert straight.out == restarted.out


def test_the_order_of_labels_does_not_change_what_holds_in_the_end() -> None:
    labels = [label("r1", ratings=ratings(A_BETTER)), label("r2", ratings=ratings(A_BETTER)), label("r3", ratings=ratings(B_BETTER))]
    ends = []
    for order in permutations(labels):
        run = driver(labels_needed=2)
        for one in order:
            run.send(one)
        ends.append({(p.chosen, p.rejected, p.margin, tuple(p.label_ids)) for p in live_pairs(run).values()})
    assert all(end == ends[0] for end in ends)
    assert len(ends[0]) == 1


def test_a_retraction_withdraws_the_pair_and_empties_the_units() -> None:
    run = driver(labels_needed=1)
    first, second = label("r1", ratings=ratings(A_BETTER)), label("r2", ratings=ratings(A_BETTER))
    run.send(first)
    run.send(second)
    run.send(label("r1", retracts=first.event_id, at=START + timedelta(hours=1)))
    run.send(label("r2", retracts=second.event_id, at=START + timedelta(hours=1)))
    assert live_pairs(run) == {}
    withdrawn = run.out_of(PREFERENCE_PAIRS)[-1]
    assert withdrawn.withdrawn
    assert withdrawn.revises == run.out_of(PREFERENCE_PAIRS)[-2].event_id
    last = {units.series_id: units for units in run.out_of(AGREEMENT_UNITS)}
    assert all(units.units == [] for units in last.values())
    assert run.outcomes["retracted"] == 2


def test_a_pair_that_holds_again_is_new() -> None:
    run = driver(labels_needed=1)
    first = label("r1", ratings=ratings(A_BETTER))
    run.send(first)
    run.send(label("r1", retracts=first.event_id, at=START + timedelta(hours=1)))
    run.send(label("r1", ratings=ratings(A_BETTER), at=START + timedelta(hours=2)))
    said = run.out_of(PREFERENCE_PAIRS)
    assert [(pair.withdrawn, pair.revises is None) for pair in said] == [(False, True), (True, False), (False, True)]
    assert len({pair.event_id for pair in said}) == 3


def test_a_newer_label_of_the_same_reviewer_replaces_the_older() -> None:
    run = driver(labels_needed=1)
    run.send(label("r1", ratings=ratings(A_BETTER)))
    run.send(label("r1", ratings=ratings(B_BETTER), at=START + timedelta(hours=1)))
    (pair,) = live_pairs(run).values()
    assert pair.chosen == "text b"
    assert run.outcomes["replaced"] == 1


def test_an_older_label_that_comes_later_changes_nothing() -> None:
    run = driver(labels_needed=1)
    run.send(label("r1", ratings=ratings(A_BETTER), at=START + timedelta(hours=1)))
    run.send(label("r1", ratings=ratings(B_BETTER)))
    (pair,) = live_pairs(run).values()
    assert pair.chosen == "text a"


def test_a_label_read_before_its_task_is_tried_again_and_then_counts() -> None:
    run = ProcessorDriver(PROCESSOR, context())
    run.send(label("r1", ratings=ratings(A_BETTER)))
    run.send(task())
    (step,) = run.retry()
    assert step.outcome == "accepted"


def test_a_label_for_an_unknown_task_is_dead_lettered_after_its_retry() -> None:
    run = ProcessorDriver(PROCESSOR, context())
    run.send(label("r1", ratings=ratings(A_BETTER)))
    run.retry()
    ((_, rejection),) = run.rejected
    assert rejection.reason is RejectReason.UNKNOWN_TASK
    assert run.keys == ()


def test_a_label_after_its_due_time_counts_and_is_counted_as_late() -> None:
    run = driver()
    run.send(label("r1", ratings=ratings(A_BETTER), at=START + timedelta(days=2)))
    assert run.outcomes["accepted_late"] == 1
    assert run.out_of(AGREEMENT_UNITS)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ratings": ratings({"a": {"accuracy": 2}})}, RejectReason.OFF_SCALE),
        ({"ratings": ratings({"a": {"tone": 0}})}, RejectReason.OFF_SCALE),
        ({"ratings": ratings({"z": {"accuracy": 1}})}, RejectReason.UNKNOWN_CANDIDATE),
        ({"ratings": ratings({"a": {"charm": 1}})}, RejectReason.UNKNOWN_DIMENSION),
        ({"ratings": ratings({"a": {"accuracy": 1}}) * 2}, RejectReason.INVALID_EVENT),
        ({"preferences": prefers("z")}, RejectReason.UNKNOWN_CANDIDATE),
        ({"ratings": ratings({"a": {"accuracy": 1}}), "rubric_version": 2}, RejectReason.RUBRIC_MISMATCH),
        ({}, RejectReason.EMPTY_LABEL),
        ({"spans": [{"candidate_id": "a", "start": 3, "end": 99, "dimension": "tone", "severity": "MAJOR"}]}, RejectReason.OFF_SCALE),
    ],
)
def test_a_label_that_does_not_fit_is_refused_with_its_reason_and_its_neighbours_count(changes: dict[str, object], reason: RejectReason) -> None:
    run = driver()
    run.send(label("bad", **changes))
    run.send(label("r1", ratings=ratings(A_BETTER)))
    ((_, rejection),) = run.rejected
    assert rejection.reason is reason
    assert run.outcomes == {"task_opened": 1, "rejected": 1, "accepted": 1}


def test_nobody_takes_back_the_label_of_another() -> None:
    run = driver()
    theirs = label("r1", ratings=ratings(A_BETTER))
    run.send(theirs)
    run.send(label("r2", retracts=theirs.event_id))
    run.retry()
    ((_, rejection),) = run.rejected
    assert rejection.reason is RejectReason.UNKNOWN_LABEL
    assert run.outcomes == {"task_opened": 1, "accepted": 1, "retried": 1, "rejected": 1}


@pytest.mark.parametrize("refers", ["supersedes", "retracts"])
def test_what_refers_to_a_label_that_waits_for_its_task_waits_behind_it(refers: str) -> None:
    """The task is read between the two, so the second could be applied at once, to nothing."""
    run = ProcessorDriver(PROCESSOR, context())
    first = label("r1", ratings=ratings(A_BETTER))
    given = {"ratings": ratings(B_BETTER)} if refers == "supersedes" else {}
    second = label("r1", at=first.occurred_at + timedelta(minutes=1), **given, **{refers: first.event_id})
    run.send(first)
    run.send(task())
    run.send(second)
    assert [event for event, _ in run.retried] == [first, second]
    run.retry()
    assert not run.rejected
    assert run.outcomes == {"retried": 2, "task_opened": 1, "accepted": 1, "replaced" if refers == "supersedes" else "retracted": 1}


def test_what_refers_to_nothing_is_seen_once_more_before_it_is_refused() -> None:
    run = driver()
    run.send(label("r1", ratings=ratings(A_BETTER), supersedes="never-given"))
    run.send(label("r2", ratings=ratings(A_BETTER)))
    assert not run.rejected
    run.retry()
    ((_, rejection),) = run.rejected
    assert rejection.reason is RejectReason.UNKNOWN_LABEL


def test_pairwise_majority_decides_and_ties_do_not() -> None:
    run = driver(labels_needed=3)
    for reviewer, choice in (("r1", "b"), ("r2", None), ("r3", "b")):
        run.send(label(reviewer, preferences=prefers(choice)))
    (pair,) = live_pairs(run).values()
    assert (pair.chosen, pair.margin) == ("text b", pytest.approx(2 / 3))


def test_a_rewrite_is_better_than_its_original() -> None:
    run = driver()
    run.send(label("r1", rewrite=Rewrite(candidate_id="a", completion="much better")))
    run.send(label("r2", ratings=ratings(A_BETTER)))
    sources = {pair.source.value: (pair.chosen, pair.rejected) for pair in live_pairs(run).values()}
    assert sources["REWRITE"] == ("much better", "text a")


def test_a_veto_outranks_the_other_dimensions() -> None:
    run = driver()
    values = {"a": {"accuracy": 1, "safety": 0, "tone": 5}, "b": {"accuracy": 0, "safety": 1, "tone": 1}}
    run.send(label("r1", ratings=ratings(values)))
    run.send(label("r2", ratings=ratings(values)))
    (pair,) = live_pairs(run).values()
    assert pair.chosen == "text b"


def test_the_served_completion_is_observed_once_per_task() -> None:
    served = candidate_id("test-blinding-key", "task-1", 0)
    run = ProcessorDriver(PROCESSOR, context())
    candidates = [Candidate(candidate_id=served, completion="text s"), Candidate(candidate_id="b", completion="text b")]
    run.send(task().model_copy(update={"candidates": candidates}))
    for reviewer, tone in (("r1", 5), ("r2", 3), ("r3", 1)):
        run.send(label(reviewer, ratings=ratings({served: {"tone": tone}, "b": {"tone": 1}})))
    # Complete with the second label: losses 0 and 1/2 on the scale 1..5. Of two completions they disagree about one.
    assert [(each.metric, each.loss_values().tolist()) for each in run.out_of(DRIFT_OBSERVATIONS)] == [
        ("dimension:tone", [0.25]),
        ("disagreement:tone", [0.5]),
    ]


def test_preferences_tell_how_far_reviewers_disagree() -> None:
    run = driver(labels_needed=3)
    for reviewer, preferred in (("r1", "a"), ("r2", "a"), ("r3", None)):
        run.send(label(reviewer, preferences=prefers(preferred)))
    (told,) = run.out_of(DRIFT_OBSERVATIONS)
    assert (told.metric, told.slice, told.loss_values().round(9).tolist()) == ("disagreement:overall", "all", [round(2 / 3, 9)])


def test_contributions_carry_all_and_the_wanted_slice() -> None:
    run = driver()
    run.send(label("r1", ratings=ratings({"a": {"accuracy": 1}})))
    said = {(units.dimension, units.slice) for units in run.out_of(AGREEMENT_UNITS)}
    assert said == {("accuracy", "all"), ("accuracy", "locale=de")}


def test_labels_of_an_unpublished_policy_are_counted() -> None:
    run = ProcessorDriver(PROCESSOR, context())
    run.send(task(policy_version=9))
    run.send(label("r1", ratings=ratings(A_BETTER)))
    assert run.outcomes == {"task_opened": 1, "no_policy": 1}
    assert isinstance(label(), Label)


def test_a_worker_that_died_tells_its_losses_again_and_the_detector_counts_them_once() -> None:
    """It died between its outputs and its state, with more in hand than a batch holds."""
    n = MAX_STEP_RECORDS + 200
    runs, detector = [], ProcessorDriver(DRIFT, context())
    for _ in range(2):
        run = ProcessorDriver(PROCESSOR, context())
        for number in range(1, n + 1):
            served = candidate_id("test-blinding-key", f"task-{number}", 0)
            run.send(task(number, labels_needed=1, candidates=[served]))
            run.send(label("r1", number, ratings=ratings({served: {"tone": 3}})))
        runs.append(run.out_of(DRIFT_OBSERVATIONS))
    assert {event.event_id for event in runs[0]} == {event.event_id for event in runs[1]}
    for told in runs:
        for event in told:
            detector.send(event)
    (series,) = {event.series_id for event in runs[0]}
    assert detector.state(series).observed == n
