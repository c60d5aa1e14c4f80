"""The quotas processor: which alarms ask for more reviews, for how long, and what replays and restarts leave alone; and what sampling makes of it."""

import math
from datetime import timedelta
from typing import Any

from tests.factories import example
from tests.processors.scenario import START, context, policy, trace
from trueloop.events import DriftSignal, DriftState, ReviewQuota
from trueloop.processors.quotas import NOTICE, PROCESSOR
from trueloop.processors.sampling import PROCESSOR as SAMPLING
from trueloop.testing import ProcessorDriver
from trueloop.topics import REVIEW_QUEUE, REVIEW_QUOTAS

ON_ALARM = {"on_alarm": {"review_rate": 0.5, "hours": 2}}


def signal(minutes: float, state: DriftState = DriftState.ALARM, series: str = "series-1", **changes: Any) -> DriftSignal:
    at = START + timedelta(minutes=minutes)
    values = {"application": "support", "event_id": f"signal-{series}-{minutes}", "series_id": series, "state": state, "occurred_at": at, "slice": "locale=de"}
    return example(DriftSignal, **(values | changes))


def driver(**drift: Any) -> ProcessorDriver:
    return ProcessorDriver(PROCESSOR, context(policy(drift=drift or ON_ALARM)))


def test_an_alarm_opens_a_quota_for_its_slice() -> None:
    run = driver()
    run.send(signal(5))
    (quota,) = run.out
    assert isinstance(quota, ReviewQuota)
    assert (quota.slice, quota.rate, quota.drift_signal_id) == ("locale=de", 0.5, "signal-series-1-5")
    assert quota.starts_at == START + timedelta(minutes=5) + NOTICE
    assert quota.ends_at - quota.starts_at == timedelta(hours=2)


def test_one_quota_per_series_until_it_ends() -> None:
    run = driver()
    for minutes in (0, 30, 120, 121, 180):
        run.send(signal(minutes))
    run.send(signal(60, series="series-2"))
    assert [quota.drift_signal_id for quota in run.out] == ["signal-series-1-0", "signal-series-1-121", "signal-series-2-60"]
    assert run.outcomes == {"quota_opened": 3, "already_open": 3}


def test_what_is_no_alarm_or_not_asked_for_opens_nothing() -> None:
    run = driver()
    for state in DriftState:
        if state is not DriftState.ALARM:
            run.send(signal(0, state))
    run.send(signal(0, application="unheard-of"))
    silent = driver(reference_size=20)
    silent.send(signal(0))
    assert not run.out
    assert not silent.out
    assert run.outcomes == {"no_alarm": 4, "no_policy": 1}
    assert silent.outcomes == {"not_asked_for": 1}


def test_replay_and_restart_open_the_same_quotas() -> None:
    run, restarted = driver(), driver()
    for minutes in (0, 30, 150, 400):
        run.send(signal(minutes))
        restarted.send(signal(minutes))
        restarted.restart()
    assert run.out == restarted.out
    assert run.replay() == []


def test_while_a_quota_is_open_the_share_of_its_slice_that_is_reviewed_is_its_rate() -> None:
    quotas = driver()
    quotas.send(signal(0))
    tasks = {}
    for name, known in (("before", []), ("after", quotas.out_of(REVIEW_QUOTAS))):
        run = ProcessorDriver(SAMPLING, context(policy(sampling={"rate": 0.05}), quotas=known))
        for number in range(1500):
            run.send(trace(number, occurred_at=START + timedelta(seconds=60 + number), slices={"locale": ("de", "fr")[number % 2]}))
        tasks[name] = {task.trace_id: task for task in run.out_of(REVIEW_QUEUE)}
    assert tasks["before"].keys() < tasks["after"].keys(), "a quota takes no review away"
    in_slice = [task for task in tasks["after"].values() if task.slices == {"locale": "de"}]
    # Binomial(750, 1/2): four standard deviations.
    assert abs(len(in_slice) - 375) < 4 * math.sqrt(750 / 4)
    assert {(task.sampling_prob, task.stratum) for task in in_slice} == {(0.5, "alarm:locale=de")}
    elsewhere = {task.trace_id for task in tasks["after"].values()} - {task.trace_id for task in in_slice}
    assert elsewhere == {name for name, task in tasks["before"].items() if task.slices == {"locale": "fr"}}
