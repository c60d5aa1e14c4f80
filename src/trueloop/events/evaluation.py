"""Scores of a candidate and its baseline on the held-out calibration set."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, model_validator

from trueloop.events.base import Count, Event, Identifier, Number, Record


class PairedScores(Record):
    """Sufficient statistics of paired scores of candidate and baseline on one dimension and slice.

    Scores lie in [0, 1]. For scores of 0 or 1 the four cells of the 2 x 2 table follow from the sums.
    """

    dimension: Identifier = Field(description="Dimension of the rubric.")
    slice: Identifier = Field(description="'all' or 'name=value'.")
    evaluator: Identifier = Field(description="What scored: 'check:NAME', 'judge:NAME', 'probe:CATEGORY' or 'preference-accuracy'.")
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


class EvaluatorEvidence(Record):
    """What an evaluator was asked on a dimension, what it left unanswered, and how far it agrees with people.

    Agreement is that of a judge with the mean human rating of the same completions, both as shares of the scale; `human_agreement` is Pearson's
    correlation, because a judge that says the same of every answer agrees often and sees nothing.
    """

    dimension: Identifier = Field(description="Dimension of the rubric.")
    evaluator: Identifier = Field(description="What scored.")
    version: str | None = Field(default=None, description="Fingerprint of the judge, or content hash of the probes; null for what has none.")
    n_asked: Count = Field(description="Items that candidate and baseline were to be scored on.")
    n_missing: Count = Field(default=0, description="Of those, items without a score for the one or the other, so that they are no evidence.")
    human_agreement: Number | None = Field(
        default=None, description="Correlation with human ratings, [-1, 1]; null without evidence, and for what is no judge."
    )
    human_agreement_low: Number | None = Field(default=None, description="Lower end of its 95 % interval, [-1, 1]; null without one.")
    human_agreement_high: Number | None = Field(default=None, description="Upper end of its 95 % interval, [-1, 1]; null without one.")
    human_agreement_n: Count = Field(default=0, description="Number of completions that both the judge and people rated, >= 0.")
    human_ac2: Number | None = Field(
        default=None, description="Gwet's AC2, linear weights, of the judge and the mean rating on the scale, [-1, 1]; null without evidence."
    )
    human_ac2_low: Number | None = Field(default=None, description="Lower end of its 95 % interval, [-1, 1]; null without one.")
    human_ac2_high: Number | None = Field(default=None, description="Upper end of its 95 % interval, [-1, 1]; null without one.")
    human_bias: Number | None = Field(default=None, description="Mean human rating less judge's score, [-1, 1]: below 0 it is too kind; null without evidence.")
    human_undefined: str | None = Field(default=None, description="Why agreement or its interval is missing; null when nothing is.")


class DiagnosticKind(StrEnum):
    """What is counted in answers, beside their scores."""

    UNKNOWN = "UNKNOWN"
    CHARACTERS = "CHARACTERS"
    WORDS = "WORDS"
    HEDGING = "HEDGING"
    APOLOGY = "APOLOGY"
    REFUSAL = "REFUSAL"
    REPETITION = "REPETITION"
    REWARD = "REWARD"


class EvaluationWarning(StrEnum):
    """What looks like a reward that was won without the rubric. It promotes nothing and blocks nothing."""

    UNKNOWN = "UNKNOWN"
    REWARD_UP_RUBRIC_DOWN = "REWARD_UP_RUBRIC_DOWN"
    LONGER = "LONGER"
    MORE_HEDGING = "MORE_HEDGING"
    MORE_APOLOGIES = "MORE_APOLOGIES"
    MORE_REFUSALS = "MORE_REFUSALS"
    MORE_REPETITION = "MORE_REPETITION"


class Diagnostic(Record):
    """Something about the answers of candidate and baseline to the same prompts, with its paired difference."""

    kind: DiagnosticKind = Field(
        description="CHARACTERS and WORDS per answer; share of answers with HEDGING, an APOLOGY or a REFUSAL, [0, 1]; share of words in repeated "
        "three-word sequences, [0, 1]; REWARD of the named reward model."
    )
    n: Count = Field(description="Number of prompts that both answered, >= 0.")
    candidate: Number = Field(description="Mean over the candidate's answers, finite.")
    baseline: Number = Field(description="Mean over the baseline's answers, finite.")
    difference: Number = Field(description="Candidate minus baseline, paired, finite.")
    difference_low: Number | None = Field(default=None, description="Lower end of its 95 % interval, finite; null with fewer than two prompts.")
    difference_high: Number | None = Field(default=None, description="Upper end of its 95 % interval, finite; null with fewer than two prompts.")


class ItemOnTrial(Record):
    """An item of the calibration set of which people are to say which answer is better."""

    trial_id: Identifier = Field(description="The trial.")
    item_id: Identifier = Field(description="The item of the calibration set.")
    identical: bool = Field(description="Whether both gave the same answer: a tie, of which nobody is asked.")


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
    evaluators: list[EvaluatorEvidence] = Field(
        default_factory=list, description="One entry per dimension and evaluator that the policy names, those without any score too."
    )
    diagnostics: list[Diagnostic] = Field(default_factory=list, description="How the answers differ beside their scores; they decide nothing.")
    warnings: list[EvaluationWarning] = Field(default_factory=list, description="Signs of reward hacking among the diagnostics; they decide nothing.")
    trials: list[ItemOnTrial] = Field(
        default_factory=list, description="What is put before people, in the order in which answers count; empty when the policy asks none."
    )
    seconds: Annotated[Number, Field(ge=0)] = Field(description="Wall time of the evaluation, seconds.")
    error: str | None = Field(default=None, description="Why there are no scores; null when the evaluation ran.")
