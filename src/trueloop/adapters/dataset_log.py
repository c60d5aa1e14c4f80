"""The log behind datasets: their versions, the pairs of a version, and which tasks have a known answer."""

import time
from typing import cast

from trueloop.adapters.kafka import Publisher, read_events
from trueloop.adapters.publication import Documents
from trueloop.adapters.registry import connect
from trueloop.adapters.topic_range import read_range
from trueloop.config import Settings
from trueloop.datasets.pair_log import in_dataset, without
from trueloop.datasets.pairs_dataset import PairsDataset, PairSelection, build_pairs_dataset
from trueloop.errors import ConfigurationError, IntegrityError, UnavailableError
from trueloop.events import DatasetKind, DatasetOrder, DatasetVersion, GoldAnswer, PreferencePair, Split, TrainingRequest
from trueloop.rubrics import Governance
from trueloop.rubrics.policy import Pairs, RubricReference
from trueloop.topics import DATASET_VERSIONS, GOLD, PREFERENCE_PAIRS, TRAINING_REQUESTS

PATIENCE_S = 20.0
_POLL_S = 0.2


class DatasetLog:
    """Reads the topics when asked. Every method raises UnavailableError when Kafka or the registry does not answer."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._governance: Governance | None = None
        self._kafka = settings.kafka
        self._codec = connect(settings.registry)
        self._records: list[tuple[int, PreferencePair]] = []

    def versions(self) -> list[DatasetVersion]:
        """Return every version, by name and number."""
        found = [event for event in read_events(self._kafka, self._codec, DATASET_VERSIONS) if isinstance(event, DatasetVersion)]
        return sorted(found, key=lambda version: (version.name, version.version))

    def find(self, name: str) -> DatasetVersion:
        """Return the version that 'NAME@VERSION' names; of 'NAME' the newest. Raises ConfigurationError naming what there is."""
        wanted, _, number = name.partition("@")
        versions = self.versions()
        found = [version for version in versions if version.name == wanted and number in ("", str(version.version))]
        if not found:
            last = {version.name: version.version for version in versions}
            known = ", ".join(f"{known}@1 to @{newest}" for known, newest in last.items()) or "none"
            raise ConfigurationError(f"no dataset {name!r}; there are: {known}. See `trueloop dataset ls`")
        return found[-1]

    def records(self, end_offset: int | None = None) -> list[tuple[int, PreferencePair]]:
        """Return (offset, pair) from the beginning of the log up to `end_offset`, or as far as it goes now."""
        if end_offset is not None and self._records and self._records[-1][0] >= end_offset - 1:
            return [record for record in self._records if record[0] < end_offset]
        read = read_range(self._kafka, self._codec, PREFERENCE_PAIRS, end_offset)
        self._records = [(offset, cast("PreferencePair", event)) for offset, event in read]
        return self._records

    def rebuild(self, version: DatasetVersion, split: Split = Split.TRAIN) -> PairsDataset:
        """Return what a version of pairs holds, checked against its hash.

        Raises:
            ConfigurationError: it is no dataset of pairs.
            IntegrityError: the log gives something else than what was frozen; the message says how they differ.
        """
        if version.kind is not DatasetKind.PAIRS:
            raise ConfigurationError(
                f"{version.name!r} holds held-out prompts, whose topic keeps the newest of each alone; expected a dataset of pairs, which its log can rebuild"
            )
        records = self.records(version.end_offset)
        pairs = self._pairs_policy(version)
        selection = PairSelection(
            version.application, version.rubric_id, version.rubric_version, split, pairs.max_influence, pairs.near_duplicate_above
        )  # fmt: skip
        found = build_pairs_dataset(without(records, version.excluded), selection)
        if found.content_hash != version.content_hash:
            raise IntegrityError(_difference(version, records, found.content_hash))
        return found

    def _pairs_policy(self, version: DatasetVersion) -> Pairs:
        """Return what is said of pairs by the policy under which the version was frozen: how much of the weight one person may carry, and what is alike."""
        if self._governance is None:
            documents = Documents(self._settings)
            self._governance = Governance(documents.rubrics(), documents.policies())
        found = self._governance.in_force(version.application, version.occurred_at)
        return found.policy.pairs if found else Pairs()

    def holds(self, application: str, rubric: RubricReference, since: int) -> bool:
        """Return whether records for training under a rubric version lie at or behind an offset."""
        return any(offset >= since and in_dataset(pair, application, rubric.id, rubric.version) for offset, pair in self.records())

    def gold_tasks(self) -> frozenset[str]:
        """Return the tasks whose answer is known."""
        return frozenset(event.task_id for event in read_events(self._kafka, self._codec, GOLD) if isinstance(event, GoldAnswer))

    def jobs(self, version: DatasetVersion) -> list[TrainingRequest]:
        """Return the jobs that were requested on a version."""
        requests = (event for event in read_events(self._kafka, self._codec, TRAINING_REQUESTS) if isinstance(event, TrainingRequest))
        return [request for request in requests if (request.dataset, request.dataset_version) == (version.name, version.version)]

    def order(self, order: DatasetOrder, patience_s: float = PATIENCE_S) -> DatasetVersion:
        """Publish an order and return the version that the trigger makes of it. Raises UnavailableError when it makes none in time."""
        Publisher(self._kafka, self._codec).publish([order])
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            found = next((version for version in self.versions() if version.order_id == order.event_id), None)
            if found is not None:
                return found
            time.sleep(_POLL_S)
        raise UnavailableError(
            f"order {order.event_id} is sent, and no version came of it within {patience_s:g} s: either no trigger worker runs (see `trueloop top`), "
            "or it refused the order because pairs came meanwhile: look at `trueloop dataset ls`, then order again"
        )


def _difference(version: DatasetVersion, records: list[tuple[int, PreferencePair]], found: str) -> str:
    """Say how the log differs from what was frozen, as far as it can be told."""
    said = f"{version.name}@{version.version} was frozen with content {version.content_hash[:12]}; its log gives {found[:12]}"
    kept = [pair for pair in without(records, version.excluded) if in_dataset(pair, version.application, version.rubric_id, version.rubric_version)]
    first = records[0][0] if records else version.end_offset
    items = len({pair.pair_id for pair in kept} - {pair_id for pair_id, pair in {pair.pair_id: pair for pair in kept}.items() if pair.withdrawn})
    if first > 0:
        return f"{said}: the log begins at offset {first} and the dataset at 0, so its beginning was removed; restore the topic, or freeze a new version"
    return f"{said}: it holds {items} pairs up to offset {version.end_offset}, and {version.n_items} were frozen; is this the cluster that it was frozen on?"
