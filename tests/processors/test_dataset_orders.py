"""Orders of people about datasets: obeyed once, refused when they do not fit, and repeated at their place when the state was lost."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.factories import example
from tests.processors.scenario import START, context, policy
from trueloop.datasets.pair_log import without
from trueloop.datasets.pairs_dataset import PairsDataset, PairSelection, build_pairs_dataset
from trueloop.datasets.rollback import rollback_order
from trueloop.events import (
    DatasetOrder,
    DatasetOrderKind,
    DatasetVersion,
    Event,
    FreezeCause,
    Message,
    PairSource,
    PreferencePair,
    Release,
    ReleaseReason,
    Role,
    Split,
    TrainingRequest,
)
from trueloop.processors.processor import Source
from trueloop.processors.trigger import PROCESSOR
from trueloop.testing import ProcessorDriver
from trueloop.topics import DATASET_VERSIONS, TRAINING_REQUESTS

SUPPORT: dict[str, Any] = {"application": "support", "rubric_id": "support", "rubric_version": 1}
SELECTION = PairSelection("support", "support", 1)
SOURCES = [PairSource.RATINGS, PairSource.REWRITE]


@dataclass
class Log:
    """A log of pairs as the collection worker writes it: what an event revises is the live event of its pair."""

    records: list[tuple[int, PreferencePair]] = field(default_factory=list)
    live: dict[int, PreferencePair] = field(default_factory=dict)

    def add(self, number: int, weight: float | None = 1.0, **changes: Any) -> PreferencePair:
        """Append an event of a pair: new, a revision, or (without weight) its withdrawal."""
        before, offset = self.live.pop(number, None), len(self.records)
        event = example(
            PreferencePair,
            **SUPPORT
            | {
                "event_id": f"event-{offset}",
                "pair_id": f"pair-{number}",
                "occurred_at": START + timedelta(minutes=offset),
                "split": Split.TRAIN,
                "trainable": True,
                "withdrawn": weight is None,
                "weight": weight or 0.0,
                "revises": before.event_id if before else None,
                "replaced_weight": before.weight if before else 0.0,
                "source": SOURCES[number % 2],
                "messages": [Message(role=Role.USER, content="Why?")],
            }
            | changes,
        )
        if weight is not None:
            self.live[number] = event
        self.records.append((offset, event))
        return event


def driver(history: tuple[Event, ...] = (), min_new_pairs: int = 1000, **changes: Any) -> ProcessorDriver:
    run = ProcessorDriver(PROCESSOR, context(policy(training={"min_new_pairs": min_new_pairs, "method": "dpo"}), history=history, **changes))
    run.send(example(Release, application="support", checkpoint="base", checkpoint_uri="uri", reason=ReleaseReason.INITIAL, occurred_at=START))
    return run


def freeze(number: int = 1, **changes: Any) -> DatasetOrder:
    values = {
        "application": "support",
        "event_id": f"freeze-{number}",
        "occurred_at": START + timedelta(hours=1),
        "dataset": "support/pairs",
        "kind": DatasetOrderKind.FREEZE,
        "reason": "before the holidays",
        "ordered_by": "ada",
    }
    return DatasetOrder.model_validate(values | changes)


def back(log: Log, target: DatasetVersion) -> DatasetOrder:
    return rollback_order(log.records, target, reason="a reviewer misread the rubric", ordered_by="ben", now=START + timedelta(hours=2))


def versions(run: ProcessorDriver) -> list[DatasetVersion]:
    return [event for event in run.out_of(DATASET_VERSIONS) if isinstance(event, DatasetVersion)]


def requests(run: ProcessorDriver) -> list[TrainingRequest]:
    return [event for event in run.out_of(TRAINING_REQUESTS) if isinstance(event, TrainingRequest)]


def rebuilt(log: Log, version: DatasetVersion) -> PairsDataset:
    records = [(offset, pair) for offset, pair in log.records if offset < version.end_offset]
    return build_pairs_dataset(without(records, version.excluded), SELECTION)


def counts(dataset: PairsDataset) -> tuple[int, dict[str, int]]:
    sources = [pair.source.value for pair in dataset.pairs]
    return len(dataset.pairs), {name: sources.count(name) for name in sorted(set(sources))}


def test_an_order_freezes_what_is_there_and_says_who_and_why() -> None:
    run, log = driver(), Log()
    run.send(log.add(1))
    run.send(freeze())

    (version,) = versions(run)
    assert (version.version, version.n_items, version.end_offset, version.frozen_by) == (1, 1, 1, FreezeCause.PERSON)
    assert (version.order_id, version.ordered_by, version.changelog) == ("freeze-1", "ada", "1 new pairs, 1 in all: before the holidays")
    assert [request.dataset_version for request in requests(run)] == [1]  # it is a dataset like any other


def test_the_trigger_goes_on_counting_from_an_ordered_version() -> None:
    run, log = driver(min_new_pairs=2), Log()
    run.send(log.add(1))
    run.send(freeze())
    run.send(log.add(2))
    assert len(versions(run)) == 1
    run.send(log.add(3))
    assert [(version.version, version.frozen_by) for version in versions(run)] == [(1, FreezeCause.PERSON), (2, FreezeCause.NEW_PAIRS)]


def test_an_order_takes_effect_once() -> None:
    run, log = driver(), Log()
    run.send(log.add(1))
    run.send(freeze())
    run.send(log.add(2))
    run.send(freeze())
    run.restart()
    run.send(freeze())
    assert len(versions(run)) == 1
    assert run.replay() == []


def test_what_cannot_be_frozen_is_refused_and_counted() -> None:
    run, log = driver(), Log()
    run.send(freeze(1))  # nothing is there
    run.send(log.add(1))
    run.send(freeze(2, dataset="support/other"))
    run.send(freeze(3))
    run.send(freeze(4))  # nothing is new
    run.send(freeze(5, kind=DatasetOrderKind.UNKNOWN))
    assert len(versions(run)) == 1
    assert run.outcomes["refused"] == 4


def test_withdrawals_alone_are_worth_a_version() -> None:
    run, log = driver(), Log()
    for event in (log.add(1), log.add(2)):
        run.send(event)
    run.send(freeze(1))
    run.send(log.add(1, None))
    run.send(freeze(2))
    assert [version.n_items for version in versions(run)] == [2, 1]


def test_a_rollback_is_a_new_version_with_the_old_content() -> None:
    run, log = driver(), Log()
    run.send(log.add(1))
    run.send(freeze(1))
    run.send(log.add(2))
    run.send(freeze(2))
    first, _ = versions(run)
    run.send(back(log, first))

    third = versions(run)[2]
    assert (third.version, third.parent, third.restores, third.content_hash) == (3, 2, 1, first.content_hash)
    assert (third.frozen_by, third.ordered_by, third.n_items) == (FreezeCause.ROLLBACK, "ben", 1)
    assert third.changelog == "rolled back to version 1, 1 pairs: a reviewer misread the rubric"
    assert rebuilt(log, third) == rebuilt(log, first)
    assert [request.dataset_version for request in requests(run)] == [1]  # version 2 was waiting for the first job, and is trained on no more


def test_what_was_rolled_back_stays_out_of_what_follows() -> None:
    run, log = driver(min_new_pairs=1), Log()
    run.send(log.add(1))
    run.send(log.add(2))
    first, _ = versions(run)
    run.send(back(log, first))
    run.send(log.add(3))

    last = versions(run)[-1]
    assert [pair.pair_id for pair in rebuilt(log, last).pairs] == ["pair-1", "pair-3"]
    assert [(part.start_offset, part.end_offset) for part in last.excluded] == [(1, 2)]
    assert (last.version, last.n_items, last.n_new, last.content_hash) == (4, 2, 1, rebuilt(log, last).content_hash)


def test_a_rollback_that_does_not_know_the_newest_pair_is_refused() -> None:
    run, log = driver(), Log()
    run.send(log.add(1))
    run.send(freeze(1))
    run.send(log.add(2))
    order = back(log, versions(run)[0])
    run.send(log.add(3))
    run.send(order)
    assert len(versions(run)) == 1
    assert run.outcomes["refused"] == 1
    run.send(back(log, versions(run)[0]))
    assert len(versions(run)) == 2


def test_a_rollback_over_a_new_rubric_version_is_refused() -> None:
    run, log = driver(), Log()
    run.send(log.add(1))
    run.send(freeze(1))
    run.send(back(log, versions(run)[0].model_copy(update={"rubric_version": 2})))
    assert run.outcomes["refused"] == 1


STEPS = st.lists(st.one_of(st.tuples(st.integers(0, 4), st.sampled_from([None, 0.5, 1.0])), st.sampled_from(["freeze", "back"])), max_size=40)


def played(steps: Iterable[Any]) -> tuple[ProcessorDriver, Log, list[Event]]:
    """Play steps: events of pairs, orders to freeze, and rollbacks to the version before."""
    run, log, sent = driver(min_new_pairs=3), Log(), list[Event]()
    for place, step in enumerate(steps):
        event: Event
        if step == "freeze":
            event = freeze(place)
        elif step == "back":
            if len(versions(run)) < 2:
                continue
            event = back(log, versions(run)[-2])
            event = event.model_copy(update={"event_id": f"{event.event_id}-{place}"})
        else:
            number, weight = step
            event = log.add(number, weight if number in log.live else weight or 1.0)
        sent.append(event)
        run.send(event)
    return run, log, sent


@settings(max_examples=60)
@given(STEPS)
def test_every_version_is_what_the_log_gives_when_it_is_rebuilt(steps: list[Any]) -> None:
    run, log, _ = played(steps)

    for version in versions(run):
        found = rebuilt(log, version)
        assert (version.content_hash, version.n_items, version.sources) == (found.content_hash, *counts(found))
    assert [version.version for version in versions(run)] == list(range(1, len(versions(run)) + 1))
    assert all(later.parent == earlier.version for earlier, later in pairwise(versions(run)))


@settings(max_examples=60)
@given(STEPS, st.booleans())
def test_a_lost_state_finds_each_version_at_its_place_again(steps: list[Any], restoring: bool) -> None:
    """The orders come when they come: here all of them before the first pair, or after the last.

    One that was refused is not obeyed later, when it is read as one of the past.
    """
    run, log, sent = played(steps)
    obeyed = {version.order_id for version in versions(run)}
    orders = [event for event in sent if isinstance(event, DatasetOrder) and (restoring or event.event_id in obeyed)]
    history = (*run.out, *orders)

    for early in (True, False):
        again = driver(history=history, min_new_pairs=3, restoring=restoring)
        for order in orders if early else ():
            again.send(order)
        for offset, pair in log.records:
            again.send(pair, source=Source("preference-pairs", 0, offset))
        for order in () if early else orders:
            again.send(order)
        assert versions(again) == versions(run)
        one, other = (each.state("support").logs for each in (run, again))
        assert one == other
