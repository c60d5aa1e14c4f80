"""Reviewers: tasks, labels and known answers in; the quality of each reviewer and the probable truth of each task out. State is what was said of one
task, without its text."""

import heapq
import json
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from trueloop.events import Event, GoldAnswer, Label, ReviewerQuality, ReviewTask
from trueloop.processors.processor import Context, Processor, Source, Step, View
from trueloop.reviewers.involvement import Involvement
from trueloop.reviewers.judgements import Judgement, judgements
from trueloop.reviewers.panel_fit import FitWindow, PanelFit, PanelVotes, Place
from trueloop.reviewers.panel_truths import Panel, PanelTruths
from trueloop.reviewers.quality import quality_of
from trueloop.reviewers.speed import median_of
from trueloop.reviewers.tally import ReviewerTally
from trueloop.reviewers.tally import Rubric as RubricKey
from trueloop.reviewers.task_judgements import TaskJudgements, Waiting, frame_of, gold_key, judged_task, said_by, standing, trace_task, votes_of, without_text
from trueloop.rubrics import Rubric
from trueloop.topics import GOLD, LABELS, REVIEW_QUEUE

OUTCOMES = frozenset({"task_opened", "counted", "taken_back", "waiting", "refused", "gold_known", "duplicate", "stale", "no_policy"})
_REVIEWER, _TASK = "reviewer", "task"
MOST_WAITING = 100
"""Labels that wait for their task: as many as a task can ask for. More for a task that was never queued are not kept."""


def step(
    state: TaskJudgements | None, event: ReviewTask | Label | GoldAnswer, *, source: Source, now: datetime, final: bool, context: Context
) -> Step[TaskJudgements]:
    """Take in a task, a label or a known answer, in whatever order they come.

    A label that comes before its task waits in the state: the topic for retries is shared with collection, which would see what was retried here.
    Collection also refuses labels that do not fit, so here they are only counted. Moments ahead of the clock are taken for now, so that nobody
    outlives their own record by a date in the future.
    """
    known = state or TaskJudgements(task_id=event.task_id, application=event.application)
    at = min(event.occurred_at, now)
    if isinstance(event, ReviewTask):
        return _open(state, known, event, at, context)
    if isinstance(event, GoldAnswer):
        return _know(known, event)
    return _hear(state, known, Waiting(label=without_text(event), at=at, place=Place(source.partition, source.offset)), context)


def _open(state: TaskJudgements | None, known: TaskJudgements, task: ReviewTask, at: datetime, context: Context) -> Step[TaskJudgements]:
    if known.frame is not None:
        return Step(state, outcome="duplicate")
    rubric = context.governance.rubric(task.rubric_id, task.rubric_version)
    if rubric is None:
        return Step(state, outcome="no_policy")
    # Whoever sent a label first may have named another application than the task's.
    following = known.model_copy(update={"application": task.application, "frame": frame_of(task, rubric, at), "waiting": ()})
    for waiting in known.waiting:
        following = _with(following, waiting, rubric) or following
    return Step(following, outcome="task_opened", touched=_touched(following))


def _know(known: TaskJudgements, gold: GoldAnswer) -> Step[TaskJudgements]:
    """The newest answer of a task counts."""
    if known.gold is not None and (known.gold.occurred_at, known.gold.event_id) >= (gold.occurred_at, gold.event_id):
        return Step(known, outcome="duplicate" if known.gold == gold else "stale")
    following = known.model_copy(update={"gold": gold})
    return Step(following, outcome="gold_known", touched=_touched(following))


def _hear(state: TaskJudgements | None, known: TaskJudgements, heard: Waiting, context: Context) -> Step[TaskJudgements]:
    label = heard.label
    if label.event_id in known.said or any(waiting.label.event_id == label.event_id for waiting in known.waiting):
        return Step(state, outcome="duplicate")
    if known.frame is None:
        if len(known.waiting) >= MOST_WAITING:
            return Step(state, outcome="refused")
        return Step(known.model_copy(update={"waiting": (*known.waiting, heard)}), outcome="waiting")
    rubric = context.governance.rubric(*known.frame.rubric)
    if rubric is None:
        return Step(state, outcome="no_policy")
    following = _with(known, heard, rubric)
    if following is None:
        return Step(state, outcome="refused")
    touched = tuple(dict.fromkeys((*_touched(known), *_touched(following), _name(known.application, label.reviewer_id))))
    return Step(following, outcome="taken_back" if label.retracts else "counted", touched=touched)


def _with(state: TaskJudgements, waiting: Waiting, rubric: Rubric) -> TaskJudgements | None:
    """Return the state with one label more, or None when it does not fit the task."""
    if state.frame is None:
        return None
    said = said_by(waiting, state.task_id, state.frame, rubric)
    return None if said is None else state.model_copy(update={"said": {**state.said, waiting.label.event_id: said}})


def _touched(state: TaskJudgements) -> tuple[str, ...]:
    """Return the reviewers of whom a task speaks, for what one says also bears on the others, and the task, if it has labels."""
    reviewers = tuple(_name(state.application, label.reviewer_id) for label in standing(state))
    return (*reviewers, json.dumps([state.application, _TASK, state.task_id])) if state.said and state.frame else reviewers


def _name(application: str, reviewer_id: str) -> str:
    return json.dumps([application, _REVIEWER, reviewer_id])


class _Application:
    """What is known within one application."""

    def __init__(self, window: FitWindow) -> None:
        self._window = window
        self.reviewers: dict[str, ReviewerTally] = {}
        self.times: Counter[float] = Counter()
        self.votes: dict[RubricKey, PanelVotes] = {}
        self.truths = PanelTruths(window)
        self.involvement = Involvement()
        self.involvement_touched: dict[str, None] = {}
        self.weights: dict[str, float] = {}
        self.accuracies: dict[str, dict[str, float]] = {}
        self.reached: datetime | None = None
        self.oldest: list[tuple[datetime, str]] = []
        self.told_by: _Yardstick | None = None
        self.since_expired: dict[str, None] = {}

    def count(self, judged: Iterable[Judgement], rubric: RubricKey, shown: int, sign: int) -> None:
        """Add what the labels of a task say of their reviewers, or take it away."""
        for judgement in judged:
            name = judgement.label.reviewer_id
            tally = self.reviewers.setdefault(name, ReviewerTally())
            (tally.add if sign > 0 else tally.remove)(judgement, rubric, shown)
            if not tally.n_labels:
                del self.reviewers[name]
            if judgement.label.seconds is not None:
                self.times[round(judgement.label.seconds, 1)] += sign

    def place(self, task_id: str, state: TaskJudgements | None) -> None:
        """Set what is known of a task among those of its trace, and its truth's evidence; None forgets it."""
        for other in self.involvement.replace(task_id, None if state is None else trace_task(state)):
            self.truths.involve(other, self.involvement.involved(other))
            self.involvement_touched[other] = None
        self.truths.replace(task_id, None if state is None else judged_task(state, self.involvement.involved(task_id)))

    def panel(self, rubric: RubricKey) -> PanelVotes:
        """Return the votes under a rubric version."""
        return self.votes.setdefault(rubric, PanelVotes(self._window))

    def yardstick(self) -> "_Yardstick":
        """Return what all reviewers are measured by."""
        median = median_of(+self.times)
        # Two digits: the median moves a little with every label, and nobody's share of too fast tasks depends on that.
        return _Yardstick(None if median is None else float(f"{median:.2g}"), {rubric: votes.fit() for rubric, votes in self.votes.items()})


@dataclass(frozen=True, slots=True)
class _Yardstick:
    """The median active time of a panel, seconds, and the fit under each rubric version."""

    median: float | None
    fits: dict[RubricKey, PanelFit]


class ReviewersView(View):
    """Every reviewer, over all tasks. Sums are exact and fits are made at fixed places of the log, so that neither the order of events nor a
    restart can matter."""

    def __init__(self) -> None:
        self._window = FitWindow()
        self._applications: dict[str, _Application] = {}
        self._dated: dict[str, datetime] = {}
        self._expired: list[str] = []

    def fold(self, key: str, old: TaskJudgements | None, new: TaskJudgements | None) -> None:
        """Replace what a task said of its reviewers."""
        if old is not None and old.frame is not None:
            self._count(old, -1)
            if new is None:
                self._of(old.application).since_expired |= dict.fromkeys(label.reviewer_id for label in standing(old))
            if new is None or new.application != old.application:
                self._of(old.application).panel(old.frame.rubric).replace(old.task_id, (), {})
                self._of(old.application).place(old.task_id, None)
        if new is None:
            self._dated.pop(key, None)
            return
        if new.frame is not None:
            self._count(new, 1)
            self._of(new.application).place(new.task_id, new)
        self._date(key, new)

    def _count(self, state: TaskJudgements, sign: int) -> None:
        if state.frame is None:
            return
        labels, gold = standing(state), gold_key(state)
        application = self._of(state.application)
        application.count(judgements(labels, gold, state.frame.categories), state.frame.rubric, len(state.frame.candidates), sign)
        if sign > 0:
            for said in state.said.values():
                self._window.reach(said.place)
            application.panel(state.frame.rubric).replace(state.task_id, votes_of(state, labels), gold.values if gold else {})

    def _date(self, key: str, state: TaskJudgements) -> None:
        """Note how new a task is: as new as its newest label."""
        moments = [*(said.at for said in state.said.values()), *(waiting.at for waiting in state.waiting)]
        moments += [state.frame.at] if state.frame else []
        if not moments:
            return
        newest, application = max(moments), self._of(state.application)
        application.reached = max(newest, application.reached or newest)
        if self._dated.get(key) != newest:
            self._dated[key] = newest
            heapq.heappush(application.oldest, (newest, key))

    def _of(self, application: str) -> _Application:
        return self._applications.setdefault(application, _Application(self._window))

    def summarise(self, touched: Collection[str], *, now: datetime, context: Context) -> tuple[Event, ...]:
        """Return the quality of each touched reviewer, then the truth of each task of which it has changed, and note what has become too old.

        When something changes that all of them are measured by (a fit, the median time of the panel), all reviewers of the application are told
        of: so the last word on each is what all states together say, however the stream was cut into batches.
        """
        names: dict[str, dict[str, dict[str, None]]] = {}
        for name in touched:
            application, kind, identity = json.loads(name)
            names.setdefault(application, {_REVIEWER: {}, _TASK: {}})[kind][identity] = None
        found: list[Event] = []
        for application, named in names.items():
            known, reviewers = self._of(application), named[_REVIEWER]
            yardstick = known.yardstick()
            for reviewer_id in (*reviewers, *known.since_expired, *(() if yardstick == known.told_by else sorted(known.reviewers))):
                reviewers[reviewer_id] = None
            known.told_by, known.since_expired = yardstick, {}
            qualities = [event for reviewer_id in reviewers if (event := self._quality(application, reviewer_id, yardstick, now, context))]
            known.weights |= {event.reviewer_id: event.weight for event in qualities}
            known.accuracies |= {
                event.reviewer_id: {each.dimension: each.alpha / (each.alpha + each.beta) for each in event.reliability} for event in qualities
            }
            panel = Panel(yardstick.fits, dict(known.weights), dict(known.accuracies))
            governed_at = partial(context.governance.in_force, application)
            found += qualities
            tasks = tuple({**named[_TASK], **known.involvement_touched})
            known.involvement_touched = {}
            found += known.truths.changed(application, tasks, panel, governed_at=governed_at, rubric_of=context.governance.rubric)
        return tuple(found)

    def _quality(self, application: str, reviewer_id: str, yardstick: "_Yardstick", now: datetime, context: Context) -> ReviewerQuality | None:
        known = self._of(application)
        tally = known.reviewers.get(reviewer_id, ReviewerTally())
        governed = context.governance.in_force(application, tally.newest or known.reached or now)
        if governed is None:
            return None
        policy = governed.policy.reviewers
        self._expire(known, policy.keep_days)
        fit = yardstick.fits[tally.rubric] if tally.rubric else PanelFit()
        return quality_of(application, reviewer_id, tally, policy, fit=fit, panel_median=yardstick.median, now=now)

    def _expire(self, application: _Application, keep_days: float) -> None:
        """Find the tasks that are older than the application's newest by more than `keep_days`."""
        if application.reached is None:
            return
        while application.oldest and application.oldest[0][0] + timedelta(days=keep_days) < application.reached:
            at, key = heapq.heappop(application.oldest)
            if self._dated.get(key) == at:
                self._expired.append(key)

    def expired(self) -> Collection[str]:
        """Return the keys of tasks that have become too old since the last call."""
        keys, self._expired = self._expired, []
        return keys


def _task_id(event: ReviewTask | Label | GoldAnswer) -> str:
    return event.task_id


PROCESSOR = Processor(
    name="reviewers",
    inputs=(REVIEW_QUEUE, LABELS, GOLD),
    step=step,
    outcomes=OUTCOMES,
    key=_task_id,
    state_type=TaskJudgements,
    view=ReviewersView,
    whole=True,
)
