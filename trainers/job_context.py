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
from trueloop.datasets.pairs_dataset import PairSelection
from trueloop.events import Event, PreferencePair, Split, TrainingRequest
from trueloop.rubrics import Rubric
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
    def pair_log(self) -> list[PreferencePair]:
        """The range of `preference-pairs` that the request names, oldest first. Raises UnavailableError or IntegrityError."""
        read = read_range(self.settings.kafka, self.codec, PREFERENCE_PAIRS, self.request.dataset_end_offset)
        return [cast("PreferencePair", event) for _, event in read]

    @cached_property
    def rubric(self) -> Rubric | None:
        """The rubric of the request, None when it is not published. Raises UnavailableError."""
        governance = GovernanceStore(self.settings.kafka, self.codec)
        try:
            return governance.fresh(time.monotonic()).rubric(self.request.rubric_id, self.request.rubric_version)
        finally:
            governance.close()

    def selection(self, split: Split) -> PairSelection:
        """Return which pairs of that split count for the request."""
        return PairSelection(self.request.application, self.request.rubric_id, self.request.rubric_version, split)
