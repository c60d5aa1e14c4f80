"""How reliable a reviewer is."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from trueloop.events.base import Count, Event, Identifier, Number, Probability, Record


class ReviewerStatus(StrEnum):
    """What a reviewer may do."""

    UNKNOWN = "UNKNOWN"
    ONBOARDING = "ONBOARDING"
    ACTIVE = "ACTIVE"
    WATCH = "WATCH"
    QUARANTINED = "QUARANTINED"


class ReviewerReason(StrEnum):
    """Why a reviewer's status is not ACTIVE, or why it should be looked at."""

    UNKNOWN = "UNKNOWN"
    ONBOARDING_PENDING = "ONBOARDING_PENDING"
    ONBOARDING_FAILED = "ONBOARDING_FAILED"
    GOLD_BELOW_QUARANTINE = "GOLD_BELOW_QUARANTINE"
    GOLD_BELOW_WATCH = "GOLD_BELOW_WATCH"
    TOO_FAST = "TOO_FAST"
    PREFERS_PLACE = "PREFERS_PLACE"
    DRIFTED = "DRIFTED"
    SHARED_ERRORS = "SHARED_ERRORS"


class DimensionReliability(Record):
    """How reliable a reviewer is on one dimension: a Beta posterior that forgets, gold items, and Dawid and Skene's model."""

    dimension: Identifier = Field(description="Dimension of the rubric, 'preference:NAME' for preferences on it, or 'overall'.")
    alpha: Annotated[Number, Field(gt=0)] = Field(description="First parameter of the Beta posterior of the chance to be right, > 0.")
    beta: Annotated[Number, Field(gt=0)] = Field(description="Second parameter of the Beta posterior, > 0; alpha / (alpha + beta) is its mean.")
    ci_low: Probability | None = Field(default=None, description="Lower 95 % credible bound of the chance to be right, [0, 1].")
    ci_high: Probability | None = Field(default=None, description="Upper 95 % credible bound of the chance to be right, [0, 1].")
    n_judgements: Count = Field(default=0, description="Labels that the posterior stands on, however old.")
    n_gold: Count = Field(default=0, description="Gold items answered on this dimension.")
    gold_correct: Annotated[Number, Field(ge=0)] = Field(default=0.0, description="Sum over them of the share answered right, [0, n_gold].")
    em_accuracy: Probability | None = Field(
        default=None, description="Chance to be right by Dawid and Skene's model, [0, 1], as of the reviewer's last label; null before the first fit."
    )
    em_labels: Count = Field(default=0, description="Labels of the reviewer that the model was fitted to.")


class ReviewerQuality(Event):
    """How reliable a reviewer is. Compacted topic `reviewers`, key application and reviewer; the newest event of a reviewer counts."""

    reviewer_id: Identifier = Field(description="Pseudonym of the reviewer.")
    status: ReviewerStatus = Field(description="ONBOARDING, ACTIVE, WATCH or QUARANTINED.")
    reasons: list[ReviewerReason] = Field(default_factory=list, description="Why the status is not ACTIVE, or should be looked at; empty for none.")
    weight: Probability = Field(default=1.0, description="What the reviewer's votes count, [0, 1]; 0 in onboarding and quarantine.")
    routes: list[str] = Field(default_factory=list, description="Dimensions that the reviewer should be asked about first.")
    rubric_id: Identifier | None = Field(default=None, description="The rubric of the newest label, which `reliability` is told of; null without labels.")
    rubric_version: Annotated[int, Field(ge=1)] | None = Field(default=None, description="Version of that rubric, >= 1; null without labels.")
    n_labels: Count = Field(description="Labels that count: not retracted, superseded or refused, and not older than the policy keeps.")
    n_gold: Count = Field(description="Gold items answered.")
    gold_correct: Annotated[Number, Field(ge=0)] = Field(description="Sum over gold items of the share answered right, [0, n_gold].")
    gold_low: Probability | None = Field(default=None, description="Lower 95 % credible bound of the accuracy on gold items, [0, 1]; null without any.")
    gold_high: Probability | None = Field(default=None, description="Upper 95 % credible bound of the accuracy on gold items, [0, 1]; null without any.")
    onboarding_left: Count | None = Field(default=None, description="Onboarding items still to be answered; null when the policy has no onboarding.")
    median_seconds: Annotated[Number, Field(ge=0)] | None = Field(default=None, description="Median active time per task, seconds; null when not measured.")
    fast_share: Probability | None = Field(default=None, description="Share of tasks that were answered too fast, [0, 1]; null when not measured.")
    first_share: Probability | None = Field(
        default=None, description="Share of preferences, ties left out, for what was shown first, [0, 1]; null without preferences."
    )
    n_preferences: Count = Field(default=0, description="Preferences that are no tie, one per label, >= 0.")
    drift_log_e: Number | None = Field(
        default=None, description="Natural logarithm of the e-statistic of the reviewer's drift, any finite number; null before the reference is full."
    )
    same_errors: list[str] = Field(default_factory=list, description="Reviewers who make the same errors, beyond chance, as of the last fit.")
    reliability: list[DimensionReliability] = Field(default_factory=list, description="Reliability per dimension; empty without evidence.")
