"""The order to go back to an earlier version of a dataset: what the trigger has to be told of it."""

from collections.abc import Sequence
from datetime import datetime

from trueloop.datasets.pair_log import in_dataset, without
from trueloop.errors import ConfigurationError
from trueloop.events import DatasetKind, DatasetOrder, DatasetOrderKind, DatasetVersion, LeftOutPair, PreferencePair, derive_id

MOST_LEFT_OUT = 10_000
"""An order is one record, which the trigger remembers: more pairs than this would make it too large."""


def rollback_order(records: Sequence[tuple[int, PreferencePair]], target: DatasetVersion, *, reason: str, ordered_by: str, now: datetime) -> DatasetOrder:
    """Return the order to restore `target`.

    Args:
        records: (offset, pair) of the whole log, ascending, as far as it goes now.
        target: The version to go back to.
        reason: Why; the audit trail keeps it.
        ordered_by: Who wants it.
        now: When it is ordered.

    Raises:
        ConfigurationError: the version is no dataset of pairs, or more than `MOST_LEFT_OUT` pairs would be left out.
    """
    if target.kind is not DatasetKind.PAIRS:
        raise ConfigurationError(f"{target.name!r} is no dataset of pairs; expected one such as '{target.application}/pairs': nothing else is rolled back")
    own = [(offset, pair) for offset, pair in records if pair.application == target.application]
    place = max((offset + 1 for offset, _ in own), default=target.end_offset)
    restored = _weights(own, target)
    spoken_of = sorted({pair.pair_id for offset, pair in own if target.end_offset <= offset < place and _of(target, pair)})
    if len(spoken_of) > MOST_LEFT_OUT:
        raise ConfigurationError(
            f"{len(spoken_of)} pairs have come since version {target.version}; expected {MOST_LEFT_OUT} at most: go back to a newer version, or publish a "
            "new version of the rubric, which begins with an empty dataset"
        )
    return DatasetOrder(
        event_id=derive_id("dataset-rollback", target.name, str(target.version), str(place), now.isoformat()),
        occurred_at=now,
        application=target.application,
        dataset=target.name,
        kind=DatasetOrderKind.ROLLBACK,
        reason=reason,
        ordered_by=ordered_by,
        place=place,
        restores=target.version,
        content_hash=target.content_hash,
        end_offset=target.end_offset,
        excluded=target.excluded,
        n_items=target.n_items,
        sources=target.sources,
        rubric_id=target.rubric_id,
        rubric_version=target.rubric_version,
        left_out=[LeftOutPair(pair_id=pair_id, weight=restored.get(pair_id)) for pair_id in spoken_of],
    )


def _of(target: DatasetVersion, pair: PreferencePair) -> bool:
    return in_dataset(pair, target.application, target.rubric_id, target.rubric_version)


def _weights(records: Sequence[tuple[int, PreferencePair]], target: DatasetVersion) -> dict[str, float]:
    """Return the weight of each pair of a version, by pair id."""
    held = ((offset, pair) for offset, pair in records if offset < target.end_offset)
    newest = {pair.pair_id: pair for pair in without(held, target.excluded) if _of(target, pair)}
    return {pair_id: pair.weight for pair_id, pair in newest.items() if not pair.withdrawn}
