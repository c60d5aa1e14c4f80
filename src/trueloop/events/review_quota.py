"""A call for more reviews."""

from typing import Annotated

from pydantic import Field

from trueloop.events.base import Event, Identifier, Timestamp


class ReviewQuota(Event):
    """A call for more reviews of a slice for a time. Topic `review-quotas`, key `quota_id`. Opened by a drift alarm, as the policy says."""

    quota_id: Identifier = Field(description="Hash of the signal that caused it and of the policy, so that a replay opens the same quota.")
    slice: Identifier = Field(description="'all' or 'name=value'.")
    rate: Annotated[float, Field(gt=0.0, le=1.0)] = Field(description="Least probability with which traces of the slice are reviewed meanwhile, (0, 1].")
    starts_at: Timestamp = Field(description="From this time of traces on, UTC.")
    ends_at: Timestamp = Field(description="Up to this time of traces, itself not included, UTC.")
    series_id: Identifier = Field(description="The series that gave the alarm.")
    drift_signal_id: Identifier = Field(description="Event id of the alarm in `drift`.")
    policy_id: Identifier = Field(description="The policy that asked for it.")
    policy_version: Annotated[int, Field(ge=1)] = Field(description="Version of that policy, >= 1.")
