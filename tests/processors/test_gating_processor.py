from typing import Any

from tests.factories import example
from tests.processors.scenario import context
from tests.unit.test_gates import scores
from trueloop.events import Evaluation, GateReason, PairedScores, Release, Verdict
from trueloop.processors.gating import PROCESSOR
from trueloop.testing import ProcessorDriver
from trueloop.topics import GATES, RELEASES

GOOD, BAD = scores(1000, 940, 30, 5), scores(1000, 500, 10, 5)


def evaluation(found: PairedScores = GOOD, **changes: Any) -> Evaluation:
    values = {"application": "support", "policy_id": "support", "policy_version": 1, "candidate": "new", "baseline": "base", "scores": [found], "error": None}
    return example(Evaluation, **(values | changes))


def driver(serving: str | None = "base") -> ProcessorDriver:
    run = ProcessorDriver(PROCESSOR, context())
    if serving:
        run.send(example(Release, application="support", checkpoint=serving))
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


def test_an_evaluation_seen_again_gives_the_same_events() -> None:
    run = driver()
    run.send(evaluation())
    first = list(run.out)
    assert run.replay() == first


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
