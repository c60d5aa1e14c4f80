"""How far judges lie from people, task by task: what a drift detector watches to know whether a judge may still be trusted."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from trueloop.drift.losses import judge_gap
from trueloop.drift.observations import Losses, mark_of, observations
from trueloop.drift.series import drift_series
from trueloop.events import DriftObservations, ReviewedTrace
from trueloop.rubrics import Policy


def judge_gaps(trace: ReviewedTrace, values: Mapping[str, float], policy: Policy) -> Iterator[DriftObservations]:
    """Yield the distance between judge and people on each dimension that has a judge by `estimates.judge`, in all series that it belongs to.

    A judge that says the same as ever while people change their mind, or the other way round, shows here and in neither of their series.

    Args:
        trace: The trace, with its scores.
        values: Quality of what was served by dimension, [0, 1], 1 being the best of the scale: the mean of its labels.
        policy: In force for the task.
    """
    for dimension, judge in sorted(policy.estimates.judge.items()):
        gap = judge_gap(trace.scores.get(judge), values.get(dimension))
        if gap is None:
            continue
        metric = f"judge-gap:{dimension}"
        named = f"{metric}@{trace.rubric_id}.{trace.rubric_version}@{judge}"
        for series in drift_series(trace.application, named, trace.slices, policy.drift.slices):
            items = Losses(np.array([gap]), np.array([mark_of(trace.task_id)]), np.array([-1]), lambda _: trace.trace_id)
            yield observations(replace(series, metric=metric), trace.application, trace.occurred_at, items, ())
