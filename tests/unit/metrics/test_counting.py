"""Metrics are counted right and cheaply: distributions, batches and ages."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trueloop.streams.counters import Counters

from tests.unit.metrics.scenario import BATCH
from trueloop.adapters.metrics.distribution import SECONDS, Buckets, Distribution
from trueloop.adapters.metrics.record_metrics import RecordMetrics


@given(st.lists(st.floats(0, 100), min_size=1, max_size=60), st.floats(0.01, 1))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(values: list[float], share: float) -> None:
    spread = Distribution(SECONDS)
    for value in values:
        spread.add(value)
    found = spread.read()
    assert found.count == len(values)
    assert found.total == pytest.approx(sum(values))
    true = next(value for rank, value in enumerate(sorted(values), 1) if rank >= share * len(values) - 1e-9)
    bound = next((bound for bound in SECONDS if true <= bound), None)
    told = found.quantile(share)
    if bound is None:
        assert told is None
    else:
        assert told is not None
        assert max((other for other in SECONDS if other < bound), default=0.0) <= told <= bound


def test_a_value_may_count_more_than_once_and_an_earlier_state_can_be_taken_off() -> None:
    spread = Distribution((1.0, 2.0))
    spread.add(0.5, times=9)
    before = spread.read()
    spread.add(1.0)
    spread.add(7.0, times=2)
    assert spread.read() == Buckets((1.0, 2.0), (10.0, 0.0, 2.0), 19.5)
    assert spread.read().since(before) == Buckets((1.0, 2.0), (1.0, 0.0, 2.0), 15.0)
    assert before.since(before).quantile(0.5) is None


def test_a_batch_is_counted_once_per_record_and_timed_by_its_first_record(metrics: RecordMetrics) -> None:
    (sampling,) = metrics.flows()
    assert sampling.outcomes == {"sampled": 51, "not_sampled": 448, "TRUNCATED": 2}
    assert sampling.rejected == {"TRUNCATED": 2}
    assert sampling.batch_seconds.count == 2
    assert sampling.end_to_end_seconds.count == 501
    assert sampling.end_to_end_seconds.total == pytest.approx(500 * 0.25 + 0.001)
    assert metrics.retries() == {"sink": 1}


@pytest.mark.parametrize(("oldest_ms", "count", "total"), [(-1, 0, 0.0), (9000, 500, 0.0)], ids=["no timestamp", "of a clock that is ahead"])
def test_an_age_is_never_made_up(oldest_ms: int, count: int, total: float) -> None:
    metrics = RecordMetrics(now=lambda: 1.25)
    metrics.batch(**BATCH | {"oldest_ms": oldest_ms}, outcomes={"sampled": 500})
    (flow,) = metrics.flows()
    assert (flow.end_to_end_seconds.count, flow.end_to_end_seconds.total) == (count, total)


def test_counting_a_batch_costs_less_than_20_microseconds() -> None:
    metrics = RecordMetrics()
    outcomes, rejected = {"sampled": 50, "not_sampled": 440, "no_policy": 8, "TRUNCATED": 2}, {"TRUNCATED": 2}
    costs = []
    for _ in range(5):
        begun = time.thread_time()
        for _ in range(2000):
            metrics.batch(**BATCH, outcomes=outcomes, rejected=rejected)
        costs.append((time.thread_time() - begun) / 2000)
    assert min(costs) < 20e-6


def test_the_log_is_told_what_is_new() -> None:
    counters = Counters()
    assert counters.news() is None
    counters.batch(**BATCH, outcomes={"sampled": 50, "not_sampled": 450})
    assert counters.news() == "sampling traces not_sampled=450 sampled=50"
    assert counters.news() is None
