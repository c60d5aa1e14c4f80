"""Scores of a candidate and its baseline on the held-out calibration set."""

from typing import Annotated

from pydantic import Field, model_validator

from trueloop.events.base import Count, Event, Identifier, Number, Record


class PairedScores(Record):
    """Sufficient statistics of paired scores of candidate and baseline on one dimension and slice.

    Scores lie in [0, 1]. For scores of 0 or 1 the four cells of the 2 x 2 table follow from the sums.
    """

    dimension: Identifier = Field(description="Dimension of the rubric.")
    slice: Identifier = Field(description="'all' or 'name=value'.")
    evaluator: Identifier = Field(description="What scored, such as 'check:billing-support' or 'preference-accuracy'.")
    n: Count = Field(description="Items that both were scored on.")
    binary: bool = Field(description="Whether every score was 0 or 1.")
    sum_candidate: Annotated[Number, Field(ge=0)] = Field(description="Sum of the candidate's scores, [0, n].")
    sum_baseline: Annotated[Number, Field(ge=0)] = Field(description="Sum of the baseline's scores, [0, n].")
    sum_candidate_squares: Annotated[Number, Field(ge=0)] = Field(description="Sum of the candidate's squared scores, [0, n].")
    sum_baseline_squares: Annotated[Number, Field(ge=0)] = Field(description="Sum of the baseline's squared scores, [0, n].")
    sum_products: Annotated[Number, Field(ge=0)] = Field(description="Sum of the products of the two scores of an item, [0, n].")

    @model_validator(mode="after")
    def _within_bounds(self) -> "PairedScores":
        if max(self.sum_candidate, self.sum_baseline) > self.n + 1e-9:
            raise ValueError(f"scores sum to more than their number {self.n}; each must lie in [0, 1]")
        return self


class Evaluation(Event):
    """Scores of a candidate and its baseline on the held-out calibration set. Topic `evaluations`, key `candidate`."""

    candidate: Identifier = Field(description="Id of the candidate checkpoint.")
    candidate_uri: Identifier = Field(description="Where it lies.")
    candidate_sha256: Identifier = Field(description="SHA-256 over its manifest.")
    baseline: Identifier = Field(description="Id of the baseline checkpoint: what served when training was triggered.")
    job_id: Identifier = Field(description="The job that trained the candidate.")
    policy_id: Identifier = Field(description="The policy that fixed evaluators and decoding.")
    policy_version: Annotated[int, Field(ge=1)] = Field(description="Version of that policy, >= 1.")
    rubric_id: Identifier = Field(description="The rubric whose dimensions were scored.")
    rubric_version: Annotated[int, Field(ge=1)] = Field(description="Version of the rubric, >= 1.")
    calibration_version: Count = Field(description="Version of the calibration set, >= 0; 0 when there was no item yet.")
    calibration_hash: Identifier = Field(description="Content hash of the calibration set.")
    calibration_new: Count = Field(default=0, description="Items that this version of the set brought, >= 0; 0 when the version was not new.")
    n_items: Count = Field(description="Items of the calibration set.")
    decoding: str = Field(description="Decoding parameters, canonical JSON; the same for candidate and baseline.")
    scores: list[PairedScores] = Field(description="One entry per dimension and slice that has evidence.")
    seconds: Annotated[Number, Field(ge=0)] = Field(description="Wall time of the evaluation, seconds.")
    error: str | None = Field(default=None, description="Why there are no scores; null when the evaluation ran.")
