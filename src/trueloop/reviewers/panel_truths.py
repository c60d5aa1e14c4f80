"""What is probably true of the newest tasks of an application, told when it has changed enough to matter."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from math import fsum

from trueloop.agreement.position import TIE
from trueloop.events import ItemTruth, StandingVoice, UnitTruth
from trueloop.events.identity import derive_id
from trueloop.reviewers.adjudication import adjudication_id
from trueloop.reviewers.consequences import needs_adjudication
from trueloop.reviewers.expectation_maximisation import COMPETENCE
from trueloop.reviewers.judgements import StandingLabel, Unit
from trueloop.reviewers.panel_fit import FitWindow, PanelFit, Place
from trueloop.reviewers.truth import fitted_truth, item_truth
from trueloop.rubrics import InForce, Rubric

RubricKey = tuple[str, int]
RubricOf = Callable[[str, int], Rubric | None]
_DIGITS = 6
"""Of a probability, as it is told: what is beyond decides nothing, and differs between machines."""


@dataclass(frozen=True, slots=True)
class JudgedTask:
    """The labels of a task that count, and when and where they were read.

    Attributes:
        task_id: The task.
        rubric: Id and version of its rubric.
        at: Time of its newest label, whether it counts or not.
        candidates: Ids of the candidates, as displayed.
        needed: Labels that were asked for.
        labels: Those that count, in the order of their reviewers.
        places: Where each label was read that was ever given.
        involved: Reviewers whose labels do not count, because they had a part in what is appealed against, or in what is adjudicated.
        adjudicates: The task that it settles; None for a task of its own.
    """

    task_id: str
    rubric: RubricKey
    at: datetime
    candidates: tuple[str, ...]
    needed: int
    labels: tuple[StandingLabel, ...]
    places: tuple[Place, ...]
    involved: frozenset[str] = frozenset()
    adjudicates: str | None = None


@dataclass(frozen=True, slots=True)
class Panel:
    """What is thought of the reviewers: the fit under each rubric version, what each one's votes count (1 for one who is not named), and how often each
    one is right by dimension, by gold items and by the others' labels."""

    fits: Mapping[RubricKey, PanelFit]
    weights: Mapping[str, float]
    accuracies: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def voices(self, task: JudgedTask) -> list[StandingVoice]:
        """Return the labels of a task with what their reviewers count on it."""
        return [
            StandingVoice(
                label_id=label.label_id, reviewer_id=name, weight=0.0 if name in task.involved else self.weights.get(name, 1.0), involved=name in task.involved
            )
            for label in task.labels
            for name in (label.reviewer_id,)
        ]


def categories_of(dimension: str, rubric: Rubric, shown: int) -> range:
    """Return what a unit can be: the values of a dimension's scale; for a preference a tie, or the place of one of `shown` candidates."""
    known = rubric.dimension(dimension)
    return range(TIE, shown) if known is None else range(known.scale.min, known.scale.max + 1)


def item_truth_of(application: str, task: JudgedTask, panel: Panel, governed: InForce, rubric: Rubric, *, settling: JudgedTask | None = None) -> ItemTruth:
    """Return what is probably true of a task. The event's id is a hash of its content: the same evidence gives the same event.

    Of what an adjudicator who counts has spoken of in `settling`, the task's adjudication, their word is the truth, with the probability that they are
    right, which for one of whom nothing is known is `COMPETENCE`; what the reviewers said of it says nothing then.
    """
    fit = panel.fits.get(task.rubric, PanelFit())
    voices, votes = panel.voices(task), _votes(task, task)
    weights = {voice.reviewer_id: voice.weight for voice in voices}
    if settling is not None and settling.rubric != task.rubric:
        settling = None  # not one that was made for it
    adjudicators = [] if settling is None else panel.voices(settling)
    deciding = {voice.reviewer_id: voice.weight for voice in adjudicators if voice.weight > 0}
    decisions = {} if settling is None else {unit: said for unit, of in _votes(settling, task).items() if (said := _of(of, deciding))}
    units = [
        _decided(unit, decisions[unit], panel, categories_of(unit[0], rubric, len(task.candidates)), deciding)
        if unit in decisions
        else _unit(unit, votes[unit], fit, categories_of(unit[0], rubric, len(task.candidates)), weights)
        for unit in sorted({*votes, *decisions})
    ]
    unsure = any(unit.decided is None and needs_adjudication(max(unit.probabilities, default=None), governed.policy.reviewers) for unit in units)
    content = ItemTruth(
        event_id="content",
        occurred_at=max(task.at, settling.at) if decisions and settling is not None else task.at,
        application=application,
        task_id=task.task_id,
        rubric_id=task.rubric[0],
        rubric_version=task.rubric[1],
        labels=voices,
        units=units,
        adjudicate=sum(not voice.involved for voice in voices) >= task.needed and unsure,
        adjudicators=adjudicators,
    )
    return content.model_copy(update={"event_id": derive_id("item-truth", content.model_dump_json(exclude={"event_id"}))})


def _votes(task: JudgedTask, settled: JudgedTask) -> dict[Unit, dict[str, int]]:
    """Return what each reviewer says of each unit, as the task displays it that is to be settled: a preference is a place, and the orders differ."""
    place_of = {name: place for place, name in enumerate(settled.candidates)}
    votes: dict[Unit, dict[str, int]] = {}
    for label in task.labels:
        for unit, value in label.values.items():
            said = value if unit[1] or value == TIE else place_of.get(task.candidates[value])
            if said is not None and (not unit[1] or unit[1] in place_of):
                votes.setdefault(unit, {})[label.reviewer_id] = said
    return votes


def _of(said: Mapping[str, int], names: Collection[str]) -> dict[str, int]:
    return {name: value for name, value in said.items() if name in names}


def _decided(unit: Unit, said: Mapping[str, int], panel: Panel, categories: Sequence[int], weights: Mapping[str, float]) -> UnitTruth:
    """Return what adjudicators made of a unit: where they differ, the likeliest of what they said."""
    dimension, candidate = unit
    accuracies = {name: panel.accuracies.get(name, {}).get(dimension, COMPETENCE) for name in said}
    found = item_truth(said, accuracies, categories, weights=weights) or {}
    return UnitTruth(
        dimension=dimension,
        candidate_id=candidate or None,
        categories=list(categories),
        probabilities=[round(found[value], _DIGITS) for value in categories],
        mean=_mean(said, weights) if candidate else None,
        n_labels=len(said),
        decided=max(sorted(set(said.values())), key=found.__getitem__),
    )


def _unit(unit: Unit, votes: Mapping[str, int], fit: PanelFit, categories: Sequence[int], weights: Mapping[str, float]) -> UnitTruth:
    dimension, candidate = unit
    found = fitted_truth(votes, fit.models.get(dimension), categories, weights=weights) or {}
    posterior = {value: round(found[value], _DIGITS) for value in categories if value in found}
    heard = _of(votes, [name for name, weight in weights.items() if weight > 0])
    return UnitTruth(
        dimension=dimension,
        candidate_id=candidate or None,
        categories=list(posterior),
        probabilities=list(posterior.values()),
        mean=_mean(heard, weights) if candidate and heard else None,
        n_labels=len(heard),
    )


def _mean(said: Mapping[str, int], weights: Mapping[str, float]) -> float:
    return fsum(weights[name] * value for name, value in sorted(said.items())) / fsum(weights[name] for name in sorted(said))


class PanelTruths:
    """The tasks of an application whose labels are among those that reviewers are fitted to, and what was told of each.

    A task that was touched is told of when anything of it has changed. All others are looked at when a fit or a weight has changed, which the
    fits do every `FIT_EVERY` labels of a partition, and told of when a weight, the need of an adjudicator or the likeliest value has changed, or a
    probability by more than the policy's `truth_step`. So a label costs one event, and a fit at most one for each task of the window. A task that
    has left the window is told of only when it gets a label: what is learnt of reviewers later does not reach back for ever. A task that was put
    before an adjudicator stays, until it is forgotten altogether: the answer may come late.

    What was told is remembered in memory only: after a restart every task of the window is told of again, most of them in the same words.
    """

    def __init__(self, window: FitWindow) -> None:
        self._window = window
        self._tasks: dict[str, JudgedTask] = {}
        self._told: dict[str, ItemTruth] = {}
        self._settling: set[str] = set()
        self._panel = Panel({}, {})
        self._pruned: dict[int, int] = {}

    def involve(self, task_id: str, involved: frozenset[str]) -> None:
        """Set who must not speak on a task; of one that is not known, nothing is kept."""
        task = self._tasks.get(task_id)
        if task is not None:
            self._tasks[task_id] = replace(task, involved=involved)

    def replace(self, task_id: str, task: JudgedTask | None) -> None:
        """Set what is said of a task; None forgets it."""
        if task is None:
            self._tasks.pop(task_id, None)
            self._told.pop(task_id, None)
            self._settling.discard(task_id)
        else:
            self._tasks[task_id] = task
            if task.adjudicates is not None:
                self._settling.add(task_id)

    def changed(
        self, application: str, touched: Collection[str], panel: Panel, *, governed_at: Callable[[datetime], InForce | None], rubric_of: RubricOf
    ) -> Iterator[ItemTruth]:
        """Yield what has to be told, those that were touched first, the others in the order of their ids.

        Args:
            application: Whose tasks.
            touched: Ids of tasks that got a label or lost one. Of an adjudication nothing is told but with the task that it settles.
            panel: What is thought of the reviewers now.
            governed_at: The policy in force at a moment.
            rubric_of: The rubric of an id and version.
        """
        # First, because a worker that starts anew has every task that it ever heard of here.
        self._prune()
        before, self._panel = self._panel, panel
        told_of = tuple(dict.fromkeys(self._own(task_id) for task_id in touched))
        others = sorted(self._affected(before) - set(told_of))
        for task_id in (*told_of, *others):
            task = self._tasks.get(task_id)
            governed, rubric = (None, None) if task is None else (governed_at(task.at), rubric_of(*task.rubric))
            if task is None or governed is None or rubric is None:
                continue
            settling = self._tasks.get(adjudication_id(application, task_id))
            truth, told = item_truth_of(application, task, panel, governed, rubric, settling=settling), self._told.get(task_id)
            if told is None or (truth != told if task_id in told_of else _is_news(truth, told, governed.policy.reviewers.truth_step)):
                self._told[task_id] = truth
                yield truth

    def _own(self, task_id: str) -> str:
        """Return the task that an adjudication settles; any other task itself."""
        task = self._tasks.get(task_id)
        return task_id if task is None or task.adjudicates is None else task.adjudicates

    def _affected(self, before: Panel) -> set[str]:
        """Return the tasks whose fit has changed, or the weight of one of whose reviewers, or what is thought of one of their adjudicators."""
        settled = {task.adjudicates for task in map(self._tasks.__getitem__, self._settling) if task.adjudicates and _is_judged_anew(task, before, self._panel)}
        refitted = {rubric for rubric, fit in self._panel.fits.items() if fit is not before.fits.get(rubric)}
        weighed = {name for name, weight in self._panel.weights.items() if weight != before.weights.get(name)}
        if not refitted and not weighed:
            return settled
        return (
            settled
            | {key for key, task in self._tasks.items() if task.rubric in refitted or any(label.reviewer_id in weighed for label in task.labels)}
            - self._settling
        )

    def _prune(self) -> None:
        if self._pruned == self._window.boundary:
            return
        self._pruned = dict(self._window.boundary)
        kept = self._settling | {task.adjudicates for task in map(self._tasks.__getitem__, self._settling)}
        for task_id in [task_id for task_id, task in self._tasks.items() if task_id not in kept and all(map(self._window.is_over, task.places))]:
            self.replace(task_id, None)


def _is_judged_anew(task: JudgedTask, before: Panel, now: Panel) -> bool:
    names = [label.reviewer_id for label in task.labels]
    return any(before.weights.get(name) != now.weights.get(name) or before.accuracies.get(name) != now.accuracies.get(name) for name in names)


def _is_news(truth: ItemTruth, told: ItemTruth, step: float) -> bool:
    if (truth.labels, truth.adjudicators, truth.adjudicate, len(truth.units)) != (told.labels, told.adjudicators, told.adjudicate, len(told.units)):
        return True
    return any(_moved(new, old, step) for new, old in zip(truth.units, told.units, strict=True))


def _moved(new: UnitTruth, old: UnitTruth, step: float) -> bool:
    now, then = (dict(zip(unit.categories, unit.probabilities, strict=True)) for unit in (new, old))
    if max(now, key=now.__getitem__, default=None) != max(then, key=then.__getitem__, default=None):
        return True
    return any(abs(now.get(value, 0.0) - then.get(value, 0.0)) > step for value in {*now, *then})
