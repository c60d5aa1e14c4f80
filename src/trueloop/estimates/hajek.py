"""Hajek's estimator of a mean from labels that were sampled with unequal probabilities."""

from typing import Any

from trueloop.estimates.estimate import Estimate, Undefined
from trueloop.estimates.frame import Column, aligned, cells, numbers
from trueloop.estimates.interval import Scale
from trueloop.estimates.moments import SampleMoments, sample_moments
from trueloop.estimates.weighted_mean import weighted_mean


def hajek(
    values: Column,
    probabilities: Column,
    *,
    clusters: Column | None = None,
    data: Any = None,
    confidence: float = 0.95,
    scale: Scale | None = None,
) -> Estimate:
    """Return the mean of all units that could have been labelled: sum(y / p) / sum(1 / p) over those that were.

    Unlike the plain mean it is not biased by a sampler that looks where it expects faults, and unlike Horvitz and Thompson's sum(y / p) / N it
    does not scatter with the number of labels that came back. The interval is for the process that made the units, not only for these units:
    it comes from the linearised variance between clusters, and so holds when units of a cluster are alike.

    Args:
        values: Label of each unit, on any scale; missing (None, NaN) where it has none.
        probabilities: The logged probability of each unit to be labelled, (0, 1]; may be missing without a label. 1 is a unit that is always
            labelled.
        clusters: What units belong together (a conversation, a subject); missing makes a unit a cluster of its own.
        data: Data frame; then columns may be given by name.
        confidence: Of the two-sided interval, (0, 1).
        scale: Least and largest value that a label can have; then the interval is Wilson's, and there is one even when all labels are equal.

    Returns:
        The value is None without labels; the interval is None, with the reason, for one cluster and for equal labels without a scale.

    Raises:
        ValueError: Columns differ in length, a label is no number, or a labelled unit has no probability in (0, 1].

    References: Hajek, J. (1971), comment on Basu, in Foundations of Statistical Inference, 236. Sarndal, Swensson, Wretman (1992). Model
    Assisted Survey Sampling, equations 5.7.4 and 5.7.13. Horvitz, D. G., Thompson, D. J. (1952), JASA 47, 663-685, for what it improves on.

    >>> estimate = hajek([1.0, 0.0, None, 1.0], [1.0, 0.25, 0.25, 1.0], scale=(0, 1))
    >>> round(estimate.value, 4), estimate.n
    (0.3333, 3)
    """
    y, p = numbers(values, data, name="values"), numbers(probabilities, data, name="probabilities")
    groups = None if clusters is None else cells(clusters, data)
    aligned(values=y, probabilities=p, **({} if groups is None else {"clusters": groups}))
    return hajek_of(sample_moments(y, p, None, groups), confidence=confidence, scale=scale)


def hajek_of(moments: SampleMoments, *, confidence: float = 0.95, scale: Scale | None = None) -> Estimate:
    """Return Hajek's estimate from sufficient statistics. See `hajek`."""
    family = weighted_mean(moments)
    if family is None:
        return Estimate(None, 0, undefined=Undefined.NO_LABELS)
    return family.estimate(0.0, confidence=confidence, scale=scale)
