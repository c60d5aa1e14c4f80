"""Whether a series has left its reference."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from trueloop.events.base import Count, Event, Identifier, Number, Probability, Record, Timestamp


class DriftState(StrEnum):
    """What a detector says of its series."""

    UNKNOWN = "UNKNOWN"
    NO_DATA = "NO_DATA"
    OK = "OK"
    WARNING = "WARNING"
    ALARM = "ALARM"


class DriftSignal(Event):
    """What a detector, or a statistic that describes, says of a series. Topic `drift`, key `series_id`.

    A detector of losses has an e-value and a threshold, and may alarm. A statistic of a distribution (latency, tokens, lengths, embeddings) has a
    value and a band, and never says more than WARNING.
    """

    series_id: Identifier = Field(description="The series: application, metric, slice and rubric version.")
    metric: Identifier = Field(
        description="A loss: 'dimension:NAME', 'disagreement:NAME', 'judge-gap:NAME', 'score:NAME', 'error', 'refusal', 'limit:...'; or a distribution: "
        "'latency_ms', 'prompt_tokens', 'completion_tokens', 'completion_chars', 'embedding'."
    )
    slice: Identifier = Field(description="'all' or 'name=value'.")
    detector: Identifier = Field(description="Name of the detector or statistic.")
    state: DriftState = Field(description="NO_DATA, OK, WARNING or ALARM.")
    log_e_value: Number | None = Field(
        default=None, description="Natural logarithm of the detector's e-statistic, any finite number; null before the reference is full."
    )
    threshold: Number | None = Field(default=None, description="Value of `log_e_value` at which it alarms, in its unit (natural logarithm).")
    arl_target: Annotated[Number, Field(gt=0)] | None = Field(default=None, description="Declared average number of observations between false alarms, > 0.")
    n_reference: Count = Field(description="Observations in the reference, >= 0.")
    reference_mean: Probability | None = Field(default=None, description="Mean loss of the reference, [0, 1]; null without one.")
    n_current: Count = Field(description="Observations since the reference was full or the detector restarted, or in the window; >= 0.")
    current_mean: Probability | None = Field(default=None, description="Mean loss of those, [0, 1]; null without any.")
    checkpoint: str | None = Field(default=None, description="Serving checkpoint of the newest observation; null when unknown.")
    evidence_trace_ids: list[str] = Field(default_factory=list, description="Newest traces with the largest losses, at most 20.")
    n_observed: Count = Field(default=0, description="Observations of the series so far, >= 0: of two signals the one with more is the newer.")
    reference_number: Count = Field(default=0, description="Which window of the series the reference is, >= 1; 0 without one.")
    reference_checkpoints: list[str] = Field(default_factory=list, description="Checkpoints that answered in the reference, as far as they are known.")
    reference_from: Timestamp | None = Field(default=None, description="Event time of the batch that began the reference, UTC; null without one.")
    reference_to: Timestamp | None = Field(default=None, description="Event time of the batch that filled the reference, UTC; null without one.")
    log_e_window: Number | None = Field(
        default=None,
        description="Natural logarithm of the e-value of the last full window of `n_window` losses, any finite number, for `drift-families`; null before one.",
    )
    n_window: Count = Field(default=0, description="Losses in that window, >= 0.")
    value: Number | None = Field(
        default=None, description="What the statistic is, any finite number in its own unit (nats, bits, that of the metric, a cosine); null of a detector."
    )
    band_low: Number | None = Field(default=None, description="Least value that is no warning, any finite number like `value`; null when low values are none.")
    band_high: Number | None = Field(
        default=None, description="Largest value that is no warning, any finite number like `value`; null when high values are none."
    )
    false_warning_rate: Probability | None = Field(
        default=None, description="Probability of a value outside the band when nothing has changed, [0, 1]; null when nobody knows it."
    )
    undefined: str | None = Field(default=None, description="Why there is no value; null when there is one, and of a detector.")


class DriftingSeries(Record):
    """A series that has drifted."""

    series_id: Identifier = Field(description="The series.")
    metric: Identifier = Field(description="Its metric.")
    slice: Identifier = Field(description="'all' or 'name=value'.")
    log_e_value: Number = Field(description="Natural logarithm of the e-value of its last full window, any finite number.")
    n: Count = Field(description="Losses in that window, >= 1.")


class DriftFamily(Event):
    """Which series of an application have drifted together, with their false discovery rate controlled. Topic `drift-families`, key `application`.

    Told whenever the rejected series change.
    """

    family: Identifier = Field(description="Which series were looked at together: 'losses' for all series of losses of the application.")
    fdr: Probability = Field(description="Expected share of false ones among the rejected that is allowed, (0, 1).")
    n_series: Count = Field(description="Series that were looked at, those without a full window among them, >= 0.")
    rejected: list[DriftingSeries] = Field(default_factory=list, description="The series that have drifted, the largest e-value first.")
    log_threshold: Number | None = Field(
        default=None, description="Natural logarithm of the e-value that sufficed, any finite number; null when nothing was found."
    )
    n_observed: Count = Field(default=0, description="Losses of all these series so far, >= 0.")
    arl_target: Annotated[Number, Field(gt=0)] | None = Field(
        default=None, description="Declared losses per false alarm, > 0: of `n_observed` losses at most `n_observed` / `arl_target` false alarms are expected."
    )
