from dataclasses import replace
from typing import Any

import pytest

from tests.factories import example
from tests.processors.scenario import context, policy
from tests.unit.test_gates import scores
from trueloop.events import DriftSignal, DriftState, Evaluation, GateReason, PairedScores, Release, ReleaseReason, Verdict
from trueloop.processors.gating import PROCESSOR
from trueloop.testing import ProcessorDriver
from trueloop.topics import GATES, RELEASES

GOOD, BAD, OPEN = scores(1000, 940, 30, 5), scores(1000, 500, 10, 5), scores(1000, 895, 12, 10)


def evaluation(found: PairedScores = GOOD, **changes: Any) -> Evaluation:
    values = {
        "application": "support",
        "policy_id": "support",
        "policy_version": 1,
        "candidate": "new",
        "baseline": "base",
        "scores": [found],
        "error": None,
        "trials": [],
    }
    return example(Evaluation, **(values | changes))


def driver(serving: str | None = "base", **gate: Any) -> ProcessorDriver:
    run = ProcessorDriver(PROCESSOR, context(policy(gate=gate)))
    if serving:
        run.send(release(serving))
    return run


def release(checkpoint: str, **changes: Any) -> Release:
    values = {"application": "support", "checkpoint": checkpoint, "checkpoint_uri": f"models/{checkpoint}", "reason": ReleaseReason.INITIAL, "gate_id": None}
    return example(Release, **(values | {"event_id": f"release-{checkpoint}", "causes": []} | changes))


def signal(checkpoint: str | None = "new", **changes: Any) -> DriftSignal:
    values = {"application": "support", "metric": "dimension:tone", "state": DriftState.ALARM, "checkpoint": checkpoint, "event_id": "alarm"}
    return example(DriftSignal, **(values | changes))


def released(**gate: Any) -> ProcessorDriver:
    """A worker whose gate has released 'new' after 'base'."""
    run = driver(**({"rollback_on_alarm": True} | gate))
    run.send(evaluation())
    return run


def test_a_pass_releases_the_candidate() -> None:
    run = driver()
    run.send(evaluation())
    (gate,), (release,) = run.out_of(GATES), run.out_of(RELEASES)
    assert gate.verdict is Verdict.PASS
    assert (release.checkpoint, release.previous, release.gate_id) == ("new", "base", gate.event_id)


def test_a_block_releases_nothing() -> None:
    run = driver()
    run.send(evaluation(BAD))
    assert [gate.verdict for gate in run.out_of(GATES)] == [Verdict.BLOCK]
    assert not run.out_of(RELEASES)


def test_a_pass_against_what_no_longer_serves_is_inconclusive() -> None:
    run = driver(serving="something-newer")
    run.send(evaluation())
    (gate,) = run.out_of(GATES)
    assert (gate.verdict, gate.reasons) == (Verdict.INCONCLUSIVE, [GateReason.BASELINE_SUPERSEDED])
    assert not run.out_of(RELEASES)


def test_an_evaluation_seen_again_gives_nothing_new_and_the_same_after_a_crash_before_the_state_was_written() -> None:
    run = driver()
    run.send(evaluation())
    first, state = list(run.out), run.state("support")
    assert run.replay() == []
    assert run.state("support") == state
    crashed = driver()
    crashed.send(evaluation())
    assert crashed.out == first


def test_looks_are_counted_and_each_spends_less() -> None:
    run = driver()
    run.send(evaluation(OPEN))
    run.send(evaluation(OPEN, event_id="again", n_items=1100))
    run.send(evaluation(OPEN, event_id="other", candidate="other"))
    run.send(evaluation(event_id="failed", error="no tokenizer"))
    run.send(evaluation(scores(10, 9, 0, 0), event_id="few"))  # nothing could pass by luck
    run.send(evaluation(OPEN, event_id="last", candidate="last"))
    found = [(gate.look, gate.candidate_look, gate.alpha and round(gate.alpha, 5)) for gate in run.out_of(GATES)]
    assert found == [(1, 1, 0.025), (2, 2, 0.00833), (3, 1, 0.00417), (0, 0, None), (0, 0, None), (4, 1, 0.0025)]
    assert run.out_of(GATES)[1].dimensions[0].confidence == 1 - run.out_of(GATES)[1].alpha


def test_a_candidate_that_passes_at_the_first_look_may_not_pass_at_the_fifth() -> None:
    run = driver()
    closely = scores(1000, 900, 21, 5)
    run.send(evaluation(closely, candidate="early"))
    assert run.outcomes["passed"] == 1
    late = driver()
    for number in range(4):
        late.send(evaluation(OPEN, event_id=f"e{number}", candidate=f"c{number}"))
    late.send(evaluation(closely, candidate="late", event_id="late"))
    assert late.out_of(GATES)[-1].verdict is Verdict.INCONCLUSIVE


def test_a_block_stands_even_when_the_baseline_was_superseded() -> None:
    run = driver(serving="something-newer")
    run.send(evaluation(BAD))
    assert [gate.verdict for gate in run.out_of(GATES)] == [Verdict.BLOCK]


def test_restart_keeps_what_serves() -> None:
    run = driver()
    run.send(evaluation())
    run.restart()
    run.send(evaluation(candidate="newer", baseline="base", event_id="e2"))
    assert run.out_of(GATES)[-1].reasons == [GateReason.BASELINE_SUPERSEDED]


def test_an_unpublished_policy_is_counted() -> None:
    run = driver()
    run.send(evaluation(policy_version=9))
    assert run.outcomes["no_policy"] == 1


def test_an_alarm_of_the_new_checkpoint_takes_it_back_once_with_its_causes() -> None:
    run = released()
    (gate,), (passed,) = run.out_of(GATES), run.out_of(RELEASES)
    run.send(signal())
    back = run.out_of(RELEASES)[-1]
    assert (back.checkpoint, back.checkpoint_uri, back.previous, back.reason) == ("base", "models/base", "new", ReleaseReason.ROLLBACK)
    assert (back.causes, back.gate_id) == (["alarm", passed.event_id, gate.event_id], None)
    run.send(signal(event_id="another-series", metric="score:judge"))
    run.send(signal("base", event_id="base-alarms-too"))
    assert len(run.out_of(RELEASES)) == 2
    assert (run.outcomes["rolled_back"], run.outcomes["not_serving"], run.outcomes["kept"]) == (1, 1, 1)


def test_what_was_taken_back_is_not_released_again_by_a_replay() -> None:
    run = released()
    run.send(signal())
    for each in run.out_of(RELEASES):
        run.send(each)  # the worker reads its own releases
    state = run.state("support")
    assert run.replay() == []
    assert run.state("support") == state
    assert state.serving.checkpoint == "base"


def test_its_own_release_read_late_does_not_undo_a_rollback() -> None:
    run = released()
    passed = run.out_of(RELEASES)[0]
    run.send(signal())
    run.send(passed)
    assert run.state("support").serving.checkpoint == "base"


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"state": DriftState.WARNING}, "no_alarm"),
        ({"metric": "prompt-length"}, "no_alarm"),
        ({"checkpoint": "base"}, "not_serving"),
        ({"checkpoint": None}, "not_serving"),
        ({"application": "unknown"}, "not_serving"),
    ],
)
def test_an_alarm_that_is_not_about_the_quality_of_what_serves_does_nothing(changes: dict[str, Any], outcome: str) -> None:
    run = released()
    run.send(signal(**changes))
    assert run.outcomes[outcome] == 1
    assert len(run.out_of(RELEASES)) == 1


def test_nothing_is_taken_back_unless_the_policy_says_so() -> None:
    run = released(rollback_on_alarm=False)
    run.send(signal())
    assert run.outcomes["kept"] == 1


def test_what_a_person_released_stays() -> None:
    run = released()
    run.send(release("chosen", reason=ReleaseReason.MANUAL, previous="new", previous_uri="models/new", previous_sha256="a" * 64))
    run.send(signal("chosen"))
    assert run.outcomes["kept"] == 1


def test_a_worker_that_lost_its_state_takes_back_what_one_release_on_the_compacted_topic_tells() -> None:
    passed = released().out_of(RELEASES)[0]
    run = driver(serving=None, rollback_on_alarm=True)
    run.send(passed)
    run.send(signal())
    assert run.out_of(RELEASES)[0].checkpoint == "base"


def test_while_state_is_restored_the_topic_says_what_serves() -> None:
    run = released()
    run.send(signal())
    back = run.out_of(RELEASES)[-1]
    restored = ProcessorDriver(PROCESSOR, replace(run.context, restoring=True))
    restored.send(back)  # compaction left only the newest release
    restored.send(evaluation())
    restored.send(signal())
    assert restored.state("support").serving.checkpoint == "base"
