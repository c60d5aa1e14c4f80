"""The policy: how an application samples, counts, judges reviewers, pairs, trains and gates. It names the rubric; the rubric does not know it."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from trueloop.events.review_task import ReviewForm
from trueloop.rubrics.rubric import Name

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RubricReference(_Document):
    """The rubric in use."""

    id: Name
    version: int = Field(ge=1)


class Stratum(_Document):
    """Traces whose slice has this value are sampled at this rate."""

    slice: str = Field(min_length=1)
    value: str
    rate: Share

    @property
    def name(self) -> str:
        """Name of the stratum as it stands on tasks."""
        return f"{self.slice}={self.value}"


class Sampling(_Document):
    """A trace is queued when hash(salt, trace id) < rate of the first stratum that it matches, else < `rate`."""

    form: Literal[ReviewForm.RATING, ReviewForm.PAIRWISE, ReviewForm.SPAN, ReviewForm.REWRITE] = ReviewForm.RATING
    rate: Share = Field(description="Inclusion probability of traces that match no stratum.")
    strata: tuple[Stratum, ...] = ()
    salt: str = Field(default="1", min_length=1, description="Change it to draw another sample.")
    labels_needed: int = Field(default=3, ge=1, le=100)
    pool: str = Field(default="default", min_length=1)
    due_minutes: float = Field(default=1440.0, gt=0)
    calibration_share: Share = Field(default=0.2, description="Share of prompts, by hash, that is held out for evaluation and never trained on.")
    review_calibration: bool = Field(default=True, description="Whether held-out prompts are put before reviewers too.")
    max_text_chars: int = Field(default=200_000, ge=1, description="Longer prompts plus completions are dead-lettered, not shown to people.")


class Agreement(_Document):
    """Agreement is estimated over the newest `window_panes` panes of `pane_minutes` of event time.

    Late, edited and retracted labels correct a pane until the application's newest task is `keep_days` past it; then the pane is final. A pane
    that begins more than `ahead_hours` after the clock waits until its time comes before a window ends with it: one wrong date moves no window.
    """

    pane_minutes: float = Field(default=60.0, gt=0)
    window_panes: int = Field(default=24, ge=1, le=10_000)
    keep_days: float = Field(default=30.0, gt=0, le=3650, description="A window that is longer is kept as long as it is.")
    ahead_hours: float = Field(default=1.0, ge=0, le=8760)
    slices: tuple[str, ...] = Field(default=(), description="Slices that are estimated apart, beside 'all'.")


class Drift(_Document):
    """A series is compared with its first `reference_size` losses by an e-detector with the declared average run length."""

    reference_size: int = Field(default=200, ge=20)
    arl_target: float = Field(default=10_000.0, ge=100.0, description="Least expected number of observations between false alarms.")
    tolerance: Share = Field(default=0.02, description="Rise of the mean loss over the reference that is not worth an alarm.")
    slices: tuple[str, ...] = ()


class Estimates(_Document):
    """Quality is estimated over the newest `window_panes` panes of `pane_hours`, by the time of the traces.

    Where `judge` names a score for a dimension, what it says of all traces helps, if it goes along with the labels. In a slice it can only where
    the slice is one of `drift.slices` too, for there its scores are summed.
    """

    judge: dict[Name, str] = Field(default_factory=dict, description="Dimension -> name of the score that judges it.")
    slices: tuple[str, ...] = Field(default=(), description="Slices that are estimated apart, beside 'all'.")
    pane_hours: float = Field(default=24.0, gt=0)
    window_panes: int = Field(default=28, ge=1, le=10_000)
    keep_days: float = Field(default=90.0, gt=0, le=3650, description="A trace that is older than the application's newest by this is forgotten.")


class Onboarding(_Document):
    """A new reviewer answers `items` gold items first, and works when at least `pass_at` of them are right."""

    items: int = Field(default=30, ge=20, le=40)
    pass_at: Share = 0.8


class ReviewerDrift(_Document):
    """A reviewer's errors are compared with their first `reference_size` judgements, as a series is in `drift`."""

    reference_size: int = Field(default=100, ge=20)
    arl_target: float = Field(default=5_000.0, ge=100.0, description="Least expected number of judgements between false alarms about a reviewer.")
    tolerance: Share = Field(default=0.02, description="Rise of the share of errors that is not worth an alarm.")


class Reviewers(_Document):
    """What is thought of a reviewer, and what follows from it.

    Quarantine needs the upper 95 % bound of the accuracy on gold items to be below `quarantine_below`; doubts only put under watch.
    """

    onboarding: Onboarding | None = Field(default=None, description="Without it, everybody works from the first task.")
    half_life_days: float = Field(default=90.0, gt=0, description="After this a judgement counts half.")
    consensus_weight: Share = Field(default=0.25, description="What agreement with the others on a task counts, where a gold item counts 1.")
    min_gold: int = Field(default=10, ge=1, description="Gold items before a low accuracy has consequences.")
    quarantine_below: Share = 0.6
    watch_below: Share = 0.75
    watch_weight: Share = Field(default=0.5, description="What the votes of a reviewer under watch count, unless it is for shared errors alone.")
    route_above: Share = Field(default=0.8, description="Lower bound of the reliability from which a reviewer is asked first about a dimension.")
    adjudicate_below: Share = Field(default=0.8, description="A task whose likeliest truth is less probable than this goes to an adjudicator.")
    truth_step: Share = Field(
        default=0.05, description="Probability that has to move before a task's truth is told anew, when only what is thought of its reviewers has changed."
    )
    min_seconds: float = Field(default=2.0, ge=0, description="Time that the shortest honest judgement takes.")
    max_fast_share: Share = Field(default=0.2, description="Share of too fast judgements that is allowed.")
    position_margin: Share = Field(default=0.1, description="Preference of a place, over its share, that is not worth a look.")
    drift: ReviewerDrift = ReviewerDrift()
    gold_share: Share = Field(default=0.05, description="Share of a reviewer's tasks that are gold items.")
    gold_max_exposures: int = Field(default=200, ge=1, description="Answers after which a gold item is worn.")
    keep_days: float = Field(default=365.0, gt=0, le=3650, description="A task that is older than the application's newest by this is forgotten.")


class Pairs(_Document):
    """A task gives pairs once it has all its labels; weaker margins than `min_margin` are dropped and counted."""

    min_margin: Share = Field(default=0.0)
    max_pairs_per_task: int = Field(default=3, ge=1, le=100, description="The widest margins are kept, so that one task cannot dominate.")
    revise_above: Share = Field(default=0.1, description="A pair whose `p_correct` alone has moved is revised when it moved by more than this.")


class Training(_Document):
    """A job starts when pairs with a sum of weights of `min_new_pairs` came since the last dataset, none is running and `cooldown_minutes` passed.

    It starts from what serves (`release`), or from the newest candidate that lost on no dimension (`candidate`).
    """

    method: Name = "dpo"
    min_new_pairs: int = Field(default=500, ge=1)
    cooldown_minutes: float = Field(default=0.0, ge=0)
    min_alpha: float | None = Field(default=None, ge=-1, le=1, description="Least alpha, at each dimension's level, on every dimension; null asks for none.")
    start_from: Literal["release", "candidate"] = "release"
    config: dict[str, Any] = Field(default_factory=dict, description="Settings of the trainer; it checks them itself.")


class Decoding(_Document):
    """How candidate and baseline answer: fixed here beforehand, the same for both. Temperature 0 is greedy."""

    max_new_tokens: int = Field(default=64, ge=1, le=8192)
    temperature: float = Field(default=0.0, ge=0.0, le=2.0)
    seed: int = Field(default=0, ge=0)


class DimensionGate(_Document):
    """What a dimension is scored by, and how much it may lose against the baseline."""

    dimension: Name
    evaluator: str = Field(pattern=r"^(check:[A-Za-z0-9._-]+|preference-accuracy)$", description="'check:NAME' or 'preference-accuracy'.")
    max_regression: Share = 0.02


class Gate(_Document):
    """A candidate passes when every dimension's bounds clear its floor and its largest regression at `confidence`, one-sided."""

    confidence: float = Field(default=0.95, gt=0.5, lt=1.0)
    min_items: int = Field(default=100, ge=1, description="With fewer paired items the gate is INCONCLUSIVE.")
    max_items: int = Field(default=2000, ge=1, description="Size at which the calibration set is cut, oldest items first.")
    dimensions: tuple[DimensionGate, ...] = Field(min_length=1)
    slices: tuple[str, ...] = Field(default=(), description="Slices that are gated apart, beside 'all'.")
    decoding: Decoding = Decoding()


class Policy(_Document):
    """A version of a policy."""

    id: Name
    version: int = Field(ge=1)
    application: Name
    rubric: RubricReference
    sampling: Sampling
    agreement: Agreement = Agreement()
    drift: Drift = Drift()
    reviewers: Reviewers = Reviewers()
    estimates: Estimates = Estimates()
    pairs: Pairs = Pairs()
    training: Training = Training()
    gate: Gate

    @model_validator(mode="after")
    def _judged_where_it_is_summed(self) -> "Policy":
        missing = [name for name in self.estimates.slices if name not in self.drift.slices]
        if self.estimates.judge and missing:
            raise ValueError(f"estimates.slices names {missing}, which drift.slices lacks: a judge's scores are summed by those; add them there")
        return self

    @model_validator(mode="after")
    def _gated_once(self) -> "Policy":
        names = [gate.dimension for gate in self.gate.dimensions]
        if len(set(names)) != len(names):
            raise ValueError(f"gate.dimensions names a dimension twice: {names}")
        return self
