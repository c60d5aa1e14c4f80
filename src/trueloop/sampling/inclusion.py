"""Inclusion probabilities: what a trace's draw is compared with, the stratum that it comes from, and the reason why it was drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from trueloop.columns.walk import Doubles, Flags, Ints
from trueloop.events import ReviewQuota, SamplingReason, SliceDisagreement
from trueloop.rubrics.sampling_policy import Anomalies, EdgeCase, Sampling, Uncertainty
from trueloop.sampling.disagreements import disagreements_of
from trueloop.sampling.edge_cases import edge_cases
from trueloop.sampling.mixture import inclusion_probability
from trueloop.sampling.quotas import in_slice, within
from trueloop.sampling.rows import TraceRows
from trueloop.sampling.uncertainty import judge_disagreement, score_entropy, uncertainty

ALL = "all"
"""Stratum of the traces that are in no other. It is no slice: those are called 'name=value'."""
_DIGITS = 6
"""Decimals of an uncertainty that count: processors whose logarithms differ in the last bit give the same probability."""


@dataclass(frozen=True, slots=True)
class Inclusion:
    """The probability with which a trace is included, the stratum that it comes from, and the part of the probability that its draw fell into."""

    probability: float
    stratum: str
    reason: SamplingReason


@dataclass(frozen=True, slots=True)
class Inclusions:
    """The inclusions of many traces, one row each.

    Attributes:
        probability: With which each is to be included, [0, 1].
        uniform: The part that looks at nothing but the stratum: a draw below it is UNIFORM.
        planned: The part without alarms: a draw below it is UNCERTAINTY, or ANOMALY where `anomalous`; one above it ALARM.
        anomalous: Whether it is out of the ordinary; None where nobody looked.
        rate: Of the stratum, [0, 1].
        strata: Place of the stratum in `names`.
        names: Strata.
    """

    probability: Doubles
    uniform: Doubles
    planned: Doubles
    anomalous: Flags | None
    rate: Doubles
    strata: Ints
    names: tuple[str, ...]

    def at(self, row: int, draw: float) -> Inclusion:
        """Return the inclusion of one trace whose draw is below its probability."""
        anomalous = self.anomalous is not None and bool(self.anomalous[row])
        if draw < self.uniform[row]:
            reason = SamplingReason.UNIFORM
        elif draw < self.planned[row]:
            reason = SamplingReason.ANOMALY if anomalous else SamplingReason.UNCERTAINTY
        else:
            reason = SamplingReason.ALARM
        return Inclusion(float(self.probability[row]), self.names[self.strata[row]], reason)


def inclusions(sampling: Sampling, rows: TraceRows, quotas: Sequence[ReviewQuota] = (), disagreements: Sequence[SliceDisagreement] = ()) -> Inclusions:
    """Return the inclusion of each trace.

    A trace is in one stratum: of an anomaly, else of the first of the policy's slices that it is in, else 'all'; within a slice or 'all' the
    probability follows the uncertainty, where the policy says so. A review quota that is open for a trace raises its probability to the quota's
    rate, and names the stratum where that is above the stratum's own rate; it never lowers one.

    Args:
        sampling: Of the policy in force.
        rows: The traces, all of one application.
        quotas: Review quotas of that application, in the order of `Governance.quotas`; those that are not open for a trace do not bear on it.
        disagreements: How far that application's reviewers disagree, in the order of `Governance.disagreements`.
    """
    strata = np.array([_place(sampling, slices) for slices in rows.slice_values], np.int64)[rows.slices.codes]
    rate = np.array([*(each.rate for each in sampling.strata), sampling.rate])[strata]
    found = Inclusions(rate, rate, rate, None, rate, strata, (*(each.name for each in sampling.strata), ALL))
    if sampling.uncertainty is not None:
        found = _by_uncertainty(found, sampling, sampling.uncertainty, rows, disagreements)
    if sampling.anomalies is not None:
        found = _with_anomalies(found, sampling.anomalies, rows)
    for quota in quotas:
        found = _with_quota(found, quota, rows)
    return found


def uncertainty_of(config: Uncertainty, scores: Mapping[str, Doubles], reviewers: Doubles) -> Doubles:
    """Return the uncertainty of traces by the scores that a policy names and by `reviewers`, how far these disagree where each trace is, [0, 1]; NaN
    where nothing is known of a trace."""
    size = len(reviewers)
    unknown = np.full(size, np.nan)
    sources = [score_entropy(scores.get(name, unknown)) for name in config.entropy]
    if config.judges:
        sources.append(judge_disagreement([scores.get(name, unknown) for name in config.judges]))
    if config.reviewers:
        sources.append(reviewers)
    return np.round(uncertainty(sources), _DIGITS)


def _place(sampling: Sampling, slices: Mapping[str, str]) -> int:
    """Return the place of the first stratum that slices match; that of all the rest is after the last."""
    return next((place for place, stratum in enumerate(sampling.strata) if slices.get(stratum.slice) == stratum.value), len(sampling.strata))


def _by_uncertainty(found: Inclusions, sampling: Sampling, config: Uncertainty, rows: TraceRows, disagreements: Sequence[SliceDisagreement]) -> Inclusions:
    own = [config.mean if each.mean_uncertainty is None else each.mean_uncertainty for each in sampling.strata]
    means = np.array([*own, config.mean])[found.strata]
    doubts = uncertainty_of(config, rows.scores, disagreements_of(rows, config.reviewers, disagreements))
    probability = inclusion_probability(found.rate, doubts, mean_uncertainty=means, uniform_share=config.uniform_share)
    uniform = np.minimum(probability, found.rate * config.uniform_share)
    return replace(found, probability=probability, planned=probability, uniform=uniform)


def _with_anomalies(found: Inclusions, anomalies: Anomalies, rows: TraceRows) -> Inclusions:
    cases = edge_cases(anomalies, rows)
    anomalous = cases >= 0
    rate = np.where(anomalous, np.array([anomalies.rate_of(case) for case in EdgeCase])[cases], found.rate)
    probability = np.where(anomalous, rate, found.probability)
    return Inclusions(
        probability=probability,
        uniform=np.where(anomalous, 0.0, found.uniform),
        planned=probability,
        anomalous=anomalous,
        rate=rate,
        strata=np.where(anomalous, cases + len(found.names), found.strata),
        names=(*found.names, *(f"anomaly:{case}" for case in EdgeCase)),
    )


def _with_quota(found: Inclusions, quota: ReviewQuota, rows: TraceRows) -> Inclusions:
    matching = np.array([in_slice(quota, slices) for slices in rows.slice_values], np.bool_)[rows.slices.codes]
    open_for = matching & within(quota, rows.occurred_at)
    above = open_for & (quota.rate > found.rate)
    return replace(
        found,
        probability=np.where(open_for, np.maximum(found.probability, quota.rate), found.probability),
        rate=np.where(above, quota.rate, found.rate),
        strata=np.where(above, len(found.names), found.strata),
        names=(*found.names, f"alarm:{quota.slice}"),
    )
