"""What the trigger remembers of an application."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from trueloop.datasets.running_log import PairLog
from trueloop.events import DatasetVersion, DimensionAgreement


class Checkpoint(BaseModel):
    """A checkpoint and where it lies."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    uri: str


class Alarm(BaseModel):
    """A drift alarm that stands: the signal that raised it, and whether a dataset was frozen because of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    signal_id: str
    answered: bool = False


class TriggerState(BaseModel):
    """What the trigger knows of one application.

    `dataset_hash` is the content of the newest version, `orders` the newest orders that were obeyed. `alarms` holds the alarms that stand, by
    series; `cause` the signal because of which `pending` was frozen, None when pairs sufficed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int = 1
    pairs_offset: int = -1
    recent: tuple[str, ...] = ()
    logs: dict[str, PairLog] = {}
    agreement: dict[str, DimensionAgreement] = {}
    dataset_version: int = 0
    dataset_hash: str | None = None
    orders: tuple[str, ...] = ()
    pending: DatasetVersion | None = None
    cause: str | None = None
    alarms: dict[str, Alarm] = {}
    release: Checkpoint | None = None
    candidate: Checkpoint | None = None
    running: str | None = None
    requested_at: datetime | None = None
