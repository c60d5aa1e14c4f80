"""The families processor: which series have drifted together, and when it says so."""

from datetime import timedelta
from math import log
from typing import Any

from tests.factories import example
from tests.processors.scenario import START, context, policy
from trueloop.drift.detector import NAME
from trueloop.events import DriftSignal, DriftState
from trueloop.processors.families import PROCESSOR
from trueloop.testing import ProcessorDriver


def driver(fdr: float = 0.1) -> ProcessorDriver:
    return ProcessorDriver(PROCESSOR, context(policy(drift={"fdr": fdr, "arl_target": 1000.0})))


def signal(series: str, observed: int, log_e: float | None, **changes: Any) -> DriftSignal:
    fields = {
        "event_id": f"{series}-{observed}", "occurred_at": START + timedelta(seconds=observed), "application": "support", "series_id": series,
        "metric": "score:judge", "slice": f"locale={series}", "detector": NAME, "state": DriftState.OK, "n_observed": observed, "log_e_window": log_e,
        "n_window": 0 if log_e is None else 200,
    }  # fmt: skip
    return example(DriftSignal, **(fields | changes))


def test_slices_that_drift_together_are_told_together() -> None:
    """Of four series at 10 %: one alone needs an e-value of 40, two need 20 each."""
    drive = driver()
    for series in "abcd":
        drive.send(signal(series, 200, 0.0))
    drive.send(signal("a", 400, log(30)))
    assert drive.out == []
    drive.send(signal("b", 400, log(25)))
    (told,) = drive.out
    assert [(each.series_id, each.slice, each.n) for each in told.rejected] == [("a", "locale=a", 200), ("b", "locale=b", 200)]
    assert (told.application, told.family, told.fdr, told.n_series, told.log_threshold) == ("support", "losses", 0.1, 4, log(20))
    assert (told.n_observed, told.arl_target) == (1200, 1000.0)  # at most 1.2 false alarms were allowed so far
    drive.send(signal("a", 600, log(30)))
    assert len(drive.out) == 1, "nothing changed"
    drive.send(signal("b", 600, log(1)))
    assert drive.out[-1].rejected == []
    assert drive.out[-1].log_threshold is None


def test_a_series_without_a_full_window_counts_as_one_more_hypothesis() -> None:
    drive = driver()
    drive.send(signal("a", 200, log(15)))
    assert [each.series_id for each in drive.out[-1].rejected] == ["a"]
    drive.send(signal("b", 50, None))
    assert (drive.out[-1].n_series, drive.out[-1].rejected) == (2, [])


def test_a_series_without_data_leaves_and_comes_back() -> None:
    drive = driver()
    drive.send(signal("a", 200, log(15)))
    drive.send(signal("b", 50, None))
    drive.send(signal("b", 50, None, event_id="silent", state=DriftState.NO_DATA))
    assert ([each.series_id for each in drive.out[-1].rejected], drive.out[-1].n_series) == (["a"], 1)
    drive.send(signal("b", 51, 0.0))
    assert (drive.out[-1].rejected, drive.out[-1].n_series) == ([], 2)


def test_old_words_and_statistics_that_describe_change_nothing() -> None:
    drive = driver()
    drive.send(signal("a", 400, log(15)))
    drive.send(signal("a", 200, 0.0))
    drive.send(signal("b", 900, None, detector="wasserstein-distance", state=DriftState.WARNING))
    assert drive.outcomes == {"counted": 1, "unchanged": 1, "not_a_loss": 1}
    assert len(drive.out) == 1


def test_replay_changes_nothing() -> None:
    drive = driver()
    for number, series in enumerate("abcabc"):
        drive.send(signal(series, 200 * (1 + number // 3), log(5.0 * number + 1)))
    state, told = drive.state("support"), len(drive.out)
    assert told
    assert drive.replay() == []
    assert drive.state("support") == state


def test_an_application_without_a_policy_is_counted() -> None:
    drive = driver()
    drive.send(signal("a", 200, log(15), application="nobody"))
    assert (drive.outcomes, drive.out) == ({"no_policy": 1}, [])
