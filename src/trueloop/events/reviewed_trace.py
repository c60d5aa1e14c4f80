"""What estimates have to know of a trace that was put before reviewers."""

from typing import Annotated

from pydantic import Field

from trueloop.events.base import Event, Identifier, Probability


class ReviewedTrace(Event):
    """A trace that was queued for review: what a population estimate needs of it, and reviewers must not see. Internal topic `reviewed-traces`, key
    `task_id`. It lies beside the task, because a task says nothing that unblinds.
    """

    task_id: Identifier = Field(description="The task that it became.")
    trace_id: Identifier = Field(description="The trace.")
    rubric_id: Identifier = Field(description="The rubric that it is judged by.")
    rubric_version: Annotated[int, Field(ge=1)] = Field(description="Version of the rubric, >= 1.")
    policy_id: Identifier = Field(description="The policy that sampled it.")
    policy_version: Annotated[int, Field(ge=1)] = Field(description="Version of the policy, >= 1.")
    sampling_prob: Annotated[float, Field(gt=0.0, le=1.0)] = Field(description="Probability with which it was to be included, (0, 1].")
    stratum: str = Field(description="The stratum that the probability belongs to.")
    served: Identifier = Field(description="Blind id of the candidate that was served to the user.")
    slices: dict[str, str] = Field(default_factory=dict, description="Segments of the trace: name to value.")
    scores: dict[str, Probability] = Field(default_factory=dict, description="Model and judge scores of the trace by name, each in [0, 1].")
    cluster: str | None = Field(
        default=None, description="Hash of the subject or the conversation (policy: `estimates.cluster_by`), whose traces may be alike; null without any."
    )
