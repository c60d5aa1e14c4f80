"""A production request and its answer."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from trueloop.events.base import Count, Event, Identifier, Number, Probability, Record
from trueloop.events.conversation import Message

EMBEDDING_DIMENSIONS = 384
EMBEDDING_BYTES = EMBEDDING_DIMENSIONS * 4


class Consent(StrEnum):
    """What the subject allowed. Nothing is trained on without TRAINING."""

    UNKNOWN = "UNKNOWN"
    NONE = "NONE"
    REVIEW = "REVIEW"
    TRAINING = "TRAINING"


class Alternative(Record):
    """Another completion of the same prompt that the user did not see (n > 1 sampling, a shadow model)."""

    completion: str = Field(description="Text of the completion, UTF-8.")
    model: str = Field(description="Name of the model that wrote it.")
    checkpoint: str | None = Field(default=None, description="Id of its checkpoint; null when the model is not ours.")


class Trace(Event):
    """A production request and its answer, as the serving application saw it. Topic `traces`, key `trace_id`."""

    trace_id: Identifier = Field(description="Id of the request; the same id sent twice is one trace. 1 to 256 characters.")
    model: str = Field(description="Name of the serving model.")
    checkpoint: str | None = Field(default=None, description="Id of the serving checkpoint as in `releases`; null when the model is not ours.")
    slices: dict[str, str] = Field(default_factory=dict, description="Segments that the trace belongs to, such as locale or product: name to value.")
    error: str | None = Field(default=None, description="Class of the error that ended the request; null when it succeeded.")
    latency_ms: Annotated[Number, Field(ge=0)] | None = Field(default=None, description="Time to the full answer, milliseconds, >= 0; null when not measured.")
    prompt_tokens: Count | None = Field(default=None, description="Tokens of the prompt, >= 0; null when not counted.")
    completion_tokens: Count | None = Field(default=None, description="Tokens of the completion, >= 0; null when not counted.")
    scores: dict[str, Probability] = Field(
        default_factory=dict, description="Model and judge scores by name, each in [0, 1]; a score that was not computed is absent."
    )
    consent: Consent = Field(description="What the subject allowed: NONE, REVIEW (people may read it) or TRAINING (models may learn from it).")
    subject_id: str | None = Field(
        default=None, description="Pseudonym of the user, for erasure and clustering; null when unknown. Never a name or an address."
    )
    messages: list[Message] = Field(min_length=1, description="The prompt, oldest turn first; at least one.")
    completion: str = Field(description="The answer that was served, UTF-8; empty when the request failed.")
    alternatives: list[Alternative] = Field(default_factory=list, description="Other completions of the same prompt that were not shown to the user.")
    embedding: Annotated[bytes, Field(min_length=EMBEDDING_BYTES, max_length=EMBEDDING_BYTES)] | None = Field(
        default=None, description="Embedding of the prompt: 384 little-endian float32; null when not computed."
    )
    embedding_model: str | None = Field(default=None, description="Name of the embedding model; null without an embedding.")
