"""The disagreements processor: what of agreement sampling is told, from when on, and what replays leave alone; and what sampling makes of it."""

import math
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from tests.factories import example
from tests.processors.scenario import RUBRIC, START, context, policy, trace
from trueloop.events import AgreementEstimate, SamplingReason, SliceDisagreement
from trueloop.events.agreement import WindowKind
from trueloop.processors.disagreements import HOUR, LEAST_TASKS, PROCESSOR, STEP
from trueloop.processors.quotas import NOTICE
from trueloop.processors.sampling import PROCESSOR as SAMPLING
from trueloop.rubrics import Governance
from trueloop.rubrics.sampling_policy import Sampling
from trueloop.sampling.disagreements import disagreements_of
from trueloop.sampling.inclusion import inclusions
from trueloop.sampling.rows import rows_of_events
from trueloop.testing import ProcessorDriver
from trueloop.topics import REVIEW_QUEUE, SLICE_DISAGREEMENTS

UNCERTAIN = {"mean": 0.3, "uniform_share": 0.2, "reviewers": ["tone"]}


def estimate(minutes: float, p_o: float | None = 0.8, **changes: Any) -> AgreementEstimate:
    values = {
        "event_id": f"agreement-{minutes}", "occurred_at": START + timedelta(minutes=minutes), "application": "support", "series_id": "tone-de",
        "dimension": "tone", "slice": "locale=de", "rubric_id": "support", "rubric_version": 1, "window_kind": WindowKind.ROLLING, "n_tasks": LEAST_TASKS,
        "p_o": p_o,
    }  # fmt: skip
    return example(AgreementEstimate, **(values | changes))


def driver(**uncertainty: Any) -> ProcessorDriver:
    return ProcessorDriver(PROCESSOR, context(policy(sampling={"uncertainty": UNCERTAIN | uncertainty})))


def told(value: float, at: datetime = START, slice_name: str = "all", dimension: str = "tone", **changes: Any) -> SliceDisagreement:
    identity = f"{dimension}/{slice_name}/{at.isoformat()}"
    values = {"application": "support", "rubric_id": "support", "rubric_version": 1, "event_id": identity, "disagreement_id": identity, "starts_at": at}
    return example(SliceDisagreement, **(values | {"dimension": dimension, "slice": slice_name, "disagreement": value, "occurred_at": START} | changes))


# What is told ---------------------------------------------------------------------------------------------------------------------------------------


def test_it_holds_from_the_first_full_hour_after_the_notice() -> None:
    run = driver()
    run.send(estimate(5))
    (found,) = run.out
    assert (found.slice, found.dimension, found.disagreement, found.n_tasks, found.agreement_id) == ("locale=de", "tone", 0.2, LEAST_TASKS, "agreement-5")
    assert found.starts_at == START + HOUR  # START is a full hour
    for minutes, hours in ((59, 1), (59.01, 2)):
        late = driver()
        late.send(estimate(minutes))
        assert (late.out[0].starts_at, NOTICE) == (START + hours * HOUR, timedelta(minutes=1))


def test_small_changes_and_a_second_one_of_an_hour_are_not_told() -> None:
    run = driver()
    for minutes, p_o in ((0, 0.8), (10, 0.5), (70, 0.8 + STEP * 0.9), (80, 0.6), (90, 0.3), (150, 0.6), (151, None), (200, 0.2)):
        run.send(estimate(minutes, p_o))
    assert [(each.agreement_id, each.disagreement) for each in run.out] == [("agreement-0", 0.2), ("agreement-80", 0.4), ("agreement-200", 0.8)]
    assert run.outcomes == {"told": 3, "too_soon": 2, "unchanged": 2, "too_few": 1}


def test_what_is_not_asked_for_or_too_little_tells_nothing() -> None:
    run = driver()
    for changes in (
        {"window_kind": WindowKind.PANE}, {"dimension": "accuracy"}, {"rubric_version": 2}, {"application": "unheard-of"}, {"n_tasks": LEAST_TASKS - 1},
    ):  # fmt: skip
        run.send(estimate(0, **changes))
    silent = ProcessorDriver(PROCESSOR, context(policy()))
    silent.send(estimate(0))
    assert run.out == silent.out == []
    assert run.outcomes == {"not_newest": 1, "not_asked_for": 1, "other_rubric": 1, "no_policy": 1, "too_few": 1}
    assert silent.outcomes == {"not_asked_for": 1}


def test_replay_and_restart_tell_the_same() -> None:
    run, restarted = driver(), driver()
    for minutes, p_o in ((0, 0.8), (100, 0.5), (170, 0.9), (300, 0.6)):
        run.send(estimate(minutes, p_o))
        restarted.send(estimate(minutes, p_o))
        restarted.restart()
    assert run.out == restarted.out
    assert len(run.out) == 4
    assert run.replay() == []


# What sampling makes of it ---------------------------------------------------------------------------------------------------------------------------


def test_the_share_that_is_reviewed_follows_it_above_the_floor() -> None:
    run = driver()
    for name, p_o in (("locale=de", 0.4), ("locale=fr", 1.0)):
        run.send(estimate(0, p_o, slice=name, series_id=name))
    sampling = ProcessorDriver(SAMPLING, context(policy(sampling={"rate": 0.2, "uncertainty": UNCERTAIN}), disagreements=run.out_of(SLICE_DISAGREEMENTS)))
    n, names = 1500, ("de", "fr", "it")
    for number in range(n):
        sampling.send(trace(number, occurred_at=START + 2 * HOUR + timedelta(seconds=number), slices={"locale": names[number % 3]}))
    tasks = sampling.out_of(REVIEW_QUEUE)
    expected = {"de": 0.2 * (0.2 + 0.8 * 0.6 / 0.3), "fr": 0.2 * 0.2, "it": 0.2}
    for name, probability in expected.items():
        own = [task for task in tasks if task.slices["locale"] == name]
        assert [task.sampling_prob for task in own] == pytest.approx([probability] * len(own))
        assert len(own) / (n / 3) == pytest.approx(probability, abs=4 * math.sqrt(probability * (1 - probability) / (n / 3)))
        assert SamplingReason.UNIFORM in {reason for task in own for reason in task.reasons}
    assert sampling.replay() == sampling.out[: len(sampling.out) // 2]  # sampling keeps no state: the same again


def test_what_begins_later_does_not_bear_on_earlier_traces() -> None:
    known = [told(0.1), told(0.5, START + HOUR), told(0.9, START + HOUR, "locale=de")]
    moments = [-1, 0, 59, 60, 61]
    rows = rows_of_events([trace(n, occurred_at=START + timedelta(minutes=minutes), slices={"locale": "de"}) for n, minutes in enumerate(moments)], range(5))
    assert np.array_equal(disagreements_of(rows, ("tone",), known), [math.nan, 0.1, 0.1, 0.9, 0.9], equal_nan=True)
    assert np.isnan(disagreements_of(rows, ("accuracy",), known)).all()


def test_governance_tells_what_holds_at_some_time_of_a_stretch() -> None:
    every = [told(0.1 * number, START + number * HOUR) for number in range(5)] + [told(0.9, START, rubric_version=2), told(0.9, START, application="other")]
    governance = Governance(disagreements=reversed(every))
    for first, last, expected in ((-1, -0.5, []), (0, 0, [0]), (0.5, 2.5, [0, 1, 2]), (2, 3, [2, 3]), (9, 9, [4]), (-1, 9, [0, 1, 2, 3, 4])):
        found = governance.disagreements("support", RUBRIC, START + first * HOUR, START + last * HOUR)
        assert found == tuple(every[number] for number in expected)


def test_of_several_sources_the_largest_counts() -> None:
    config = Sampling(rate=0.1, uncertainty={"mean": 0.5, "entropy": ["judge"], "reviewers": ["tone"]})
    scores = [{"judge": 0.5}, {"judge": 1.0}, {}]
    rows = rows_of_events([trace(number, scores=each) for number, each in enumerate(scores)], range(3))
    doubts = [0.1 * (0.5 + 0.5 * doubt / 0.5) for doubt in (1.0, 0.3, 0.3)]
    assert inclusions(config, rows, (), [told(0.3)]).probability == pytest.approx(doubts)


def test_a_policy_may_follow_reviewers_alone() -> None:
    assert Sampling(rate=0.1, uncertainty=UNCERTAIN).uncertainty is not None
    with pytest.raises(ValueError, match="or a dimension in `reviewers`"):
        Sampling(rate=0.1, uncertainty={"mean": 0.3})
