"""How good what is served is, by people's labels and with a judge's help."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from trueloop.events.agreement import WindowKind
from trueloop.events.base import Count, Event, Identifier, Number, Probability, Timestamp


class EstimateMethod(StrEnum):
    """How `value` was estimated."""

    UNKNOWN = "UNKNOWN"
    HAJEK = "HAJEK"
    """From labels only: Hajek's weighted mean."""
    PREDICTION_POWERED = "PREDICTION_POWERED"
    """With the judge, by as much as it is worth: PPI++."""


class JudgeFallback(StrEnum):
    """Why the judge was not used."""

    UNKNOWN = "UNKNOWN"
    NO_JUDGE = "NO_JUDGE"
    """The policy names none for the dimension."""
    NO_PREDICTIONS = "NO_PREDICTIONS"
    """It says nothing, or the same of everything."""
    TOO_FEW_LABELS = "TOO_FEW_LABELS"
    """There are too few labelled clusters to know what it is worth."""
    NOT_EARNED = "NOT_EARNED"
    """It does not go along with the labels, beyond what chance would give."""


class NoEstimate(StrEnum):
    """Why an estimate has no value, or no interval."""

    UNKNOWN = "UNKNOWN"
    NO_LABELS = "NO_LABELS"
    NO_VARIATION = "NO_VARIATION"
    ONE_CLUSTER = "ONE_CLUSTER"
    TOO_FEW = "TOO_FEW"


Slope = Number | None


class QualityEstimate(Event):
    """Mean quality of what was served, on one dimension and slice in one window. Topic `estimates`, key `series_id`. No evidence is null, never 0.

    Quality is the rating as a share of the dimension's scale. Each labelled trace counts by the inverse of the probability with which it was sampled;
    appeals never enter. Intervals have a confidence of 95 % and treat subjects as what was sampled, where traces name them.
    """

    series_id: Identifier = Field(description="The series: application, dimension, slice, rubric and version.")
    dimension: Identifier = Field(description="Dimension of the rubric.")
    slice: Identifier = Field(description="'all' or 'name=value'.")
    rubric_id: Identifier = Field(description="The rubric that was applied.")
    rubric_version: Annotated[int, Field(ge=1)] = Field(description="Version of the rubric, >= 1.")
    window_kind: WindowKind = Field(description="ROLLING for the newest state of the series, PANE for one of its panes.")
    window_start: Timestamp = Field(description="Start of the window, inclusive, UTC; by the time of the traces.")
    window_end: Timestamp = Field(description="End of the window, exclusive, UTC.")
    n_labelled: Count = Field(description="Labelled traces, >= 0.")
    n_clusters: Count = Field(
        description="Different subjects or conversations (policy: `estimates.cluster_by`) among them; a trace without any is one of its own, >= 0."
    )
    n_judged: Count = Field(default=0, description="Traces that the judge scored, labelled or not, >= 0.")
    method: EstimateMethod = Field(description="HAJEK or PREDICTION_POWERED: what `value` is.")
    value: Probability | None = Field(default=None, description="Mean quality, [0, 1]; null without labels.")
    low: Probability | None = Field(default=None, description="Lower 95 % bound of the value, [0, 1]; null when not estimated.")
    high: Probability | None = Field(default=None, description="Upper 95 % bound of the value, [0, 1]; null when not estimated.")
    std_error: Annotated[Number, Field(ge=0)] | None = Field(default=None, description="Standard error of the value, >= 0; null when not estimated.")
    undefined: NoEstimate | None = Field(default=None, description="Why the value, or else its interval, is null; null when both are there.")
    hajek: Probability | None = Field(default=None, description="Hajek's estimate, from labels only, [0, 1]; null without labels.")
    hajek_low: Probability | None = Field(default=None, description="Lower 95 % bound of it, [0, 1]; null when not estimated.")
    hajek_high: Probability | None = Field(default=None, description="Upper 95 % bound of it, [0, 1]; null when not estimated.")
    aipw: Probability | None = Field(default=None, description="AIPW estimate: the judge trusted fully, [0, 1]; null without labels or judge.")
    aipw_low: Probability | None = Field(default=None, description="Lower 95 % bound of it, [0, 1]; null when not estimated.")
    aipw_high: Probability | None = Field(default=None, description="Upper 95 % bound of it, [0, 1]; null when not estimated.")
    judge: str | None = Field(default=None, description="Name of the judge's score; null when the policy names none.")
    judge_mean: Probability | None = Field(default=None, description="Mean score of the judge over all traces that it scored, [0, 1]; null without any.")
    trust: Number = Field(default=0.0, description="How far the judge was trusted: lambda of PPI++, any finite number; 0 when it was not used.")
    fallback: JudgeFallback | None = Field(default=None, description="Why the judge was not used; null when it was.")
    correlation: Annotated[float, Field(ge=-1.0, le=1.0)] | None = Field(
        default=None, description="Pearson's correlation of labels and judge over all traces, [-1, 1]; null when undefined."
    )
    correlation_low: Annotated[float, Field(ge=-1.0, le=1.0)] | None = Field(
        default=None, description="Lower 95 % bound of it, [-1, 1]; null when not estimated."
    )
    correlation_high: Annotated[float, Field(ge=-1.0, le=1.0)] | None = Field(
        default=None, description="Upper 95 % bound of it, [-1, 1]; null when not estimated."
    )
    severity: Annotated[float, Field(ge=-1.0, le=1.0)] | None = Field(
        default=None, description="Mean of label less score, [-1, 1]: above 0 for a judge that is too severe; null without labels that have a score."
    )
    severity_low: Slope = Field(default=None, description="Lower 95 % bound of it, any finite number; null when not estimated.")
    severity_high: Slope = Field(default=None, description="Upper 95 % bound of it, any finite number; null when not estimated.")
    slope: Slope = Field(default=None, description="Slope of label on score: 1 for a calibrated judge, any finite number; null when undefined.")
    slope_low: Slope = Field(default=None, description="Lower 95 % bound of it, any finite number; null when not estimated.")
    slope_high: Slope = Field(default=None, description="Upper 95 % bound of it, any finite number; null when not estimated.")
