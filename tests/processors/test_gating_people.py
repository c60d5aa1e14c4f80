"""The gate with people among its evaluators: what it waits for, when it is settled, and what cannot move it afterwards."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from tests.factories import example
from tests.processors.scenario import START, context, policy
from tests.unit.test_gates import scores
from trueloop.events import Evaluation, GateReason, Release, ReleaseReason, TrialOutcome, TrialVerdict, Verdict
from trueloop.processors.gating import PROCESSOR
from trueloop.testing import ProcessorDriver
from trueloop.topics import GATES, RELEASES

WON, LOST, TIE = TrialVerdict.CANDIDATE, TrialVerdict.BASELINE, TrialVerdict.TIE
N = 100


def driver(*others: dict[str, Any], **changes: Any) -> ProcessorDriver:
    dimensions = [{"dimension": "overall", "evaluator": "people", "max_regression": 0.1, **changes}, *others]
    run = ProcessorDriver(PROCESSOR, context(policy(gate={"dimensions": dimensions})))
    released = {"application": "support", "checkpoint": "base", "reason": ReleaseReason.INITIAL, "gate_id": None, "causes": []}
    run.send(example(Release, **released))
    return run


def evaluation(n: int = N, identical: Sequence[int] = (), event_id: str = "evaluation", **changes: Any) -> Evaluation:
    trials = [{"trial_id": f"{event_id}-{place:04}", "item_id": f"item-{place}", "identical": place in identical} for place in range(n)]
    values = {"application": "support", "policy_id": "support", "policy_version": 1, "candidate": "new", "baseline": "base", "scores": [], "error": None}
    return example(Evaluation, event_id=event_id, occurred_at=START, trials=trials, **values | changes)


def outcome(place: int, verdict: TrialVerdict, revision: int = 1, *, senior: bool = False, of: str = "evaluation") -> TrialOutcome:
    return TrialOutcome(
        event_id=f"outcome-{of}-{place}-{revision}-{senior}", occurred_at=START + timedelta(minutes=place + revision), application="support",
        trial_id=f"{of}-{place:04}", evaluation_id=of, task_id=f"task-{place}", senior=senior, dimension="overall", verdict=verdict, revision=revision,
    )  # fmt: skip


def verdicts(run: ProcessorDriver) -> list[Verdict]:
    return [gate.verdict for gate in run.out_of(GATES)]


def test_it_waits_for_people_and_says_how_many_answers_are_missing() -> None:
    run = driver()
    run.send(evaluation(identical=(0, 1, 7)))
    (gate,) = run.out_of(GATES)
    (overall,) = gate.dimensions
    assert (gate.verdict, gate.reasons, gate.labels_needed) == (Verdict.INCONCLUSIVE, [GateReason.AWAITING_PEOPLE], 97)
    assert (overall.evaluator, overall.n, overall.ties, overall.answers_missing, overall.candidate, overall.floor) == ("people", 2, 2, 97, 0.5, 0.4)
    assert (gate.look, gate.alpha) == (1, 0.025)
    assert not run.out_of(RELEASES)


def test_a_candidate_that_people_like_is_released_as_soon_as_that_is_shown() -> None:
    run = driver()
    run.send(evaluation())
    for place in range(N):
        run.send(outcome(place, TIE if place % 4 == 0 else WON))
    gate, (release,) = run.out_of(GATES)[-1], run.out_of(RELEASES)
    assert (gate.verdict, release.checkpoint, release.gate_id) == (Verdict.PASS, "new", gate.event_id)
    (overall,) = gate.dimensions
    assert overall.n < 40
    assert overall.candidate_low > 0.4
    assert overall.pass_p <= gate.alpha
    assert overall.n + overall.answers_missing == N
    assert run.outcomes["closed"] == N - overall.n


def test_a_candidate_that_people_dislike_is_blocked() -> None:
    run = driver()
    run.send(evaluation())
    for place in range(N):
        run.send(outcome(place, WON if place % 10 == 0 else LOST))
    assert verdicts(run)[-1] is Verdict.BLOCK
    assert run.out_of(GATES)[-1].reasons == [GateReason.REGRESSION]
    assert not run.out_of(RELEASES)


def test_superiority_is_not_shown_by_ties() -> None:
    run = driver(require="superior")
    run.send(evaluation(identical=range(N)))
    (gate,) = run.out_of(GATES)
    assert (gate.verdict, gate.reasons) == (Verdict.INCONCLUSIVE, [GateReason.SUPERIORITY_UNCERTAIN])
    assert gate.labels_needed is None  # everything was answered: no answer of these comparisons can settle it


def test_an_identical_model_passes_non_inferiority_without_asking_anybody() -> None:
    run = driver()
    run.send(evaluation(identical=range(N)))
    assert verdicts(run) == [Verdict.PASS]


def test_people_do_not_release_what_a_check_leaves_open_and_cannot_mend_what_it_blocks() -> None:
    check = {"dimension": "accuracy", "evaluator": "check:support"}
    liked = [outcome(place, WON) for place in range(N)]
    for found, expected in (
        (scores(1000, 895, 12, 10), Verdict.INCONCLUSIVE),
        (scores(1000, 500, 10, 5), Verdict.BLOCK),
        (scores(1000, 940, 30, 5), Verdict.PASS),
    ):
        run = driver(check)
        run.send(evaluation(scores=[found]))
        for event in liked:
            run.send(event)
        assert verdicts(run)[-1] is expected
        assert len(run.out_of(RELEASES)) == (expected is Verdict.PASS)


def test_only_the_answered_beginning_counts() -> None:
    run = driver()
    run.send(evaluation())
    for place in range(1, N):
        run.send(outcome(place, WON))
    assert verdicts(run) == [Verdict.INCONCLUSIVE]
    run.send(outcome(0, LOST))
    assert verdicts(run)[-1] is Verdict.PASS


def answers(seed: int = 1) -> list[TrialOutcome]:
    random = np.random.default_rng(seed)
    return [outcome(place, WON if random.random() < 0.7 else LOST) for place in range(N)]


@pytest.mark.parametrize("evaluation_at", [0, 30, N])
@pytest.mark.parametrize("shuffled", [False, True])
def test_in_whatever_order_evaluation_and_answers_come_the_verdict_is_the_same(evaluation_at: int, shuffled: bool) -> None:
    straight = driver()
    for event in (evaluation(), *answers()):
        straight.send(event)
    run, events = driver(), answers()
    if shuffled:
        np.random.default_rng(2).shuffle(events)  # type: ignore[arg-type]
    for event in [*events[:evaluation_at], evaluation(), *events[evaluation_at:]]:
        run.send(event)
    expected, found = straight.out_of(GATES)[-1], run.out_of(GATES)[-1]
    assert expected.verdict is Verdict.PASS
    assert (found.verdict, found.event_id, found.dimensions[0].n) == (expected.verdict, expected.event_id, expected.dimensions[0].n)
    assert [each.event_id for each in run.out_of(RELEASES)] == [each.event_id for each in straight.out_of(RELEASES)]


def test_a_replay_gives_nothing_new_and_a_crash_before_the_state_was_written_the_same() -> None:
    run = driver()
    for event in (evaluation(), *answers()):
        run.send(event)
    out, state = list(run.out), run.state("support")
    assert run.replay() == []
    assert run.state("support") == state
    crashed = driver()
    for event in (evaluation(), *answers()):
        crashed.send(event)
        crashed.send(event)
        crashed.restart()
    assert crashed.out == out


def test_an_answer_that_changes_before_the_verdict_counts_as_it_is_now() -> None:
    run = driver()
    run.send(evaluation())
    for place in range(3):
        run.send(outcome(place, WON))
    for place in range(3):
        run.send(outcome(place, TrialVerdict.OPEN, 2))
    for place in range(N):
        run.send(outcome(place, LOST, 3))
        run.send(outcome(place, WON, 2))  # out of date
    assert verdicts(run)[-1] is Verdict.BLOCK


def test_a_label_that_is_edited_after_the_verdict_moves_nothing() -> None:
    run = driver()
    for event in (evaluation(), *(outcome(place, WON) for place in range(N))):
        run.send(event)
    before = list(run.out)
    for place in range(N):
        run.send(outcome(place, LOST, 2))
    assert run.out == before


def test_what_reviewers_decide_stands_before_what_a_senior_says() -> None:
    run = driver()
    run.send(evaluation())
    for place in range(N):
        run.send(outcome(place, TrialVerdict.SPLIT))
        run.send(outcome(place, LOST, senior=True))
        if place < 4:
            run.send(outcome(place, WON, 2))
    (overall,) = run.out_of(GATES)[-1].dimensions
    assert run.out_of(GATES)[-1].verdict is Verdict.BLOCK
    assert overall.candidate == pytest.approx(4 / overall.n)


def test_how_far_people_are_is_told_now_and_then() -> None:
    run = driver()
    run.send(evaluation())
    for place in range(N):
        run.send(outcome(place, WON if place % 9 < 4 else LOST))
    told = [gate.dimensions[0].n for gate in run.out_of(GATES)]
    assert told == list(range(0, N + 1, 5))
    assert len({gate.event_id for gate in run.out_of(GATES)}) == len(told)
    last = run.out_of(GATES)[-1]
    assert (last.reasons, last.labels_needed, last.dimensions[0].answers_missing) == ([GateReason.REGRESSION_UNCERTAIN], None, 0)


def test_each_evaluation_is_a_look_and_all_its_moments_are_one() -> None:
    run = driver()
    for name in ("evaluation", "second"):
        run.send(evaluation(event_id=name, candidate=name))
        for place in range(12):
            run.send(outcome(place, WON if place % 2 else LOST, of=name))
    found = {(gate.candidate, gate.look, round(gate.alpha, 5)) for gate in run.out_of(GATES)}
    assert found == {("evaluation", 1, 0.025), ("second", 2, 0.00833)}


def test_a_pass_against_what_no_longer_serves_releases_nothing() -> None:
    run = driver()
    run.send(evaluation())
    run.send(example(Release, application="support", checkpoint="newer", event_id="newer", reason=ReleaseReason.MANUAL, gate_id=None, causes=[]))
    for place in range(N):
        run.send(outcome(place, WON))
    assert run.out_of(GATES)[-1].reasons == [GateReason.BASELINE_SUPERSEDED]
    assert not run.out_of(RELEASES)


def test_evaluations_that_nobody_answers_make_way_for_newer_ones_and_are_counted() -> None:
    run = driver()
    for number in range(7):
        run.send(evaluation(event_id=f"e{number}", candidate=f"c{number}"))
    assert len(run.state("support").waiting) == 5
    assert run.drops == {"unsettled": 2}
    run.send(outcome(0, WON, of="e0"))
    assert run.outcomes["closed"] == 1


def test_while_state_is_restored_nothing_is_released_again() -> None:
    run = driver()
    restored = ProcessorDriver(PROCESSOR, replace(run.context, restoring=True))
    for event in (*answers(), evaluation()):
        restored.send(event)
    assert verdicts(restored) == [Verdict.PASS]
    assert not restored.out_of(RELEASES)
