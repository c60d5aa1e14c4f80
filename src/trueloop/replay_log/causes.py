"""Which differences have a known cause. Everything that is recorded decides; what is not is UNEXPLAINED."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from trueloop.replay_log.difference import Cause, Difference, Kind

Record = Mapping[str, Any]
FROM_TRACES = frozenset({"review-queue", "calibration", "drift-observations", "drift-values"})
"""Topics that are made of traces: a trace that came before its application's first policy may have been passed over."""
ORDERED = frozenset({"dataset-versions", "training-requests", "gates", "releases"})
"""Topics of the workers that read several topics under one state."""
_OF_THE_TRIGGER = frozenset({"dataset-versions", "training-requests"})
_ALARMS = frozenset({"drift_signal_ids"})
_BY_QUOTA = frozenset({"stratum", "sampling_prob", "reasons"})
_DRAWN = frozenset({"review-queue", "reviewed-traces", "calibration"})
_MOMENTS = frozenset({"occurred_at"})
_SUPERSEDED = "BASELINE_SUPERSEDED"


@dataclass(slots=True)
class Facts:
    """What is known that may explain a difference.

    Attributes:
        early_tasks: Tasks one of whose labels was read before the task: it was put on the retry topic, or refused for want of the task.
        first_policy: Per application, when its first policy was published.
        compacted: Topics whose worker reads a topic that has lost records to compaction.
        datasets: Dataset versions, name@version, that log and rebuild both have.
        trained_on_alarm: Applications of which a drift alarm has triggered a job.
        told_late: Per application, from when each disagreement of reviewers holds that sampling was told of later than that, and when it was.
        differing: By topic, what only the log or only the rebuild knows of, and the series of what differs: what is made of them differs too.
    """

    early_tasks: frozenset[str] = frozenset()
    first_policy: Mapping[str, datetime] = field(default_factory=dict)
    compacted: frozenset[str] = frozenset()
    datasets: frozenset[str] = frozenset()
    trained_on_alarm: frozenset[str] = frozenset()
    told_late: Mapping[str, tuple[tuple[datetime, datetime], ...]] = field(default_factory=dict)
    differing: dict[str, set[str]] = field(default_factory=dict)


def cause_of(topic: str, difference: Difference, real: Record | None, rebuilt: Record | None, facts: Facts) -> Cause:
    """Return the cause of a difference on a topic, or on the dead letters of a topic (`labels.dead-letters`).

    Args:
        topic: Its name.
        difference: What differs.
        real: The record in the log, decoded; None when there is none or it was not looked up.
        rebuilt: The record of the rebuild, likewise.
        facts: What is known; differences of the topics that this one is made of are noted there.
    """
    record = rebuilt or real or {}
    task = str(record.get("task_id", difference.subject))
    since = facts.first_policy.get(str(record.get("application")))
    known = {
        Cause.LATER_DOCUMENT: difference.kind is Kind.MISSING and topic in FROM_TRACES and since is not None and record["occurred_at"] < since,
        Cause.LATER_QUOTA: topic == "review-queue" and _quota_came_late(difference, real, rebuilt),
        Cause.LATER_DISAGREEMENT: topic in _DRAWN and _was_told_late(record, facts),
        Cause.LABEL_BEFORE_TASK: task in facts.early_tasks,
        Cause.FOLLOWS: _follows(topic, task, str(record.get("series_id")), difference, facts),
        Cause.COMPACTED: topic in facts.compacted,
        Cause.ARRIVAL_ORDER: topic in ORDERED and _hangs_on_order(topic, difference, real, rebuilt, facts),
    }
    return next((cause for cause, holds in known.items() if holds), Cause.UNEXPLAINED)


def _quota_came_late(difference: Difference, real: Record | None, rebuilt: Record | None) -> bool:
    """Return whether the rebuild knew of an alarm that the loop had not heard of when it read the trace."""
    by_alarm = [record is not None and str(record.get("stratum")).startswith("alarm:") for record in (real, rebuilt)]
    if real is None:
        return difference.kind is Kind.MISSING and by_alarm[1] and "ALARM" in (rebuilt or {})["reasons"]
    return by_alarm == [False, True] and set(difference.fields) <= _BY_QUOTA


def _was_told_late(record: Record, facts: Facts) -> bool:
    """Return whether a trace came between the moment from which a disagreement holds and the one at which it was told."""
    told = facts.told_late.get(str(record.get("application")), ())
    return any(begun <= record["occurred_at"] <= at for begun, at in told)


def _follows(topic: str, task: str, series_id: str, difference: Difference, facts: Facts) -> bool:
    source = topic.removesuffix(".dead-letters")
    return (
        (topic != "review-queue" and task in facts.differing.get("review-queue", ()))
        or (topic == "agreement" and series_id in facts.differing.get("agreement-units", ()))
        or (source != topic and difference.subject in facts.differing.get(source, ()))
    )


def _hangs_on_order(topic: str, difference: Difference, real: Record | None, rebuilt: Record | None, facts: Facts) -> bool:
    if topic in _OF_THE_TRIGGER and str((rebuilt or real or {}).get("application")) in facts.trained_on_alarm:
        return True  # between which pairs the alarm was read decides where a dataset ends
    if topic == "dataset-versions":
        return difference.kind is Kind.DIFFERENT and set(difference.fields) <= _ALARMS
    if topic == "training-requests":
        # Whether a version was still the newest when a job could start, and which event let it start.
        if difference.kind is Kind.DIFFERENT:
            return set(difference.fields) <= _MOMENTS
        record = real or rebuilt or {}
        return f"{record.get('dataset')}@{record.get('dataset_version')}" in facts.datasets
    if topic == "gates":
        # A pass is INCONCLUSIVE when another checkpoint was released meanwhile: before or after it is a matter of order.
        return difference.kind is Kind.DIFFERENT and any(_SUPERSEDED in str(record.get("reasons")) for record in (real, rebuilt) if record is not None)
    return topic == "releases" and difference.subject in facts.differing.get("gates", ())
