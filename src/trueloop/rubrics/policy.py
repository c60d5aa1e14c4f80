"""The policy: how an application samples, counts, judges reviewers, pairs, trains and gates. It names the rubric; the rubric does not know it."""

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from trueloop.rubrics.gate_policy import Gate
from trueloop.rubrics.rubric import Name
from trueloop.rubrics.sampling_policy import Sampling
from trueloop.rubrics.section import Section, Share


class RubricReference(Section):
    """The rubric in use."""

    id: Name
    version: int = Field(ge=1)


class Agreement(Section):
    """Agreement is estimated over the newest `window_panes` panes of `pane_minutes` of event time.

    Late, edited and retracted labels correct a pane until the application's newest task is `keep_days` past it; then the pane is final. A pane
    that begins more than `ahead_hours` after the clock waits until its time comes before a window ends with it: one wrong date moves no window.
    """

    pane_minutes: float = Field(default=60.0, gt=0)
    window_panes: int = Field(default=24, ge=1, le=10_000)
    keep_days: float = Field(default=30.0, gt=0, le=3650, description="A window that is longer is kept as long as it is.")
    ahead_hours: float = Field(default=1.0, ge=0, le=8760)
    slices: tuple[str, ...] = Field(default=(), description="Slices that are estimated apart, beside 'all'.")


class AlarmBudget(Section):
    """How many false alarms all series of the application may have together, in a period in which they have `losses` losses together."""

    false_alarms: float = Field(gt=0)
    losses: float = Field(gt=0, description="Traces x (scores, errors, limits) x (1 + slices), and rated tasks likewise: the most that is expected.")


class Limit(Section):
    """A trace beyond the limit is a loss of 1, another one a loss of 0: so a service level is watched as a score is."""

    metric: Literal["latency_ms", "prompt_tokens", "completion_tokens", "completion_chars"]
    above: float | None = Field(default=None, ge=0)
    below: float | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _one_side(self) -> "Limit":
        if (self.above is None) == (self.below is None):
            raise ValueError(f"a limit on {self.metric} gives above = {self.above}, below = {self.below}; expected exactly one of them")
        return self

    @property
    def name(self) -> str:
        """What its series is called."""
        return f"limit:{self.metric}>{self.above:g}" if self.above is not None else f"limit:{self.metric}<{self.below:g}"


class Profiles(Section):
    """Latency, tokens, lengths and embeddings of a share of the traces are compared, window by window, with those of the reference.

    They describe and warn, and never page: what shall page is a score, an error, a refusal or a limit.
    """

    share: Share = Field(default=0.1, description="Share of the traces, by hash, that is looked at; 0 looks at none.")
    reference_size: int = Field(default=500, ge=50, description="Traces in a reference.")
    window_size: int = Field(default=500, ge=50, description="Traces in a window that is compared with it.")
    false_warning_rate: float = Field(default=0.01, ge=0.001, lt=1.0, description="Probability that a statistic of a window warns though nothing changed.")
    least_cosine: float = Field(default=0.7, ge=-1.0, le=1.0, description="Cosine between the mean embeddings below which it warns.")
    on_release: Literal["keep", "restart"] = Field(default="restart", description="Whether a checkpoint that the reference lacks begins a new one.")


class ReviewOnAlarm(Section):
    """An alarm opens a review quota for its slice: for `hours` at least `review_rate` of its traces are reviewed."""

    review_rate: float = Field(gt=0.0, le=1.0)
    hours: float = Field(gt=0, le=24 * 90)


class Drift(Section):
    """A series is compared with its first `reference_size` losses by an e-detector with the declared average run length."""

    reference_size: int = Field(default=500, ge=20, description="A larger one is full later, and shows smaller rises.")
    arl_target: float = Field(default=10_000.0, ge=100.0, description="Least expected number of observations between false alarms.")
    budget: AlarmBudget | None = Field(default=None, description="In the place of `arl_target`: false alarms over all series.")
    tolerance: Share = Field(default=0.02, description="Rise of the mean loss over the reference that is not worth an alarm.")
    slices: tuple[str, ...] = ()
    on_alarm: ReviewOnAlarm | None = Field(default=None, description="What an alarm asks of reviewers; null for nothing.")
    on_release: Literal["keep", "restart"] = Field(
        default="keep", description="Whether the first full window with a checkpoint that the reference lacks becomes the reference, good or bad."
    )
    refusals: tuple[Annotated[str, Field(min_length=3)], ...] = Field(default=(), description="An answer that has one of these in its opening is a refusal.")
    limits: tuple[Limit, ...] = ()
    fdr: float = Field(default=0.1, gt=0.0, lt=1.0, description="Expected share of false ones among the series that are said to have drifted together.")
    silent_hours: float = Field(default=24.0, gt=0, description="Event time after which a series without an observation has NO_DATA.")
    profiles: Profiles = Profiles()

    @model_validator(mode="before")
    @classmethod
    def _within_budget(cls, given: Any) -> Any:
        from trueloop.drift.budget import average_run_length  # numpy comes with it

        budget = given.get("budget") if isinstance(given, dict) else None
        try:
            asked = AlarmBudget.model_validate(budget)
        except ValidationError:
            return given  # there is none, or the field itself says what is wrong with it
        arl_target = average_run_length(asked.false_alarms, asked.losses)
        if given.get("arl_target", arl_target) != arl_target:
            raise ValueError(f"arl_target is {given['arl_target']} and the budget comes to {arl_target:g}; give one of them")
        return {**given, "arl_target": arl_target}


class Estimates(Section):
    """Quality is estimated over the newest `window_panes` panes of `pane_hours`, by the time of the traces.

    Where `judge` names a score for a dimension, what it says of all traces helps, if it goes along with the labels. In a slice it can only where
    the slice is one of `drift.slices` too, for there its scores are summed.
    """

    judge: dict[Name, str] = Field(default_factory=dict, description="Dimension -> name of the score that judges it.")
    slices: tuple[str, ...] = Field(default=(), description="Slices that are estimated apart, beside 'all'.")
    cluster_by: Literal["subject", "conversation"] = Field(
        default="subject", description="Whose traces are taken as alike: those of one subject, or the turns of one conversation; a trace of none is by itself."
    )
    pane_hours: float = Field(default=24.0, gt=0)
    window_panes: int = Field(default=28, ge=1, le=10_000)
    keep_days: float = Field(default=90.0, gt=0, le=3650, description="A trace that is older than the application's newest by this is forgotten.")


class Onboarding(Section):
    """A new reviewer answers `items` gold items first, and works when at least `pass_at` of them are right."""

    items: int = Field(default=30, ge=20, le=40)
    pass_at: Share = 0.8


class ReviewerDrift(Section):
    """A reviewer's errors are compared with their first `reference_size` judgements, as a series is in `drift`."""

    reference_size: int = Field(default=100, ge=20)
    arl_target: float = Field(default=5_000.0, ge=100.0, description="Least expected number of judgements between false alarms about a reviewer.")
    tolerance: Share = Field(default=0.02, description="Rise of the share of errors that is not worth an alarm.")


class Reviewers(Section):
    """What is thought of a reviewer, and what follows from it.

    Quarantine needs the upper 95 % bound of the accuracy on gold items to be below `quarantine_below`; doubts only put under watch.
    """

    onboarding: Onboarding | None = Field(default=None, description="Without it, everybody works from the first task.")
    half_life_days: float = Field(default=90.0, gt=0, description="After this a judgement counts half.")
    consensus_weight: Share = Field(default=0.25, description="What agreement with the others on a task counts, where a gold item counts 1.")
    min_gold: int = Field(default=10, ge=1, description="Gold items before a low accuracy has consequences.")
    quarantine_below: Share = 0.6
    watch_below: Share = 0.75
    watch_weight: Share = Field(default=0.5, description="What the votes of a reviewer under watch count; at 0.5, two accounts of one person have one voice.")
    route_above: Share = Field(default=0.8, description="Lower bound of the reliability from which a reviewer is asked first about a dimension.")
    adjudicate_below: Share = Field(default=0.8, description="A task whose likeliest truth is less probable than this goes to an adjudicator.")
    adjudicators: Name | None = Field(default=None, description="Pool that is asked, once per task, about tasks that need an adjudicator; null asks nobody.")
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


class Pairs(Section):
    """A task gives pairs once it has all its labels. What is dropped is counted, by reason."""

    min_margin: Share = Field(default=0.0, description="Pairs of weaker margins are dropped.")
    max_pairs_per_task: int = Field(
        default=3, ge=1, le=100, description="The widest margins are kept, so that one task cannot dominate; all edits of an answer by one reviewer are one."
    )
    near_duplicate_above: Share = Field(
        default=0.98,
        description="Pairs whose texts are more alike than this are dropped, and the second of two pairs that are; 1 drops equal texts only.",
    )
    chain_weight: float = Field(
        default=1.0, gt=0.0, le=100.0, description="What all pairs of one reviewer's edits of one answer weigh together; 1 is a full pair."
    )
    max_chain_steps: int = Field(default=16, ge=1, le=100, description="Versions that edits of one answer make; edits beyond it are made in the last step.")
    max_influence: float = Field(
        default=0.2,
        gt=0.0,
        le=1.0,
        description="Largest share of the weight of a dataset that stands on one reviewer, or on one user's appeals; at least twice an equal share.",
    )
    revise_above: Share = Field(default=0.1, description="A pair whose `p_correct` alone has moved is revised when it moved by more than this.")


class TrainOnAlarm(Section):
    """While a drift alarm stands that no job has answered, fewer new pairs do."""

    min_new_pairs: int = Field(ge=1)


class Training(Section):
    """A job starts when pairs with a sum of weights of `min_new_pairs` came since the last dataset, none is running and `cooldown_minutes` passed.

    An alarm may lower the number of pairs (`on_alarm`), and nothing else. A job starts from what serves (`release`), or from the newest
    candidate that lost on no dimension (`candidate`).
    """

    method: Name = "dpo"
    min_new_pairs: int = Field(default=500, ge=1)
    cooldown_minutes: float = Field(default=0.0, ge=0)
    on_alarm: TrainOnAlarm | None = None
    min_alpha: float | None = Field(default=None, ge=-1, le=1, description="Least alpha, at each dimension's level, on every dimension; null asks for none.")
    start_from: Literal["release", "candidate"] = "release"
    timeout_minutes: float | None = Field(default=None, gt=0, description="Wall time after which a job is given up; null for never.")
    config: dict[str, Any] = Field(default_factory=dict, description="Settings of the trainer; it checks them itself.")


class Policy(Section):
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
