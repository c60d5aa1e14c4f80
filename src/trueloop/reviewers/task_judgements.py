"""What was said of one task, without its text: whatever comes in whatever order, the labels that count are a function of all of them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from trueloop.agreement.position import TIE
from trueloop.events import Candidate, GoldAnswer, Label, Preference, Rating, ReviewForm, ReviewTask, TrialReference, trial_task_id
from trueloop.labels.contributions import preference_dimension
from trueloop.labels.validation import fault_of
from trueloop.reviewers.involvement import TraceTask
from trueloop.reviewers.judgements import GoldKey, StandingLabel, Unit
from trueloop.reviewers.panel_fit import Place, Vote
from trueloop.reviewers.panel_truths import JudgedTask
from trueloop.rubrics import Rubric


class _Kept(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Said(_Kept):
    """What a label says: (dimension, candidate, value), as in `StandingLabel`; of a retraction, none. `retracts` and `supersedes` are as on the label."""

    reviewer_id: str
    at: datetime
    place: Place
    values: tuple[tuple[str, str, int], ...] = ()
    seconds: float | None = None
    retracts: str | None = None
    supersedes: str | None = None


class Waiting(_Kept):
    """A label that came before its task, less its text."""

    label: Label
    at: datetime
    place: Place


class TaskFrame(_Kept):
    """What labels have to fit, and whose trace they judge.

    `candidates` are ids in display order with the length of their texts; `categories` the number of values that each dimension can have, `needed` the
    number of labels that were asked for. `in_population`, `adjudicates` and `trial` are as on the task.
    """

    at: datetime
    trace_id: str
    in_population: bool
    needed: int
    form: ReviewForm
    rubric_id: str
    rubric_version: int
    candidates: tuple[tuple[str, int], ...]
    categories: dict[str, int]
    adjudicates: str | None = None
    trial: TrialReference | None = None

    @property
    def rubric(self) -> tuple[str, int]:
        """Id and version of the rubric."""
        return self.rubric_id, self.rubric_version


class TaskJudgements(_Kept):
    """One task: its frame, what was said of it by label, labels that came before it, and its newest known answer."""

    version: int = 3
    task_id: str
    application: str
    frame: TaskFrame | None = None
    said: dict[str, Said] = {}
    waiting: tuple[Waiting, ...] = ()
    gold: GoldAnswer | None = None


def frame_of(task: ReviewTask, rubric: Rubric, at: datetime) -> TaskFrame:
    """Return the frame of a task that is dated `at`."""
    categories = {dimension.name: dimension.scale.max - dimension.scale.min + 1 for dimension in rubric.dimensions}
    names = [None, *(dimension.name for dimension in rubric.dimensions)]
    categories |= {preference_dimension(name): len(task.candidates) + 1 for name in names}
    return TaskFrame(
        at=at,
        trace_id=task.trace_id,
        in_population=task.in_population,
        needed=task.labels_needed,
        form=task.form,
        rubric_id=task.rubric_id,
        rubric_version=task.rubric_version,
        candidates=tuple((candidate.candidate_id, len(candidate.completion)) for candidate in task.candidates),
        categories=categories,
        adjudicates=task.adjudicates,
        trial=task.trial,
    )


def without_text(label: Label) -> Label:
    """Return a label as it can be kept: people's words are taken out, what is checked of it stays."""
    return label.model_copy(
        update={
            "spans": [span.model_copy(update={"replacement": None}) for span in label.spans],
            "rewrite": None if label.rewrite is None else label.rewrite.model_copy(update={"completion": "-"}),
            "critiques": [critique.model_copy(update={"text": ""}) for critique in label.critiques],
        }
    )


def said_by(waiting: Waiting, task_id: str, frame: TaskFrame, rubric: Rubric) -> Said | None:
    """Return what a label says of a task, or None when it does not fit: then it is refused where labels are collected, too."""
    label = waiting.label
    if label.retracts is None and fault_of(label, _blank(task_id, frame), rubric) is not None:
        return None
    values = () if label.retracts else tuple((*unit, value) for unit, value in sorted(_values(label.ratings, label.preferences, frame).items()))
    return Said(
        reviewer_id=label.reviewer_id,
        at=waiting.at,
        place=waiting.place,
        values=values,
        seconds=label.seconds_spent,
        retracts=label.retracts,
        supersedes=label.supersedes,
    )


def standing(state: TaskJudgements) -> list[StandingLabel]:
    """Return the labels that count, in the order of their reviewers: of each reviewer the newest, if they did not retract it. What a newer label replaced
    does not come back when that is retracted, as it does not where labels are collected.

    A function of the set of labels: neither their order nor repetition can change it.
    """
    retracted = {(said.reviewer_id, said.retracts) for said in state.said.values()}
    # Replacing by name matters between labels of one moment: nothing is dated later than it was read, so those of a clock that runs ahead may have the same.
    replaced: dict[tuple[str, str], datetime] = {}
    for said in state.said.values():
        if said.supersedes is not None:
            named = said.reviewer_id, said.supersedes
            replaced[named] = max(said.at, replaced.get(named, said.at))
    newest: dict[str, tuple[datetime, str]] = {}
    for label_id, said in state.said.items():
        successor = replaced.get((said.reviewer_id, label_id))
        if said.retracts is None and (successor is None or successor < said.at):
            newest[said.reviewer_id] = max((said.at, label_id), newest.get(said.reviewer_id, (said.at, label_id)))
    return [_standing(label_id, state.said[label_id]) for reviewer_id, (_, label_id) in sorted(newest.items()) if (reviewer_id, label_id) not in retracted]


def _standing(label_id: str, said: Said) -> StandingLabel:
    values = {(dimension, candidate): value for dimension, candidate, value in said.values}
    return StandingLabel(label_id, said.reviewer_id, said.at, values, said.seconds)


def gold_key(state: TaskJudgements) -> GoldKey | None:
    """Return the known answer of a task; None without one, for one that was withdrawn, and for one of another rubric version."""
    gold, frame = state.gold, state.frame
    if gold is None or frame is None or gold.withdrawn or (gold.rubric_id, gold.rubric_version) != frame.rubric:
        return None
    known = {name for name, _ in frame.candidates}
    ratings = [rating for rating in gold.ratings if rating.candidate_id in known and rating.dimension in frame.categories]
    preferences = [each for each in gold.preferences if each.preferred is None or each.preferred in known]
    values = {unit: value for unit, value in _values(ratings, preferences, frame).items() if unit[0] in frame.categories}
    return GoldKey(values, gold.tolerance, gold.onboarding) if values else None


def votes_of(state: TaskJudgements, labels: list[StandingLabel]) -> list[Vote]:
    """Return the votes of a task's labels, for a fit. An adjudicator has none: theirs would be the only one on an item of its own, chosen for being hard."""
    if state.frame is not None and state.frame.adjudicates is not None:
        return []
    return [Vote(state.task_id, unit, label.reviewer_id, value, state.said[label.label_id].place) for label in labels for unit, value in label.values.items()]


def trace_task(state: TaskJudgements) -> TraceTask | None:
    """Return the task as one of its trace; None for one that is not known yet. A trial has no trace, and both of its tasks belong together: a senior settles
    what its reviewers were split on."""
    frame = state.frame
    if frame is None:
        return None
    spoke = frozenset(label.reviewer_id for label in standing(state))
    if frame.trial is not None:
        settles = trial_task_id(frame.trial.trial_id, senior=False) if frame.trial.senior else None
        return TraceTask(frame.trial.trial_id, False, spoke, settles)
    return TraceTask(frame.trace_id, not frame.in_population and frame.adjudicates is None, spoke, frame.adjudicates)


def judged_task(state: TaskJudgements, involved: frozenset[str] = frozenset()) -> JudgedTask | None:
    """Return the task as its truth is judged by. `involved` must not speak on it.

    None for one that is not known yet, or that nobody ever spoke of; an adjudication is there from the start, for what it settles has to be kept.
    """
    frame = state.frame
    if frame is None or not (state.said or frame.adjudicates):
        return None
    return JudgedTask(
        state.task_id,
        frame.rubric,
        max((said.at for said in state.said.values()), default=frame.at),
        tuple(name for name, _ in frame.candidates),
        frame.needed,
        tuple(standing(state)),
        tuple(said.place for said in state.said.values()),
        involved,
        frame.adjudicates,
    )


def _values(ratings: list[Rating], preferences: list[Preference], frame: TaskFrame) -> Mapping[Unit, int]:
    place_of = {name: place for place, (name, _) in enumerate(frame.candidates)}
    values = {(rating.dimension, rating.candidate_id): rating.value for rating in ratings}
    for preference in preferences:
        values[preference_dimension(preference.dimension), ""] = TIE if preference.preferred is None else place_of[preference.preferred]
    return values


def _blank(task_id: str, frame: TaskFrame) -> ReviewTask:
    """Return the task as far as labels are checked against it, with blanks for its texts."""
    checked: dict[str, Any] = {
        "task_id": task_id,
        "form": frame.form,
        "rubric_id": frame.rubric_id,
        "rubric_version": frame.rubric_version,
        "candidates": [Candidate(candidate_id=name, completion=" " * length) for name, length in frame.candidates],
    }
    return ReviewTask.model_construct(**checked)
