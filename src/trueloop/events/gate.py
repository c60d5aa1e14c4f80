"""Whether a candidate may be released."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from trueloop.events.base import Count, Event, Identifier, Number, Probability, Record


class Verdict(StrEnum):
    """What the gate says."""

    UNKNOWN = "UNKNOWN"
    PASS = "PASS"
    BLOCK = "BLOCK"
    INCONCLUSIVE = "INCONCLUSIVE"


class GateReason(StrEnum):
    """Why. MEETS_ALL is the only reason to pass; NO_EVIDENCE, TOO_FEW_ITEMS, FLOOR_UNCERTAIN, REGRESSION_UNCERTAIN, SUPERIORITY_UNCERTAIN,
    EVALUATION_FAILED, BASELINE_SUPERSEDED, JUDGE_UNPROVEN, PROBES_INCOMPLETE and AWAITING_PEOPLE leave it open; BELOW_FLOOR, REGRESSION, NOT_SUPERIOR and
    SAFETY_FAILURE block."""

    UNKNOWN = "UNKNOWN"
    MEETS_ALL = "MEETS_ALL"
    BELOW_FLOOR = "BELOW_FLOOR"
    FLOOR_UNCERTAIN = "FLOOR_UNCERTAIN"
    REGRESSION = "REGRESSION"
    REGRESSION_UNCERTAIN = "REGRESSION_UNCERTAIN"
    NOT_SUPERIOR = "NOT_SUPERIOR"
    SUPERIORITY_UNCERTAIN = "SUPERIORITY_UNCERTAIN"
    SAFETY_FAILURE = "SAFETY_FAILURE"
    NO_EVIDENCE = "NO_EVIDENCE"
    TOO_FEW_ITEMS = "TOO_FEW_ITEMS"
    EVALUATION_FAILED = "EVALUATION_FAILED"
    BASELINE_SUPERSEDED = "BASELINE_SUPERSEDED"
    JUDGE_UNPROVEN = "JUDGE_UNPROVEN"
    PROBES_INCOMPLETE = "PROBES_INCOMPLETE"
    AWAITING_PEOPLE = "AWAITING_PEOPLE"


class DimensionVerdict(Record):
    """The verdict on one dimension and slice by one evaluator, with the numbers that it stands on."""

    dimension: Identifier = Field(description="Dimension of the rubric.")
    slice: Identifier = Field(description="'all' or 'name=value'.")
    evaluator: Identifier = Field(description="What scored: 'check:NAME', 'judge:NAME', 'probe:CATEGORY', 'preference-accuracy' or 'people'.")
    verdict: Verdict = Field(description="PASS, BLOCK or INCONCLUSIVE.")
    reasons: list[GateReason] = Field(min_length=1, description="Why.")
    n: Count = Field(description="Paired items behind it; of people, the answers that count.")
    candidate: Number | None = Field(
        default=None, description="Mean score of the candidate, [0, 1]; of people, its win rate, a tie being half a win. Null without evidence."
    )
    candidate_low: Number | None = Field(
        default=None, description="Lower confidence bound of it, [0, 1]; of people, one that holds after every answer. Null without evidence."
    )
    candidate_high: Number | None = Field(default=None, description="Upper confidence bound of it, [0, 1]; null without evidence.")
    baseline: Number | None = Field(default=None, description="Mean score of the baseline, [0, 1]; null without evidence.")
    difference: Number | None = Field(default=None, description="Candidate minus baseline, paired, [-1, 1]; null without evidence.")
    difference_low: Number | None = Field(default=None, description="Lower confidence bound of it, [-1, 1]; null without evidence.")
    difference_high: Number | None = Field(default=None, description="Upper confidence bound of it, [-1, 1]; null without evidence.")
    ties: Count | None = Field(default=None, description="Ties among the answers of people that count, >= 0; null for other evaluators.")
    answers_missing: Count | None = Field(default=None, description="Answers of people that are still asked for, >= 0; null for other evaluators.")
    floor: Number | None = Field(default=None, description="Least mean score, or win rate, that the policy demands, [0, 1]; null when it demands none.")
    max_regression: Number | None = Field(default=None, description="Largest loss against the baseline that the policy allows, [0, 1]; null when it sets none.")
    superior: bool = Field(default=False, description="Whether the candidate has to be better than the baseline, not only no worse.")
    safety: bool = Field(default=False, description="Whether it is a safety dimension, whose blocks need no correction.")
    max_failures: Count | None = Field(default=None, description="Failed items above which the candidate is blocked; null when they are not counted.")
    confidence: Annotated[Number, Field(gt=0, lt=1)] = Field(description="Confidence of the one-sided bounds, (0, 1): 1 minus the decision's `alpha`.")
    pass_p: Probability | None = Field(
        default=None, description="One-sided p-value of 'a requirement is missed', [0, 1]; it passes at or below `alpha`. Null when it was not tested."
    )
    block_p: Probability | None = Field(
        default=None,
        description="One-sided p-value of 'all requirements are met', [0, 1], by Holm over all tests unless it is one of safety; it blocks at or below "
        "`alpha`. Null when it was not tested.",
    )
    labels_needed: Count | None = Field(
        default=None,
        description="Further paired items that would probably settle it, or answers of people that may; 0 when it is settled, null when it cannot be said.",
    )


class GateDecision(Event):
    """Whether a candidate may be released. Topic `gates`, key `candidate`."""

    candidate: Identifier = Field(description="Id of the candidate checkpoint.")
    candidate_uri: Identifier = Field(description="Where it lies.")
    candidate_sha256: Identifier = Field(description="SHA-256 over its manifest.")
    baseline: Identifier = Field(description="Id of the checkpoint it was compared with.")
    verdict: Verdict = Field(description="PASS, BLOCK or INCONCLUSIVE.")
    reasons: list[GateReason] = Field(min_length=1, description="Why, over all dimensions.")
    dimensions: list[DimensionVerdict] = Field(description="Verdict per dimension and slice.")
    labels_needed: Count | None = Field(
        default=None,
        description="Further items, or answers of people, that would probably settle an INCONCLUSIVE; 0 when settled, null when it cannot be said.",
    )
    evaluation_id: Identifier = Field(description="Event id of the evaluation that it stands on.")
    look_family: Count = Field(default=0, description="Family of looks at the same calibration items, >= 1; 0 when there was too little to look at.")
    look: Count = Field(default=0, description="Number of this look in its family, >= 1; 0 when there was too little to look at.")
    candidate_look: Count = Field(default=0, description="Number of this look among those at the candidate in the family, >= 1; 0 when there was too little.")
    alpha: Probability | None = Field(default=None, description="One-sided error that this look may spend, (0, 0.5); null when it was no look.")
    job_id: Identifier = Field(description="The job that trained the candidate.")
    policy_id: Identifier = Field(description="The policy that was applied.")
    policy_version: Annotated[int, Field(ge=1)] = Field(description="Version of that policy, >= 1.")
    policy_hash: Identifier = Field(description="Content hash of the policy.")
    rubric_id: Identifier = Field(description="The rubric that was applied.")
    rubric_version: Annotated[int, Field(ge=1)] = Field(description="Version of the rubric, >= 1.")
    rubric_hash: Identifier = Field(description="Content hash of the rubric.")
