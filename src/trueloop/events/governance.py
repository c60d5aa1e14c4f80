"""The documents that govern the loop, and the right to be forgotten."""

from typing import Annotated

from pydantic import Field

from trueloop.events.base import Event, Identifier


class RubricPublished(Event):
    """A version of a rubric. Compacted topic `rubrics`, key `rubric_id@version`. A version never changes once published."""

    rubric_id: Identifier = Field(description="Id of the rubric.")
    version: Annotated[int, Field(ge=1)] = Field(description="Version, >= 1.")
    content_hash: Identifier = Field(description="Hash of the document; stamped on every event that used it.")
    document: str = Field(description="The rubric, canonical JSON.")


class PolicyPublished(Event):
    """A version of a policy. Compacted topic `policies`, key `policy_id@version`. In force for its application from `occurred_at`."""

    policy_id: Identifier = Field(description="Id of the policy.")
    version: Annotated[int, Field(ge=1)] = Field(description="Version, >= 1.")
    content_hash: Identifier = Field(description="Hash of the document; stamped on every event that used it.")
    document: str = Field(description="The policy, canonical JSON.")


class Erasure(Event):
    """A subject's right to be forgotten. Topic `erasures`, key `subject_id`."""

    subject_id: Identifier = Field(description="Pseudonym of the subject whose data is to be erased.")
    reason: str = Field(default="", description="Why, in words for the audit; no personal data.")
