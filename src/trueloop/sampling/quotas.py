"""Review quotas: for which traces an alarm asks for more reviews."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from trueloop.columns.walk import Flags, Ints
from trueloop.events import ReviewQuota

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def in_slice(quota: ReviewQuota, slices: Mapping[str, str]) -> bool:
    """Return whether a trace with these slices belongs to the quota's slice."""
    return quota.slice == "all" or any(f"{name}={value}" == quota.slice for name, value in slices.items())


def within(quota: ReviewQuota, occurred_at: Ints) -> Flags:
    """Return which moments (microseconds since the epoch) lie in the quota's time; its end does not."""
    since, until = ((moment - _EPOCH) // _MICROSECOND for moment in (quota.starts_at, quota.ends_at))
    lies: Flags = (occurred_at >= since) & (occurred_at < until)
    return lies
