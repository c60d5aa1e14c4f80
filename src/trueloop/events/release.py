"""Which checkpoint serves."""

from enum import StrEnum

from pydantic import Field

from trueloop.events.base import Event, Identifier


class ReleaseReason(StrEnum):
    """Why the checkpoint serves."""

    UNKNOWN = "UNKNOWN"
    INITIAL = "INITIAL"
    GATE_PASS = "GATE_PASS"
    ROLLBACK = "ROLLBACK"
    MANUAL = "MANUAL"


class Release(Event):
    """Which checkpoint serves an application. Compacted topic `releases`, key `application`; a rollback is a release too."""

    checkpoint: Identifier = Field(description="Id of the checkpoint that serves from now on.")
    checkpoint_uri: Identifier = Field(description="Where it lies.")
    checkpoint_sha256: Identifier = Field(description="SHA-256 over its manifest.")
    previous: str | None = Field(default=None, description="Id of the checkpoint that served before; null for the first.")
    previous_uri: str | None = Field(default=None, description="Where that one lies; null when it is not known.")
    previous_sha256: str | None = Field(default=None, description="SHA-256 over its manifest; null when it is not known.")
    reason: ReleaseReason = Field(description="INITIAL, GATE_PASS, ROLLBACK or MANUAL.")
    gate_id: str | None = Field(default=None, description="Event id of the gate decision that let it pass; null when it was no gate that released it.")
    causes: list[Identifier] = Field(
        default_factory=list,
        description="Event ids that led to it, the nearest first: of a rollback by an alarm the drift signal, the release that is taken back and its gate.",
    )
