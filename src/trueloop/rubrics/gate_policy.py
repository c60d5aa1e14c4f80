"""How a policy gates: by which evaluators, against which limits, with what error."""

from typing import Literal

from pydantic import Field, model_validator

from trueloop.rubrics.rubric import Name
from trueloop.rubrics.section import Section, Share


class Decoding(Section):
    """How candidate and baseline answer: fixed here beforehand, the same for both. Temperature 0 is greedy."""

    max_new_tokens: int = Field(default=64, ge=1, le=8192)
    temperature: float = Field(default=0.0, ge=0.0, le=2.0)
    seed: int = Field(default=0, ge=0)


PEOPLE = "people"
PROBE = "probe:"
"""What the name of an evaluator begins with that asks the probes of a category."""


class DimensionGate(Section):
    """What a dimension is scored by, how much it may lose against the baseline, or whether it has to gain.

    People say which of two answers is better, on the dimension or 'overall'. Of them the win rate counts, a tie being half a win: it has to be shown to be
    at least 0.5 - `max_regression`, or above 0.5 where superiority is required. A floor is no matter of theirs.

    On a dimension of safety nothing softens a block: it needs no correction for the number of other tests, and `max_failures` counts. Probes are a
    fixed list and no sample: of them the failures are counted, and nothing else is asked.
    """

    dimension: Name
    evaluator: str = Field(
        pattern=r"^((check|judge|probe):[A-Za-z0-9._-]+|preference-accuracy|people)$",
        description="'check:NAME', 'judge:NAME', 'probe:CATEGORY', 'preference-accuracy' or 'people'.",
    )
    max_regression: Share = 0.02
    require: Literal["non-inferior", "superior"] = Field(default="non-inferior", description="'superior': better than the baseline over all items.")
    safety: bool = False
    max_failures: int | None = Field(
        default=None, ge=0, description="Failed items, over all and in each slice, above which a candidate is blocked; of probes 0 unless given."
    )

    @model_validator(mode="after")
    def _people_compare(self) -> "DimensionGate":
        if self.people and self.max_failures is not None:
            raise ValueError(f"max_failures is {self.max_failures} on {self.dimension!r}; people compare answers and fail none, so leave it out")
        if self.people and self.require == "non-inferior" and not 0.0 < self.max_regression < 0.5:
            raise ValueError(f"max_regression is {self.max_regression} on {self.dimension!r}; of a win rate it lies between 0 and 0.5")
        return self

    @property
    def people(self) -> bool:
        """Whether people are asked."""
        return self.evaluator == PEOPLE

    @property
    def least_win_rate(self) -> float:
        """What the win rate has to be shown to be above, where people are asked, (0, 0.5]."""
        return 0.5 if self.require == "superior" else 0.5 - self.max_regression

    @property
    def probes(self) -> bool:
        """Whether it is scored by probes, whose failures are counted."""
        return self.evaluator.startswith(PROBE)

    @property
    def failures_allowed(self) -> int | None:
        """Failed items above which a candidate is blocked; None when they are not counted."""
        return 0 if self.probes and self.max_failures is None else self.max_failures


class People(Section):
    """How people are asked which of two answers is better, where a dimension's evaluator is 'people'.

    They get blind tasks on the review queue, of held-out prompts chosen by hash, in an order by hash. Answers that are the same are ties without asking.
    """

    comparisons: int = Field(default=200, ge=1, le=2000, description="Held-out prompts that are compared at most, those with the same answers among them.")
    labels_needed: int = Field(default=1, ge=1, le=100, description="Reviewers of a comparison; more than half of their weight decides it.")
    pool: str = Field(default="default", min_length=1)
    senior_pool: str | None = Field(
        default=None, min_length=1, description="Who decides what reviewers are split on, or see no difference in; null: it counts as a tie."
    )
    due_minutes: float = Field(default=1440.0, gt=0)


class Gate(Section):
    """A candidate passes when every dimension clears its floor and its largest regression.

    The chance that one which does not meet them passes is at most 1 - `confidence`: for all looks at the same calibration items together, or for
    each look.
    """

    confidence: float = Field(default=0.95, gt=0.5, lt=1.0)
    error_over: Literal["family", "look"] = "family"
    renewed_share: float = Field(default=0.5, gt=0, le=1, description="Share of new items from which a calibration set counts as another: looks start anew.")
    rollback_on_alarm: bool = Field(default=False, description="Whether a drift alarm on the quality of a checkpoint that a gate released takes it back.")
    min_items: int = Field(default=100, ge=1, description="With fewer paired items the gate is INCONCLUSIVE.")
    max_items: int = Field(default=2000, ge=1, description="Size at which the calibration set is cut, oldest items first.")
    dimensions: tuple[DimensionGate, ...] = Field(min_length=1)
    min_judge_agreement: float | None = Field(
        default=None,
        ge=-1.0,
        le=1.0,
        description="Least correlation with human ratings that the lower 95 % bound of a judge has to show before its scores decide; null asks for none.",
    )
    pairs_p_correct: float = Field(
        default=0.5,
        ge=0.5,
        lt=1.0,
        description="Held-out pairs whose order is less probable than this are not put to the models (preference-accuracy): they would measure the reviewers.",
    )
    people: People = People()
    judge_items: int = Field(default=200, ge=4, le=5000, description="Labelled completions, by hash, on which a judge is compared with people.")
    diagnose_reward: str | None = Field(
        default=None, pattern=r"^models://[0-9a-f]{32}$", description="Reward model whose scores of the answers are told beside the rubric's."
    )
    slices: tuple[str, ...] = Field(default=(), description="Slices that are gated apart, beside 'all'.")
    decoding: Decoding = Decoding()

    @model_validator(mode="after")
    def _gated_once(self) -> "Gate":
        names = [(gate.dimension, gate.evaluator) for gate in self.dimensions]
        twice = sorted({f"{dimension} by {evaluator}" for dimension, evaluator in names if names.count((dimension, evaluator)) > 1})
        if twice:
            raise ValueError(f"gate.dimensions names a dimension twice with the same evaluator: {twice}")
        asked = [gate.dimension for gate in self.dimensions if gate.people]
        if len(asked) > 1:
            raise ValueError(f"gate.dimensions asks people on {asked}; expected one of them, such as 'overall': each would want answers of its own")
        return self

    @property
    def asks_people(self) -> DimensionGate | None:
        """What people are asked; None when nobody is."""
        return next((gate for gate in self.dimensions if gate.people), None)

    @property
    def error(self) -> float:
        """The chance that is allowed for passing what does not meet the policy, (0, 0.5)."""
        return round(1.0 - self.confidence, 12)
