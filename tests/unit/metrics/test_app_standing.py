"""How the apps stand: lag, state, rebalances, and what retention took before it was read."""

import asyncio
from collections import Counter, defaultdict, deque
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP
from trueloop.streams.app_standing import AppStanding

from trueloop.adapters.faust_batch.consumer import BatchConsumer
from trueloop.adapters.metrics.standing import Drop, Lag, StateSize
from trueloop.config import KafkaSettings


def app_of(lags: dict[TP, int], states: dict[int, dict[bytes, bytes]]) -> Any:
    gaps = Counter({TP("shadow-traces", 0): 5, TP("shadow-traces", 1): 6, TP("shadow-releases", 0): 9})
    table = SimpleNamespace(partitions=2, partition=lambda number: states.get(number, {}))
    return SimpleNamespace(consumer=SimpleNamespace(lags=lambda: lags, gaps=gaps), tables={"state": table}, rebalancing_count=3)


def test_apps_tell_lag_state_and_rebalances() -> None:
    standing = AppStanding(KafkaSettings(topic_prefix="shadow-"))
    assert (standing.lags(), standing.drops(), standing.states(), standing.rebalances()) == ([], [], [], {})
    states = {0: {b"a": b"12345", b"bc": b""}, 1: {b"d": b"x" * 10_000 * 3}}
    standing.watch([("drift", app_of({TP("shadow-traces", 1): 7, TP("shadow-traces", 0): 2}, states))])
    assert standing.lags() == [Lag("drift", "traces", 0, 2), Lag("drift", "traces", 1, 7)]
    assert standing.states() == [StateSize("drift", "state", 3, 1 + 5 + 2 + 1 + 30_000)]
    assert standing.rebalances() == {"drift": 3}
    assert standing.drops() == [Drop("drift", "traces", "gap", 11)]


def test_a_state_that_takes_long_to_measure_is_measured_seldom() -> None:
    times = iter([0.0, 0.1, 5.0, 11.0, 11.1])
    states = {0: {b"a": b"1"}}
    standing = AppStanding(KafkaSettings(), clock=lambda: next(times))
    standing.watch([("drift", app_of({}, states))])
    assert standing.states()[0].keys == 1
    states[0][b"b"] = b"2"
    assert standing.states()[0].keys == 1
    assert standing.states()[0].keys == 2


def batch(first: int, following: int, *, completed: bool) -> Any:
    return SimpleNamespace(first_offset=first, next_offset=following, completed=completed)


@pytest.mark.parametrize(
    ("end", "outstanding", "finished", "committed", "lag"),
    [
        (0, [], None, None, 0),
        (100, [], None, None, None),
        (None, [], None, 40, None),
        (100, [], None, 40, 60),
        (100, [], 90, 40, 10),
        (100, [batch(50, 60, completed=True), batch(60, 70, completed=False), batch(70, 80, completed=True)], 50, 40, 40),
        (100, [batch(50, 60, completed=True), batch(60, 100, completed=True)], 50, 40, 0),
        (5, [batch(0, 5, completed=False)], None, None, 5),
    ],
)  # fmt: skip
def test_lag_counts_from_the_longest_completed_prefix(
    end: int | None, outstanding: list[Any], finished: int | None, committed: int | None, lag: int | None
) -> None:
    tp, gone, changelog = TP("traces", 0), TP("labels", 0), TP("group-state-changelog", 0)

    def highwater(asked: TP) -> int | None:
        assert asked == tp, "Partition is not assigned"
        return end

    consumer = BatchConsumer.__new__(BatchConsumer)
    consumer.assignment = lambda: {tp, gone, changelog}
    consumer._is_changelog_tp = lambda asked: asked == changelog
    consumer.highwater = highwater
    consumer._outstanding = {tp: deque(outstanding)}
    consumer._finished = {} if finished is None else {tp: finished}
    consumer._committed_offset = {tp: committed}
    assert consumer.lags() == ({} if lag is None else {tp: lag})


def test_offsets_that_retention_took_before_they_were_read_are_counted_once() -> None:
    tp = TP("traces", 0)

    consumer = BatchConsumer.__new__(BatchConsumer)
    consumer._read_offset = {tp: None}
    consumer._outstanding = defaultdict(deque)
    consumer.gaps = Counter()
    consumer._hand_over = SimpleNamespace(put=lambda _message: None)
    consumer.app = SimpleNamespace(consumer_generation_id=1)
    for first, last in ((40, 42), (43, 50), (60, 61), (58, 70)):  # from the start of the topic; on; after a gap; fetched again in part
        records: Any = [SimpleNamespace(offset=offset, timestamp=0, timestamp_type=0, key=None, value=b"") for offset in range(first, last)]
        asyncio.run(consumer._take_batches(tp, records))
    assert consumer.gaps == {tp: 1 + 10}
    assert [(found.first_offset, found.next_offset) for found in consumer._outstanding[tp]] == [(40, 42), (43, 50), (60, 61), (61, 70)]
