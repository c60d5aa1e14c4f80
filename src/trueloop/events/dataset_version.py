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
    n_items: Count = Field(description="Items in it.")
    n_new: Count = Field(description="Items that its parent lacks.")
    rubric_id: Identifier = Field(description="The rubric that its labels follow.")
    rubric_version: Annotated[int, Field(ge=1)] = Field(description="Version of the rubric; labels of other versions are left out.")
    policy_version: Annotated[int, Field(ge=1)] = Field(description="Version of the policy that froze it, >= 1.")
    agreement: list[DimensionAgreement] = Field(
        default_factory=list, description="Agreement at the freeze, per dimension; empty when nothing was estimated yet."
    )
    drift_signal_ids: list[str] = Field(default_factory=list, description="Event ids of the drift alarms that stood at the freeze and had no dataset yet.")
    changelog: str = Field(description="One line: what changed since the parent.")
