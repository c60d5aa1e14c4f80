"""Log and shadow, read to their ends and compared topic by topic."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
from trueloop.streams.shadow_plan import RULES, Kept, Rule
from trueloop.streams.shadow_positions import Say

from trueloop import topics
from trueloop.adapters.dead_letters import REPLAYED_AT, parse
from trueloop.adapters.log_positions import Bounds, Partition
from trueloop.adapters.log_reader import PastRecord, read_partitions
from trueloop.codec import Codec
from trueloop.config import KafkaSettings
from trueloop.drift.observations import mark_of
from trueloop.errors import DecodeError
from trueloop.events import SamplingReason
from trueloop.replay_log.causes import Facts, cause_of
from trueloop.replay_log.comparison import EventComparison, LastWordComparison, Said, content_of, differing_fields
from trueloop.replay_log.difference import Compared, Difference, Kind, Place
from trueloop.replay_log.items import ItemComparison
from trueloop.topics import Topic

LOOKED_UP = 10_000
"""Differences of a topic whose records are read once more to name fields and cause; more have one cause that none of them shows better."""
Record = dict[str, Any]


class Side(NamedTuple):
    """A log, and the offsets between which it is read."""

    kafka: KafkaSettings
    start: Mapping[Partition, int]
    end: Mapping[Partition, int]

    def records(self, name: str) -> Iterator[tuple[Place, PastRecord]]:
        """Yield the records of a topic, those of each partition in order."""
        stretches = {place: Bounds(self.start.get(place, 0), end) for place, end in self.end.items() if place[0] == name}
        for chunk in read_partitions(self.kafka, stretches):
            for record in chunk.records:
                yield Place(chunk.partition, record.offset), record


@dataclass(slots=True)
class Scope:
    """What is compared when only the log from a moment on was rebuilt: what is made of traces since then, and of their tasks' labels."""

    since: datetime | None = None
    start: Mapping[Partition, int] = field(default_factory=dict)
    tasks: set[str] = field(default_factory=set)
    marks: set[int] = field(default_factory=set)

    def take_in(self, task_id: str) -> None:
        """Have a task compared."""
        if self.since is not None:
            self.tasks.add(task_id)
            self.marks.add(mark_of(task_id))

    def leaves_out(self, topic: Topic, record: Record) -> bool:
        """Return whether a record of the log that was not rebuilt is about what came before."""
        if self.since is None:
            return False
        if topic is topics.REVIEW_QUEUE and record["adjudicates"] is not None:
            return record["adjudicates"] not in self.tasks
        if topic in (topics.REVIEW_QUEUE, topics.REVIEWED_TRACES, topics.CALIBRATION):
            return bool(record["occurred_at"] < self.since)
        if topic in (topics.AGREEMENT_UNITS, topics.PREFERENCE_PAIRS, topics.TRIAL_OUTCOMES):
            return record["task_id"] not in self.tasks
        if topic is topics.DRIFT_OBSERVATIONS and record["source"] is None:
            return not self.marks.issuperset(np.frombuffer(record["marks"], "<i8").tolist())
        return False

    def is_before(self, source: str, offset: int) -> bool:
        """Return whether a trace was not read."""
        topic, _, number = source.rpartition("/")
        return self.since is not None and offset < self.start.get((topic, int(number)), 0)


class ShadowComparison:
    """Compares the topics one after the other, in the order in which they are made of each other."""

    def __init__(self, real: Side, shadow: Side, settled: Mapping[Partition, int], *, codec: Codec, facts: Facts, scope: Scope, say: Say) -> None:
        """Prepare.

        Args:
            real: The log.
            shadow: The rebuild.
            settled: Up to which offsets the rebuild is made of what the loop has worked off.
            codec: Decodes both.
            facts: What may explain a difference; it grows.
            scope: What is compared.
            say: Takes sentences about how far the work is.
        """
        self._real, self._shadow, self._settled, self._codec = real, shadow, settled, codec
        self._facts, self._scope, self._say = facts, scope, say

    def events(self, topic: Topic) -> Compared:
        """Compare the events of a topic."""
        rule = RULES[topic]
        comparison: Any = self._comparison(topic, rule)
        unreadable = self._take(topic, rule, comparison)
        compared: Compared = comparison.result()
        compared.differences += unreadable
        records = self._looked_up(topic, compared)
        kept: list[Difference] = []
        differing = self._facts.differing.setdefault(topic.name, set())
        for difference in compared.differences:
            real, rebuilt = records.get(difference, (None, None))
            if difference.kind is Kind.UNEXPECTED and real is not None and self._scope.leaves_out(topic, real):
                compared.before_cut += 1
                continue
            fields = difference.fields or (differing_fields(real, rebuilt, rule.without) if real and rebuilt and rule.kept is not Kept.ITEMS else ())
            found = replace(difference, fields=fields)
            kept.append(replace(found, cause=cause_of(topic.name, found, real, rebuilt, self._facts)))
            differing |= {difference.subject} - compared.half_known
            differing |= {str(record["series_id"]) for record in (real, rebuilt) if record is not None and "series_id" in record}
        compared.differences = kept
        return compared

    def dead_letters(self, topic: Topic, consumer: str, *, by_place: bool, cut: bool) -> Compared:
        """Compare what a worker refused of a topic. `cut`: it has read the topic from the moment on that is asked for, if one is.

        `by_place`: by the place of the refused record. Of a topic that the rebuild wrote anew the places are others; its letters are compared by
        key and reason.
        """
        name = topic.dead_letters
        comparison = EventComparison(name)
        for place, record in self._real.records(name):
            said = _refusal(record, place, consumer, by_place=by_place)
            if said is not None and not (cut and self._refused_before(topic, record)):
                comparison.take_real(said)
        missed = 0
        for place, record in self._shadow.records(name):
            said = _refusal(record, place, consumer, by_place=by_place)
            if said is not None:
                comparison.take_rebuilt(said, in_flight=self._is_in_flight(name, place))
        compared = comparison.result()
        found: list[Difference] = []
        for difference in compared.differences:
            if cut and self._scope.since is not None and topic is topics.LABELS and difference.subject not in self._scope.tasks:
                missed += 1  # a label of a task from before
                continue
            found.append(replace(difference, cause=cause_of(name, difference, None, None, self._facts)))
        compared.before_cut, compared.differences = missed, found
        return compared

    def _comparison(self, topic: Topic, rule: Rule) -> Any:
        if rule.kept is Kept.LAST_WORD:
            return LastWordComparison(topic.name)
        if rule.kept is Kept.ITEMS:
            return ItemComparison(topic.name, is_before_cut=self._scope.is_before)
        subjects: set[str] = set()
        if topic.cleanup_policy == "compact":
            count, places = 0, [place for place in self._real.end if place[0] == topic.name]
            for _, record in self._real.records(topic.name):
                count += 1
                decoded = self._decoded(topic, record)
                if decoded is not None:
                    subjects.add(rule.subject(decoded))
            if count == sum(self._real.end[place] for place in places):
                subjects.clear()  # every record is still there, so nothing was removed
        return EventComparison(topic.name, is_compacted=lambda subject: subject in subjects)

    def _take(self, topic: Topic, rule: Rule, comparison: Any) -> list[Difference]:
        """Have a comparison take in both sides; return the records of the log that cannot be read."""
        unreadable: list[Difference] = []
        for place, record in self._real.records(topic.name):
            try:
                decoded = self._codec.decode_record(topic, record.value) if record.value is not None or topic.cleanup_policy != "compact" else None
            except DecodeError as error:
                at = f"{place.partition}/{place.offset}"
                unreadable.append(Difference(Kind.UNEXPECTED, f"{at}: {error.reason.value}", at, place))
                continue
            if decoded is not None and rule.is_derived(decoded):
                self._widen(topic, decoded, real=True)
                _give(comparison.take_real, rule, decoded, place)
        self._say(f"comparing {topic.name}")
        for place, record in self._shadow.records(topic.name):
            decoded = self._codec.decode_record(topic, record.value)
            if rule.is_derived(decoded):
                self._widen(topic, decoded, real=False)
                _give(comparison.take_rebuilt, rule, decoded, place, in_flight=self._is_in_flight(topic.name, place))
        return unreadable

    def _widen(self, topic: Topic, record: Record, *, real: bool) -> None:
        """Take the tasks of what was rebuilt, and those that were to be, into what is compared."""
        if topic is not topics.REVIEW_QUEUE or record["adjudicates"] is not None:
            return
        # Appeals and trials are rebuilt from the start, also those from before, whose labels are not read.
        whole = real or bool({SamplingReason.APPEAL, SamplingReason.TRIAL} & set(record["reasons"]))
        if not (whole and self._scope.leaves_out(topic, record)):
            self._scope.take_in(record["task_id"])

    def _is_in_flight(self, name: str, place: Place) -> bool:
        return place.offset >= self._settled.get((name, place.partition), 0)

    def _refused_before(self, topic: Topic, record: PastRecord) -> bool:
        """Return whether a dead letter is of a record that was not read again."""
        if self._scope.since is None:
            return False
        letter = parse(record.key, record.value, record.headers)
        return letter.offset < self._scope.start.get((topic.name, letter.partition), 0)

    def _decoded(self, topic: Topic, record: PastRecord) -> Record | None:
        try:
            return self._codec.decode_record(topic, record.value)
        except DecodeError:
            return None

    def _looked_up(self, topic: Topic, compared: Compared) -> dict[Difference, tuple[Record | None, Record | None]]:
        """Read the records of differences once more."""
        chosen = compared.differences[:LOOKED_UP]
        real = self._at(self._real, topic, {difference.real for difference in chosen if difference.real})
        rebuilt = self._at(self._shadow, topic, {difference.rebuilt for difference in chosen if difference.rebuilt})
        return {each: (real.get(each.real) if each.real else None, rebuilt.get(each.rebuilt) if each.rebuilt else None) for each in chosen}

    def _at(self, side: Side, topic: Topic, places: set[Place]) -> dict[Place, Record]:
        if not places:
            return {}
        wanted = ((place, record) for place, record in side.records(topic.name) if place in places)
        return {place: decoded for place, record in wanted if (decoded := self._decoded(topic, record)) is not None}


def _give(take: Callable[..., None], rule: Rule, record: Record, place: Place, **more: bool) -> None:
    if rule.kept is Kept.ITEMS:
        take(record, place, **more)
    else:
        identity = rule.subject(record) if "event_id" in rule.without else record["event_id"]
        take(Said(f"{record['application']}/{identity}", rule.subject(record), content_of(record, rule.without), place, rule.is_gone(record)), **more)


def _refusal(record: PastRecord, place: Place, consumer: str, *, by_place: bool) -> Said | None:
    """Return what a dead letter says, None for one of another consumer and for what is none."""
    if any(name == REPLAYED_AT for name, _ in record.headers):
        return None
    try:
        letter = parse(record.key, record.value, record.headers)
    except DecodeError:
        return None
    if letter.consumer != consumer:
        return None
    key, where = (letter.key or b"").decode("utf-8", "replace"), f"{letter.partition}/{letter.offset}"
    content = json.dumps([letter.reason.value, letter.attempt, letter.consumer]).encode()
    return Said(f"{where if by_place else key} {letter.reason.value} by {letter.consumer}", key if by_place else where, content, place)
