"""What is known of one task whose labels are collected, and what was said of its pairs."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from trueloop.events import GoldAnswer, ItemTruth, Label, ReviewTask, TrialVerdict
from trueloop.pairs.build import Dropped


class LivePair(BaseModel):
    """What was last said of a pair: a hash of its content, the event that said it, its weight, and the probability that it is right."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    content: str
    event_id: str
    weight: float
    p_correct: float | None


class GoldMark(BaseModel):
    """That a task has a known answer, or has it no more; the answer itself is not kept. The newest counts, by time and then by id."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    at: datetime
    event_id: str
    withdrawn: bool

    @classmethod
    def of(cls, gold: GoldAnswer) -> "GoldMark":
        """Return what is kept of a known answer."""
        return cls(at=gold.occurred_at, event_id=gold.event_id, withdrawn=gold.withdrawn)


class TaskState(BaseModel):
    """One task, the labels that count, and what was said of it so far.

    `task` is None while only its truth or its known answer is known. `seen` holds the event ids of all labels that were applied, so that one sent twice
    counts once. `pairs` holds the live pairs by id, `dropped` what gave no pair. `truth` is the newest, and `truth_offset` where it was read: those of
    a task come in one partition, so an older one that is sent again is known by it. `unsettled_at` is the time of the first truth that called for an
    adjudicator, `told` what was last told of the trial that it is part of.
    """

    model_config = ConfigDict(extra="forbid")

    version: int = 4
    task: ReviewTask | None = None
    truth: ItemTruth | None = None
    truth_offset: int = -1
    unsettled_at: datetime | None = None
    gold: GoldMark | None = None
    labels: tuple[Label, ...] = ()
    seen: tuple[str, ...] = ()
    dimensions: tuple[str, ...] = ()
    pairs: dict[str, LivePair] = {}
    dropped: dict[str, Dropped] = {}
    observed: bool = False
    told: TrialVerdict = TrialVerdict.OPEN

    @property
    def of_task(self) -> ReviewTask:
        """The task. Raises ValueError when it is not known yet."""
        if self.task is None:
            raise ValueError("the state holds no task; expected one that was opened")
        return self.task

    @property
    def weights(self) -> dict[str, float]:
        """What the votes of each reviewer count, as it was last told; 1 for who is not among them."""
        return {} if self.truth is None else self.truth.weights()

    @property
    def is_gold(self) -> bool:
        """Whether its answer is known."""
        return self.gold is not None and not self.gold.withdrawn

    @property
    def speaking(self) -> tuple[Label, ...]:
        """The labels that speak on the task: all, but on an appeal only those that were told to be of reviewers who had no part in the trace before.

        Whether somebody had is known where the labels of all tasks are: with the truth of the task. A label of which it says nothing waits for it.
        """
        if self.of_task.in_population:
            return self.labels
        uninvolved = set() if self.truth is None else {voice.label_id for voice in self.truth.labels if not voice.involved}
        return tuple(label for label in self.labels if label.event_id in uninvolved)
