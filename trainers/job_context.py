"""What a job works with: its request, the log, the model store, and a line to the parent process."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import cast

from trueloop.trainers.job_files import AttemptFiles, JobFiles

from trueloop.adapters.governance_store import GovernanceStore
from trueloop.adapters.model_store import ModelStore
from trueloop.adapters.topic_range import read_range
from trueloop.codec import Codec
from trueloop.config import Settings
from trueloop.datasets.pair_log import without
from trueloop.datasets.pairs_dataset import PairSelection
from trueloop.events import Event, PreferencePair, Split, TrainingRequest
from trueloop.rubrics import Governance, Rubric
from trueloop.rubrics.policy import Pairs
from trueloop.topics import PREFERENCE_PAIRS


@dataclass
class JobContext:
    """One job. `send` hands an event to the parent, which publishes it; `alive` is a sign of life between events."""

    request: TrainingRequest
    settings: Settings
    codec: Codec
    store: ModelStore
    files: JobFiles
    send: Callable[[Event], None]
    alive: Callable[[], None]
    attempt: int = 1

    @property
    def kept(self) -> AttemptFiles:
        """What this attempt keeps."""
        return self.files.attempt(self.request.job_id, self.attempt)

    @cached_property
    def _records(self) -> list[tuple[int, PreferencePair]]:
        read = read_range(self.settings.kafka, self.codec, PREFERENCE_PAIRS, self.request.dataset_end_offset)
        return [(offset, cast("PreferencePair", event)) for offset, event in read]

    @property
    def pair_log(self) -> list[PreferencePair]:
        """The range of `preference-pairs` up to where the request's dataset ends, oldest first. Raises UnavailableError or IntegrityError."""
        return [pair for _, pair in self._records]

    @property
    def dataset_log(self) -> list[PreferencePair]:
        """The records of that range that the dataset is made of: without those that were rolled back. Raises as `pair_log`."""
        return list(without(self._records, self.request.dataset_excluded))

    @cached_property
    def governance(self) -> Governance:
        """The documents as they were when the job first asked. Raises UnavailableError."""
        store = GovernanceStore(self.settings.kafka, self.codec)
        try:
            return store.fresh(time.monotonic())
        finally:
            store.close()

    @property
    def rubric(self) -> Rubric | None:
        """The rubric of the request, None when it is not published. Raises UnavailableError."""
        return self.governance.rubric(self.request.rubric_id, self.request.rubric_version)

    def selection(self, split: Split) -> PairSelection:
        """Return which pairs of that split count for the request, by its policy how much of them one person may carry, and which repeat others. Raises
        UnavailableError."""
        request, governed = self.request, self.governance.policy(self.request.policy_id, self.request.policy_version)
        pairs = governed.policy.pairs if governed else Pairs()
        return PairSelection(
            request.application, request.rubric_id, request.rubric_version, split, pairs.max_influence, pairs.near_duplicate_above
        )  # fmt: skip
