"""What a person orders about a dataset."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from trueloop.events.base import Count, Event, Identifier, Number, Record
from trueloop.events.dataset_version import OffsetRange


class DatasetOrderKind(StrEnum):
    """What is to happen."""

    UNKNOWN = "UNKNOWN"
    FREEZE = "FREEZE"
    ROLLBACK = "ROLLBACK"


class LeftOutPair(Record):
    """A pair that events of the rolled back range speak of."""

    pair_id: Identifier = Field(description="The pair.")
    weight: Annotated[Number, Field(ge=0)] | None = Field(default=None, description="Its weight in the restored version, >= 0; null when it is not in it.")


class DatasetOrder(Event):
    """An order about a dataset of pairs, which the trigger obeys. Topic `dataset-orders`, key `dataset`.

    Only the trigger numbers versions, so that nobody needs a lock. A ROLLBACK says what the trigger cannot know of an earlier version; it holds for
    the log as its author saw it, and the trigger refuses it when pairs have come since.
    """

    dataset: Identifier = Field(description="Name of the dataset, such as 'billing-support/pairs'.")
    kind: DatasetOrderKind = Field(description="FREEZE makes a version of what is there; ROLLBACK one with the content of an earlier version.")
    reason: Annotated[str, Field(min_length=1, max_length=1000)] = Field(description="Why, in the words of who ordered it; 1 to 1000 characters.")
    ordered_by: Identifier = Field(description="Who ordered it.")
    place: Count | None = Field(
        default=None, description="ROLLBACK: offset after the last record of the application in `preference-pairs` that its author saw; null for FREEZE."
    )
    restores: Annotated[int, Field(ge=1)] | None = Field(default=None, description="ROLLBACK: the version to go back to, >= 1; null for FREEZE.")
    content_hash: Identifier | None = Field(default=None, description="Content hash of that version; null for FREEZE.")
    end_offset: Count | None = Field(default=None, description="Offset after the last record of that version; null for FREEZE.")
    excluded: list[OffsetRange] = Field(default_factory=list, description="Offset ranges that are rolled back in that version itself.")
    n_items: Count | None = Field(default=None, description="Items in that version; null for FREEZE.")
    sources: dict[str, Count] = Field(default_factory=dict, description="Its items by source of evidence: name of the source to number of items.")
    rubric_id: Identifier | None = Field(default=None, description="Its rubric; null for FREEZE.")
    rubric_version: Annotated[int, Field(ge=1)] | None = Field(default=None, description="Version of that rubric, >= 1; null for FREEZE.")
    left_out: list[LeftOutPair] = Field(default_factory=list, description="The pairs that records between `end_offset` and `place` speak of.")
