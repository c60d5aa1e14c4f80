"""How an application samples its traces, and what it holds out."""

from enum import StrEnum
from typing import Literal

from pydantic import Field, model_validator

from trueloop.events.review_task import ReviewForm
from trueloop.rubrics.section import Section, Share


class Stratum(Section):
    """Traces whose slice has this value are sampled at this rate."""

    slice: str = Field(min_length=1)
    value: str
    rate: Share
    mean_uncertainty: Share | None = Field(default=None, description="Mean uncertainty of its traces, where it is not that of all.")

    @property
    def name(self) -> str:
        """Name of the stratum as it stands on tasks."""
        return f"{self.slice}={self.value}"


class Uncertainty(Section):
    """Within a stratum the probability follows the uncertainty u of a trace: rate (f + (1 - f) u / mean u), f being `uniform_share`.

    u is the largest of the entropies of the scores `entropy`, each read as the chance that the answer is good, of the disagreement of the
    scores `judges`, and of that of reviewers on the dimensions `reviewers` in the trace's slices, each in [0, 1]. A trace that has none of them
    counts as average.
    """

    mean: float = Field(gt=0.0, le=1.0, description="Mean uncertainty of traces; `trueloop sampling plan` measures it.")
    uniform_share: float = Field(default=0.5, ge=0.2, le=1.0, description="Least share of the sample that is drawn without looking.")
    entropy: tuple[str, ...] = ()
    judges: tuple[str, ...] = ()
    reviewers: tuple[str, ...] = Field(
        default=(), description="Dimensions as agreement names them, such as 'tone' or 'overall'; its slices are those of `agreement.slices`."
    )

    @model_validator(mode="after")
    def _has_sources(self) -> "Uncertainty":
        if not self.entropy and not self.reviewers and len(self.judges) < 2:
            raise ValueError("names no source; expected a score in `entropy`, at least two in `judges`, or a dimension in `reviewers`")
        if len(self.judges) == 1:
            raise ValueError(f"judges names {self.judges[0]!r} only; expected at least two: one judge cannot disagree")
        return self


class EdgeCase(StrEnum):
    """What may be out of the ordinary about a trace."""

    FAILED = "FAILED"
    """The request failed, and yet left an answer."""
    EMPTY_ANSWER = "EMPTY_ANSWER"
    """The answer has no token, though the request did not fail."""
    SLOW = "SLOW"
    LONG_PROMPT = "LONG_PROMPT"
    LONG_ANSWER = "LONG_ANSWER"
    LOW_SCORE = "LOW_SCORE"
    RARE_SLICE = "RARE_SLICE"
    """A value that its slice seldom has, or never had."""


class Anomalies(Section):
    """Traces out of the ordinary are strata of their own, 'anomaly:SLOW' and so on, by the first case that holds; they come before all slices.

    What is not set is not looked at.
    """

    rate: Share
    rates: dict[EdgeCase, Share] = Field(default_factory=dict, description="For cases that have another rate.")
    failed: bool = Field(default=False, description="Whether a request that failed and yet left an answer is one; without this, none that failed is reviewed.")
    empty_answer: bool = Field(default=False, description="Whether an answer of no tokens is one.")
    latency_ms: float | None = Field(default=None, gt=0, description="Longest time to the full answer that is ordinary, milliseconds.")
    prompt_tokens: int | None = Field(default=None, ge=1, description="Longest prompt.")
    completion_tokens: int | None = Field(default=None, ge=1, description="Longest answer.")
    scores: dict[str, Share] = Field(default_factory=dict, description="Score name to the least that is ordinary.")
    common: dict[str, tuple[str, ...]] = Field(default_factory=dict, description="Slice name to its common values; other values are rare.")

    def looks_for(self, case: EdgeCase) -> bool:
        """Return whether the policy looks for this case."""
        limits = {
            EdgeCase.FAILED: self.failed,
            EdgeCase.EMPTY_ANSWER: self.empty_answer,
            EdgeCase.SLOW: self.latency_ms,
            EdgeCase.LONG_PROMPT: self.prompt_tokens,
            EdgeCase.LONG_ANSWER: self.completion_tokens,
            EdgeCase.LOW_SCORE: self.scores,
            EdgeCase.RARE_SLICE: self.common,
        }
        return bool(limits[case])

    def rate_of(self, case: EdgeCase) -> float:
        """Return the rate of traces of this case."""
        return self.rates.get(case, self.rate)


class Sampling(Section):
    """A trace is queued when hash(salt, trace id) < rate of the first stratum that it matches, else < `rate`.

    `uncertainty` shifts the probabilities within these strata, `anomalies` adds strata; review quotas of alarms raise them for a time.
    """

    form: Literal[ReviewForm.RATING, ReviewForm.PAIRWISE, ReviewForm.SPAN, ReviewForm.REWRITE] = ReviewForm.RATING
    rate: Share = Field(description="Inclusion probability of traces that match no stratum.")
    strata: tuple[Stratum, ...] = ()
    uncertainty: Uncertainty | None = None
    anomalies: Anomalies | None = None
    salt: str = Field(default="1", min_length=1, description="Change it to draw another sample.")
    labels_needed: int = Field(default=3, ge=1, le=100)
    pool: str = Field(default="default", min_length=1)
    due_minutes: float = Field(default=1440.0, gt=0)
    appeal_form: Literal[ReviewForm.RATING, ReviewForm.SPAN, ReviewForm.REWRITE] = Field(
        default=ReviewForm.RATING, description="What the re-review of an appeal asks for; only edits and rewrites give pairs."
    )
    calibration_share: Share = Field(default=0.2, description="Share of prompts, by hash, that is held out for evaluation and never trained on.")
    split_by: str = Field(
        default="prompt",
        pattern=r"^(prompt|template|conversation|slice:.+)$",
        description="What is held out together: equal prompts; those that differ in numbers, case and white space only ('template'); turns of one "
        "conversation; or what has one value of a slice ('slice:NAME').",
    )
    review_calibration: bool = Field(default=True, description="Whether held-out prompts are put before reviewers too.")
    max_text_chars: int = Field(default=200_000, ge=1, description="Longer prompts plus completions are dead-lettered, not shown to people.")
