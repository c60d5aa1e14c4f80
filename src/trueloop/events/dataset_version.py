"""A frozen dataset."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from trueloop.events.agreement import Coefficient
from trueloop.events.base import Count, Event, Identifier, Record


class DatasetKind(StrEnum):
    """What the dataset holds."""

    UNKNOWN = "UNKNOWN"
    PAIRS = "PAIRS"
    CALIBRATION = "CALIBRATION"


class FreezeCause(StrEnum):
    """Why a version was frozen."""

    UNKNOWN = "UNKNOWN"
    NEW_PAIRS = "NEW_PAIRS"
    """The policy's number of new pairs was reached."""
    DRIFT = "DRIFT"
    """An alarm stood, and fewer pairs were enough."""
    EVALUATION = "EVALUATION"
    """A candidate was evaluated, and the held-out prompts had changed."""
    PERSON = "PERSON"
    ROLLBACK = "ROLLBACK"
    """A person went back to an earlier version."""


class OffsetRange(Record):
    """Consecutive records of a topic."""

    start_offset: Count = Field(description="Offset of the first record.")
    end_offset: Count = Field(description="Offset after the last record.")


class DimensionAgreement(Record):
    """Agreement on one dimension at the moment of the freeze."""

    dimension: Identifier = Field(description="Dimension of the rubric, or 'overall'.")
    alpha: Coefficient | None = Field(default=None, description="Krippendorff's alpha at the dimension's level, over all slices, [-1, 1]; null when undefined.")
    n_units: Count = Field(description="Units behind it.")


class DatasetVersion(Event):
    """A frozen dataset: a range of one topic, so that it can be rebuilt from the log. Compacted topic `dataset-versions`, key `name@version`."""

    name: Identifier = Field(description="Name of the dataset, such as 'billing-support/pairs'.")
    version: Annotated[int, Field(ge=1)] = Field(description="Version, >= 1, ascending without gaps.")
    kind: DatasetKind = Field(description="PAIRS or CALIBRATION.")
    content_hash: Identifier = Field(description="Hash over the ids and revisions of its items, in order.")
    parent: Annotated[int, Field(ge=1)] | None = Field(default=None, description="Version it grew from, >= 1; null for the first.")
    topic: Identifier = Field(description="The topic that it is a range of.")
    partition: Count = Field(description="Partition of that topic, >= 0.")
    end_offset: Count = Field(description="Offset after the last record of the range; the range starts at offset 0.")
    excluded: list[OffsetRange] = Field(
        default_factory=list, description="Offset ranges that were rolled back, oldest first: their records count for nothing, here and in what follows."
    )
    n_items: Count = Field(description="Items in it.")
    n_new: Count = Field(description="Items that its parent lacks.")
    sources: dict[str, Count] = Field(default_factory=dict, description="Items by source of evidence: name of the source to number of items.")
    rubric_id: Identifier = Field(description="The rubric that its labels follow.")
    rubric_version: Annotated[int, Field(ge=1)] = Field(description="Version of the rubric; labels of other versions are left out.")
    policy_version: Annotated[int, Field(ge=1)] = Field(description="Version of the policy that froze it, >= 1.")
    agreement: list[DimensionAgreement] = Field(
        default_factory=list, description="Agreement at the freeze, per dimension; empty when nothing was estimated yet."
    )
    drift_signal_ids: list[str] = Field(default_factory=list, description="Event ids of the drift alarms that stood at the freeze and had no dataset yet.")
    frozen_by: FreezeCause = Field(default=FreezeCause.UNKNOWN, description="NEW_PAIRS, DRIFT, EVALUATION, PERSON or ROLLBACK.")
    restores: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="Version, >= 1, whose content it has, because a person went back to it; null for others."
    )
    order_id: Identifier | None = Field(default=None, description="Event id of the order in `dataset-orders` that it obeys; null without one.")
    ordered_by: Identifier | None = Field(default=None, description="Who gave the order; null without one.")
    changelog: str = Field(description="One line: what changed since the parent.")

    @property
    def place(self) -> int:
        """Offset of the log at which it was frozen: of a rollback the end of what was rolled back."""
        return self.excluded[-1].end_offset if self.restores is not None and self.excluded else self.end_offset
