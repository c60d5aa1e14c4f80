"""The distributions processor: which windows are compared with which reference, what it says, and that redelivery changes nothing."""

from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from tests.processors.scenario import START, context, policy
from trueloop.drift.random_features import UNIT
from trueloop.drift.series import drift_series
from trueloop.drift.values import Values, values_told
from trueloop.events import DriftSignal, DriftState, DriftValues
from trueloop.processors.distributions import PROCESSOR, REMEMBERED
from trueloop.processors.processor import Source
from trueloop.testing import ProcessorDriver
from trueloop.topics import DRIFT_VALUES

PROFILES = {"reference_size": 100, "window_size": 50, "false_warning_rate": 0.001}
NUMBERS = ("population-stability-index", "jensen-shannon-divergence", "wasserstein-distance")


def driver(**profiles: Any) -> ProcessorDriver:
    return ProcessorDriver(PROCESSOR, context(policy(drift={"profiles": PROFILES | profiles})))


def lengths(seed: int, n: int, scale: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).lognormal(5, 0.5, n) * scale


def vectors(seed: int, n: int, towards: int) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(n, 384)) * 0.05
    rows[:, towards] += 1.0
    return np.rint(rows / np.linalg.norm(rows, axis=1)[:, np.newaxis] * UNIT).astype(np.int16)


def told(values: np.ndarray, start: int = 0, checkpoint: str | None = "v1", metric: str = "completion_chars") -> DriftValues:
    """An event of items whose numbers, from `start`, are their offsets and seconds."""
    numbers = np.arange(start, start + len(values))
    items = Values(values, numbers * 7, np.full(len(values), 0 if checkpoint else -1), "traces/0", numbers)
    series = next(drift_series("support", metric, {}, ()))
    return values_told(series, "support", START + timedelta(seconds=int(numbers[-1])), items, [checkpoint] if checkpoint else [])


def feed(drive: ProcessorDriver, values: np.ndarray, start: int = 0, size: int = 20, **options: Any) -> None:
    for place in range(0, len(values), size):
        drive.send(told(values[place : place + size], start + place, **options))


def said(drive: ProcessorDriver, statistic: str) -> list[tuple[int, DriftState]]:
    return [(signal.n_observed, signal.state) for signal in drive.out if signal.detector == statistic]


OK, WARNING = DriftState.OK, DriftState.WARNING


def test_each_full_window_is_compared_with_the_reference() -> None:
    drive = driver()
    feed(drive, np.concatenate([lengths(1, 200), lengths(2, 50, 3.0)]))
    assert [signal.detector for signal in drive.out] == list(NUMBERS) * 3
    for statistic in NUMBERS:
        assert said(drive, statistic) == [(150, OK), (200, OK), (250, WARNING)]
    last: DriftSignal = drive.out[-1]
    assert (last.metric, last.slice, last.n_reference, last.n_current, last.reference_number) == ("completion_chars", "all", 100, 50, 1)
    assert last.value is not None
    assert last.band_high is not None
    assert last.value > last.band_high
    assert (last.false_warning_rate, last.undefined, last.log_e_value, last.threshold) == (0.001, None, None, None)
    assert (last.reference_checkpoints, last.checkpoint) == (["v1"], "v1")
    assert (last.reference_from, last.reference_to) == (START + timedelta(seconds=19), START + timedelta(seconds=99))  # of the batches
    assert last.series_id == drive.keys[0]


def test_it_never_alarms_however_far_a_distribution_moves() -> None:
    drive = driver()
    feed(drive, np.concatenate([lengths(1, 100), lengths(2, 500, 1000.0)]))
    assert {signal.state for signal in drive.out} == {WARNING}


def test_a_warning_ends_after_two_windows_within_the_band() -> None:
    drive = driver()
    feed(drive, np.concatenate([lengths(1, 100), lengths(2, 50, 3.0), lengths(3, 150)]))
    assert [state for _, state in said(drive, "wasserstein-distance")] == [WARNING, WARNING, OK, OK]
    inside = [signal for signal in drive.out if signal.detector == "wasserstein-distance"][1]
    assert inside.value is not None
    assert inside.band_high is not None
    assert inside.value <= inside.band_high


def test_a_release_is_compared_with_what_was_and_then_begins_a_reference_of_its_own() -> None:
    drive = driver()
    feed(drive, lengths(1, 150))
    feed(drive, lengths(2, 300, 3.0), 150, checkpoint="v2")
    shown = [signal for signal in drive.out if signal.detector == NUMBERS[0]]
    assert [(each.n_observed, each.reference_checkpoints, each.reference_number) for each in shown] == [
        (150, ["v1"], 1), (200, ["v1"], 1), (250, ["v1"], 1), (300, ["v2"], 2), (350, ["v2"], 2), (400, ["v2"], 2), (450, ["v2"], 2),
    ]  # fmt: skip
    assert [each.state for each in shown] == [OK, WARNING, WARNING, WARNING, OK, OK, OK]
    kept = driver(on_release="keep")
    feed(kept, lengths(1, 150))
    feed(kept, lengths(2, 300, 3.0), 150, checkpoint="v2")
    assert {signal.reference_number for signal in kept.out} == {1}
    assert [state for _, state in said(kept, NUMBERS[0])] == [OK] + [WARNING] * 6


def test_embeddings_are_compared_by_their_mean_features_and_their_mean_direction() -> None:
    drive = driver()
    feed(drive, np.concatenate([vectors(1, 150, 0), vectors(2, 50, 9)]), metric="embedding")
    assert [(signal.detector, signal.state) for signal in drive.out] == [
        ("maximum-mean-discrepancy", OK), ("mean-cosine", OK), ("maximum-mean-discrepancy", WARNING), ("mean-cosine", WARNING),
    ]  # fmt: skip
    cosine = drive.out[-1]
    assert (cosine.band_low, cosine.band_high, cosine.false_warning_rate) == (0.7, None, None)
    assert cosine.value is not None
    assert abs(cosine.value) < 0.1
    assert drive.out[2].band_high is not None


def test_replay_changes_nothing() -> None:
    drive = driver()
    feed(drive, np.concatenate([lengths(1, 200), lengths(2, 50, 3.0)]))
    state = drive.state(drive.keys[0])
    assert drive.replay() == []
    assert drive.state(drive.keys[0]) == state
    assert drive.outcomes == {"described": 13, "duplicate": 13}


@pytest.mark.parametrize("size", [1, 7, 250])
def test_it_does_not_matter_where_the_sender_cuts(size: int) -> None:
    whole, cut = driver(), driver()
    values = np.concatenate([lengths(1, 200), lengths(2, 50, 3.0)])
    feed(whole, values)
    feed(cut, values[:137], size=size)
    cut.restart()
    feed(cut, values, size=size)  # killed, it sends all again
    assert [(s.event_id, s.value, s.band_high, s.state) for s in cut.out] == [(s.event_id, s.value, s.band_high, s.state) for s in whole.out]


def test_a_trace_that_was_produced_twice_is_counted_once() -> None:
    drive = driver()
    drive.send(told(lengths(1, 20)))
    again = told(lengths(1, 20))
    drive.send(again.model_copy(update={"offsets": (again.offset_values() + 20).tobytes()}))
    assert (drive.state(drive.keys[0]).observed, drive.outcomes) == (20, {"described": 1, "duplicate": 1})
    feed(drive, lengths(2, 400), 100)
    assert len(drive.state(drive.keys[0]).recent["traces/0"]) == 8 * REMEMBERED


def test_the_state_is_bounded() -> None:
    drive = driver()
    feed(drive, lengths(1, 350))
    feed(drive, lengths(1, 20), 350, checkpoint="v2")
    assert len(PROCESSOR.dump(drive.state(drive.keys[0]))) < 20_000
    drive = driver()
    feed(drive, vectors(1, 130, 0), metric="embedding")
    feed(drive, vectors(2, 60, 0), 130, metric="embedding", checkpoint="v2")  # a reference, one that is coming, and a window
    assert len(PROCESSOR.dump(drive.state(drive.keys[0]))) < 70_000


def test_unknown_application_is_counted_and_keeps_nothing() -> None:
    drive = driver()
    drive.send(told(lengths(1, 5)).model_copy(update={"application": "nobody"}), source=Source(DRIFT_VALUES.name, 0, 0))
    assert (drive.outcomes, drive.out, drive.keys) == ({"no_policy": 1}, [], ())
