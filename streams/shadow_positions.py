"""Between which offsets the log is read: fixed once, so that a loop that goes on working is compared with what it had worked off."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from trueloop.streams.shadow_plan import PLAN
from trueloop.streams.state_topics import group_of

from trueloop import topics
from trueloop.adapters.log_positions import Bounds, LogPositions, Partition
from trueloop.adapters.log_reader import read_partition
from trueloop.config import KafkaSettings
from trueloop.errors import ConfigurationError, UnavailableError
from trueloop.processors.processor import Processor

CUT = (topics.TRACES, topics.LABELS)
"""Topics of which a rebuild from a moment on reads the rest only: nearly all of the log. The others are read whole, for states are made of them."""
POLL_S = 0.2
Say = Callable[[str], None]


@dataclass(slots=True)
class Stretches:
    """Where to begin and to end, per partition.

    Attributes:
        start: The first offset that the log still has.
        cut: Where reading begins instead, of traces and labels, for workers that can begin anywhere; empty when the whole log is rebuilt.
        settled: Up to here the loop has worked off all inputs: everything that is made of them lies in the log before `real`.
        end: Up to here inputs are read. Everything in the log before `real` was made of inputs before it.
        real: Up to here the loop's own records are compared.
    """

    start: dict[Partition, int] = field(default_factory=dict)
    cut: dict[Partition, int] = field(default_factory=dict)
    settled: dict[Partition, int] = field(default_factory=dict)
    end: dict[Partition, int] = field(default_factory=dict)
    real: dict[Partition, int] = field(default_factory=dict)


def fix_stretches(kafka: KafkaSettings, processors: Iterable[Processor], since: datetime | None, wait_s: float, say: Say) -> Stretches:
    """Return what is to be read, once the workers have worked off what lies there now.

    Args:
        kafka: How to reach the broker.
        processors: The workers, in the order of the plan.
        since: Rebuild from records of this time on; None for everything.
        wait_s: How long a worker may stand still, seconds.
        say: Takes sentences about what is waited for.

    Raises:
        ConfigurationError: What has to be read was deleted by retention, or nothing came since that moment.
        UnavailableError: A worker stands still, or the broker does not answer.
    """
    positions, found = LogPositions(kafka), Stretches()
    chosen = list(processors)
    for processor in chosen:
        # What is retried is known when everything was read once.
        for names in ([topic.name for topic in processor.inputs], [topic.retry for topic in processor.inputs if topic.retried]):
            bounds = positions.bounds(positions.partitions(names))
            for place, bound in bounds.items():
                found.start.setdefault(place, bound.start)
                found.settled.setdefault(place, bound.end)
            held = {place: found.settled[place] for place, bound in bounds.items() if bound.start < bound.end}
            _await_worked_off(positions, processor, held, wait_s, say)
    outputs = {topic.name: None for part in PLAN for topic in part.outputs}
    letters = {topic.dead_letters: None for processor in chosen for topic in processor.inputs}
    compared = positions.partitions([*outputs, *letters])
    found.real = positions.ends(compared)
    found.end = positions.ends(list(found.settled))
    for place, bound in positions.bounds(compared).items():
        found.start.setdefault(place, bound.start)
    _cut(kafka, positions, found, since)
    return found


def _await_worked_off(positions: LogPositions, processor: Processor, wanted: dict[Partition, int], wait_s: float, say: Say) -> None:
    least, deadline = None, time.monotonic() + wait_s
    while True:
        committed = positions.committed(group_of(processor))
        behind = {place: offset - committed.get(place, 0) for place, offset in wanted.items() if committed.get(place, 0) < offset}
        if not behind:
            return
        left = sum(behind.values())
        if least is None or left < least:
            least, deadline = left, time.monotonic() + wait_s
        if time.monotonic() > deadline:
            name = next(iter(behind))[0]
            raise UnavailableError(
                f"worker {processor.name!r} is {left} records of {name!r} behind and has not moved for {wait_s:g} s, so the log cannot be compared with what "
                f"it should have made; see to the worker (`trueloop status`, or `trueloop worker {processor.name}`), then run this again"
            )
        say(f"waiting for worker {processor.name}: {left} records behind")
        time.sleep(POLL_S)


def _cut(kafka: KafkaSettings, positions: LogPositions, found: Stretches, since: datetime | None) -> None:
    places = [place for place in found.settled if place[0] in {topic.name for topic in CUT}]
    for place in places:
        first = _first_time(kafka, place, Bounds(found.start[place], found.end[place])) if found.start[place] else None
        if first is not None and (since is None or since < first):
            moment = first.isoformat(timespec="seconds")
            raise ConfigurationError(
                f"records of {place[0]!r} before {moment} are gone (partition {place[1]} begins at offset {found.start[place]}), so what was made of them "
                f"cannot be rebuilt; expected --from {moment} or later"
            )
    if since is None:
        return
    found.cut = positions.since(places, since)
    if all(found.cut[place] >= found.end[place] for place in places):
        raise ConfigurationError(f"--from is {since.isoformat()}; expected a moment before the newest trace or label: nothing came since")


def _first_time(kafka: KafkaSettings, place: Partition, bounds: Bounds) -> datetime | None:
    """Return the time of the first record that a partition still has, rounded up to a second."""
    chunk = next(read_partition(kafka, place, bounds, at_most=1), None)
    if chunk is None:
        return None
    return datetime.fromtimestamp(-(-chunk.records[0].timestamp // 1000)).astimezone()
