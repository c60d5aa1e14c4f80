"""How two datasets differ, pair by pair."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from trueloop.datasets.pairs_dataset import PairsDataset
from trueloop.events import PreferencePair


@dataclass(frozen=True, slots=True)
class Changes:
    """Pairs of one kind of change: their ids in order, and how many there are by source and by 'slice=value'."""

    pair_ids: tuple[str, ...]
    sources: dict[str, int]
    slices: dict[str, int]


@dataclass(frozen=True, slots=True)
class DatasetDifference:
    """The pairs that only the later one holds, that only the earlier one holds, and that later labels revised."""

    added: Changes
    removed: Changes
    revised: Changes


def compare_datasets(before: PairsDataset, after: PairsDataset) -> DatasetDifference:
    """Return what has to be done to the one dataset to get the other."""
    old, new = ({pair.pair_id: pair for pair in dataset.pairs} for dataset in (before, after))
    return DatasetDifference(
        added=_changes(pair for pair_id, pair in new.items() if pair_id not in old),
        removed=_changes(pair for pair_id, pair in old.items() if pair_id not in new),
        revised=_changes(pair for pair_id, pair in new.items() if pair_id in old and old[pair_id].event_id != pair.event_id),
    )


def _changes(pairs: Iterable[PreferencePair]) -> Changes:
    ordered = sorted(pairs, key=lambda pair: pair.pair_id)
    sources = Counter(pair.source.value for pair in ordered)
    slices = Counter(f"{name}={value}" for pair in ordered for name, value in pair.slices.items())
    return Changes(tuple(pair.pair_id for pair in ordered), dict(sorted(sources.items())), dict(sorted(slices.items())))
