"""A replay of the log: rebuild into a shadow, compare, and clean up. Nothing that the rebuild decides is carried out."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from trueloop.streams.catalog import processors
from trueloop.streams.shadow import Shadow
from trueloop.streams.shadow_comparison import Scope, ShadowComparison, Side
from trueloop.streams.shadow_plan import PLAN, Part
from trueloop.streams.shadow_positions import CUT, Say, Stretches, fix_stretches
from trueloop.streams.shadow_run import Plan, ShadowRun, governance_of

from trueloop import topics
from trueloop.adapters.clickhouse.table_check import check_tables
from trueloop.adapters.dead_letters import parse
from trueloop.adapters.kafka import read_events, read_to_end
from trueloop.adapters.log_positions import LogPositions, Partition
from trueloop.adapters.log_reader import PastRecord
from trueloop.adapters.registry import connect
from trueloop.codec import Codec
from trueloop.config import Settings
from trueloop.errors import ConfigurationError, DecodeError
from trueloop.events import AgreementEstimate, DatasetVersion, SliceDisagreement, TrainingRequest, TriggerReason
from trueloop.processors.processor import Context, Source
from trueloop.rejection import RejectReason
from trueloop.replay_log.causes import Facts
from trueloop.replay_log.difference import Cause, Compared, Difference, Kind
from trueloop.rubrics import Governance
from trueloop.sampling.blinding import candidate_id
from trueloop.topics import Topic

KEY_SAMPLE = 100
"""Tasks that are looked at to tell whether the blinding key is theirs."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to replay.

    Attributes:
        since: Rebuild from records of this time on; None for all.
        keep: Whether the shadow stays.
        tables: Whether the tables are compared with the topics.
        wait_s: How long a worker may stand still while it works off what is there, seconds.
    """

    since: datetime | None = None
    keep: bool = False
    tables: bool = True
    wait_s: float = 30.0


@dataclass(slots=True)
class Report:
    """What came of a replay: topics, then tables. `shadow` names the namespace, while it is there."""

    since: datetime | None
    shadow: str
    topics: list[Compared] = field(default_factory=list)
    tables: list[Compared] = field(default_factory=list)

    @property
    def is_identical(self) -> bool:
        """Return whether everything was compared and nothing differs."""
        return all(compared.is_identical for compared in (*self.topics, *self.tables))

    @property
    def unexplained(self) -> int:
        """Return the number of differences without a known cause."""
        return sum(difference.cause is Cause.UNEXPLAINED for compared in (*self.topics, *self.tables) for difference in compared.differences)


def replay_log(settings: Settings, options: Options, say: Say) -> Report:
    """Rebuild what the loop made of the log, and compare.

    Raises:
        ConfigurationError: Nothing can be rebuilt: see `fix_stretches`; or the blinding key is not that of the tasks.
        UnavailableError: A worker stands still, or broker, registry or ClickHouse do not answer.
    """
    codec = connect(settings.registry)
    workers = processors(part.processor for part in PLAN)
    stretches = fix_stretches(settings.kafka, workers, options.since, options.wait_s, say)
    plan = [(_fed(part, stretches, options), worker) for part, worker in zip(PLAN, workers, strict=True)]
    _check_blinding_key(settings, codec, stretches)
    governance = governance_of(settings)
    with Shadow(settings, datetime.now(UTC), keep=options.keep) as shadow:
        report = Report(options.since, shadow.name)
        left_out = _left_out(plan, stretches)
        kept = [(part, processor) for part, processor in plan if part.processor not in left_out]
        run = ShadowRun(settings, shadow, stretches, governance=governance, plan=kept, say=say)
        shadow.create(run.topics())
        settled = asyncio.run(run.run())
        facts = _facts(settings, codec, governance, run.thinned)
        report.topics = list(_compared(_Sides(settings, shadow, stretches, settled), plan, left_out, codec=codec, facts=facts, options=options, say=say))
        _check_noted_agreement(settings, codec, governance, plan, report)
    if options.tables:
        report.tables = check_tables(settings, codec, options.wait_s, say)
    return report


@dataclass(frozen=True, slots=True)
class _Sides:
    settings: Settings
    shadow: Shadow
    stretches: Stretches
    settled: Mapping[Partition, int]

    def comparison(self, names: Sequence[str], codec: Codec, facts: Facts, options: Options, say: Say) -> ShadowComparison:
        positions = LogPositions(self.shadow.settings.kafka)
        real = Side(self.settings.kafka, dict.fromkeys(self.stretches.real, 0), self.stretches.real)
        shadow = Side(self.shadow.settings.kafka, {}, positions.ends(positions.partitions(names)))
        scope = Scope(options.since, self.stretches.cut)
        return ShadowComparison(real, shadow, self.settled, codec=codec, facts=facts, scope=scope, say=say)


def _fed(part: Part, stretches: Stretches, options: Options) -> Part:
    """Return the part with what is taken from the rebuild because the log does not begin at its beginning any more.

    When only a part of the traces is read there is no rebuild that could stand in for the log.
    """
    gone = [topic for topic in part.rebuilt_when_cut if _first(topic, stretches) and options.since is None]
    return replace(part, rebuilt=(*part.rebuilt, *gone))


def _first(topic: Topic, stretches: Stretches) -> int:
    """Return the largest offset at which a partition of a topic begins; 0 when the log still has all of it."""
    return max((offset for (name, _), offset in stretches.start.items() if name == topic.name), default=0)


def _left_out(plan: Plan, stretches: Stretches) -> dict[str, str]:
    """Return, by worker, why it cannot be run: what it would have to read from the start does not begin there any more."""
    found: dict[str, str] = {}
    for part, processor in plan:
        for topic in processor.inputs:
            first = _first(topic, stretches)
            if first and topic not in part.rebuilt and not (part.begins_anywhere and topic in CUT):
                found[part.processor] = f"{topic.name!r} begins at offset {first}: retention has removed what its state was made of"
    return found


def _compared(sides: _Sides, plan: Plan, left_out: Mapping[str, str], *, codec: Codec, facts: Facts, options: Options, say: Say) -> Iterator[Compared]:
    """Compare in the order of the plan: what is refused of a topic when the topic is, and a topic that two workers write when both have."""
    run = [(part, processor) for part, processor in plan if part.processor not in left_out]
    readers = {topic: [part for part, processor in run if topic in processor.inputs] for _, worker in run for topic in worker.inputs}
    last_writer = {topic: part.processor for part, _ in plan for topic in part.outputs}
    names = {topic.name: None for part, _ in run for topic in part.outputs} | {topic.dead_letters: None for topic in readers}
    comparison = sides.comparison(list(names), codec, facts, options, say)
    for part, processor in plan:
        for topic in processor.inputs:
            refused = Compared(topic.dead_letters)
            for reader in (found := readers.pop(topic, [])):
                cut = reader.begins_anywhere and topic in CUT
                refused.take_in(comparison.dead_letters(topic, reader.processor, by_place=topic not in reader.rebuilt, cut=cut))
            if found:
                yield refused
        for topic in part.outputs:
            if last_writer[topic] == part.processor:
                yield Compared(topic.name, left_out=left_out[part.processor]) if part.processor in left_out else comparison.events(topic)


def _facts(settings: Settings, codec: Codec, governance: Governance, thinned: frozenset[str]) -> Facts:
    early = {_text(message.key()) for message in read_to_end(settings.kafka, topics.LABELS.retry)}
    for message in read_to_end(settings.kafka, topics.LABELS.dead_letters):
        try:
            letter = parse(message.key(), message.value(), message.headers())  # type: ignore[arg-type]  # received headers are pairs of name and bytes
        except DecodeError:
            continue
        if letter.reason is RejectReason.UNKNOWN_TASK:
            early.add(_text(letter.key))
    first = {application: governance.versions(application)[0].since for application in governance.applications}
    requests = [event for event in read_events(settings.kafka, codec, topics.TRAINING_REQUESTS) if isinstance(event, TrainingRequest)]
    asked = Counter((event.application, event.dataset, event.dataset_version) for event in requests)
    versions = [event for event in read_events(settings.kafka, codec, topics.DATASET_VERSIONS) if isinstance(event, DatasetVersion)]
    # The loop orders one job of a version at most: a second one is no matter of order.
    datasets = frozenset(topics.DATASET_VERSIONS.key(event) for event in versions if asked[event.application, event.name, event.version] <= 1)
    alarmed = frozenset(event.application for event in requests if event.reason is TriggerReason.DRIFT)
    late: dict[str, list[tuple[datetime, datetime]]] = {}
    for message in read_to_end(settings.kafka, topics.SLICE_DISAGREEMENTS.name):
        told = codec.decode(topics.SLICE_DISAGREEMENTS, message.value())
        at = datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC)
        if isinstance(told, SliceDisagreement) and told.starts_at < at:
            late.setdefault(told.application, []).append((told.starts_at, at))
    return Facts(
        early_tasks=frozenset(early),
        first_policy=first,
        compacted=thinned,
        datasets=datasets,
        trained_on_alarm=alarmed,
        told_late={name: tuple(each) for name, each in late.items()},
    )


def _text(key: Any) -> str:
    return key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key)


def _check_blinding_key(settings: Settings, codec: Codec, stretches: Stretches) -> None:
    """Refuse to rebuild tasks with a key that none of the loop's own was blinded with: each of them would differ."""
    key, seen = settings.blinding_key.get_secret_value(), 0
    side = Side(settings.kafka, {}, stretches.real)
    for _, record in side.records(topics.REVIEW_QUEUE.name):
        task = _record(codec, record)
        if task is None or task["adjudicates"] is not None:
            continue
        ids = [candidate["candidate_id"] for candidate in task["candidates"]]
        if {candidate_id(key, task["task_id"], index) for index in range(len(ids))} == set(ids):
            return
        seen += 1
        if seen == KEY_SAMPLE:
            break
    if seen:
        raise ConfigurationError(
            f"none of {seen} tasks was blinded with the key that is set; expected the key of the workers: set TRUELOOP_BLINDING_KEY to it, or "
            "TRUELOOP_STATE_DIR to the state directory of `trueloop up`"
        )


def _record(codec: Codec, record: PastRecord) -> dict[str, Any] | None:
    try:
        return codec.decode_record(topics.REVIEW_QUEUE, record.value)
    except DecodeError:
        return None


def _check_noted_agreement(settings: Settings, codec: Codec, governance: Governance, plan: Plan, report: Report) -> None:
    """Add the dataset versions that note an agreement which no estimate told."""
    compared = next((each for each in report.topics if each.name == topics.DATASET_VERSIONS.name and each.left_out is None), None)
    trigger = next(processor for part, processor in plan if topics.DATASET_VERSIONS in part.outputs)
    if compared is None:
        return
    told: set[tuple[str, str]] = set()
    for event in read_events(settings.kafka, codec, topics.AGREEMENT):
        if isinstance(event, AgreementEstimate):
            context = Context(governance)
            state: Any = trigger.step(None, event, source=Source(topics.AGREEMENT.name, 0, 0), now=event.occurred_at, final=False, context=context).state
            told |= {(event.application, noted.model_dump_json()) for noted in state.agreement.values()}
    for version in read_events(settings.kafka, codec, topics.DATASET_VERSIONS):
        noted = getattr(version, "agreement", ())
        if any((version.application, each.model_dump_json()) not in told for each in noted):
            identity = f"{version.application}/{version.event_id}"
            compared.differences.append(Difference(Kind.DIFFERENT, identity, topics.DATASET_VERSIONS.key(version), fields=("agreement",)))
