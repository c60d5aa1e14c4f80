"""What is probably true of the newest tasks of an application, told when it has changed enough to matter."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import fsum

from trueloop.agreement.position import TIE
from trueloop.events import ItemTruth, StandingVoice, UnitTruth
from trueloop.events.identity import derive_id
from trueloop.reviewers.consequences import needs_adjudication
from trueloop.reviewers.judgements import StandingLabel, Unit
from trueloop.reviewers.panel_fit import FitWindow, PanelFit, Place
from trueloop.reviewers.truth import fitted_truth
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
        shown: Candidates that were displayed.
        needed: Labels that were asked for.
        labels: Those that count, in the order of their reviewers.
        places: Where each label was read that was ever given.
        involved: Reviewers whose labels do not count, because they had a part in what is appealed against.
    """

    task_id: str
    rubric: RubricKey
    at: datetime
    shown: int
    needed: int
    labels: tuple[StandingLabel, ...]
    places: tuple[Place, ...]
    involved: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Panel:
    """What is thought of the reviewers: the fit under each rubric version, and what each one's votes count (1 for one who is not named)."""

    fits: Mapping[RubricKey, PanelFit]
    weights: Mapping[str, float]


def categories_of(dimension: str, rubric: Rubric, shown: int) -> range:
    """Return what a unit can be: the values of a dimension's scale; for a preference a tie, or the place of one of `shown` candidates."""
    known = rubric.dimension(dimension)
    return range(TIE, shown) if known is None else range(known.scale.min, known.scale.max + 1)


def item_truth_of(application: str, task: JudgedTask, panel: Panel, governed: InForce, rubric: Rubric) -> ItemTruth:
    """Return what is probably true of a task. The event's id is a hash of its content: the same evidence gives the same event."""
    fit = panel.fits.get(task.rubric, PanelFit())
    names = [label.reviewer_id for label in task.labels]
    weights = {name: 0.0 if name in task.involved else panel.weights.get(name, 1.0) for name in names}
    votes: dict[Unit, dict[str, int]] = {}
    for label in task.labels:
        for unit, value in label.values.items():
            votes.setdefault(unit, {})[label.reviewer_id] = value
    units = [_unit(unit, votes[unit], fit, categories_of(unit[0], rubric, task.shown), weights) for unit in sorted(votes)]
    unsure = any(needs_adjudication(max(unit.probabilities, default=None), governed.policy.reviewers) for unit in units)
    content = ItemTruth(
        event_id="content",
        occurred_at=task.at,
        application=application,
        task_id=task.task_id,
        rubric_id=task.rubric[0],
        rubric_version=task.rubric[1],
        labels=[
            StandingVoice(label_id=label.label_id, reviewer_id=name, weight=weights[name], involved=name in task.involved)
            for name, label in zip(names, task.labels, strict=True)
        ],
        units=units,
        adjudicate=sum(name not in task.involved for name in names) >= task.needed and unsure,
    )
    return content.model_copy(update={"event_id": derive_id("item-truth", content.model_dump_json(exclude={"event_id"}))})


def _unit(unit: Unit, votes: Mapping[str, int], fit: PanelFit, categories: Sequence[int], weights: Mapping[str, float]) -> UnitTruth:
    dimension, candidate = unit
    found = fitted_truth(votes, fit.models.get(dimension), categories, weights=weights) or {}
    posterior = {value: round(found[value], _DIGITS) for value in categories if value in found}
    heard = [(weights[reviewer], value) for reviewer, value in sorted(votes.items()) if weights[reviewer] > 0]
    rated = bool(candidate) and bool(heard)
    return UnitTruth(
        dimension=dimension,
        candidate_id=candidate or None,
        categories=list(posterior),
        probabilities=list(posterior.values()),
        mean=fsum(w * value for w, value in heard) / fsum(w for w, _ in heard) if rated else None,
        n_labels=len(heard),
    )


class PanelTruths:
    """The tasks of an application whose labels are among those that reviewers are fitted to, and what was told of each.

    A task that was touched is told of when anything of it has changed. All others are looked at when a fit or a weight has changed, which the
    fits do every `FIT_EVERY` labels of a partition, and told of when a weight, the need of an adjudicator or the likeliest value has changed, or a
    probability by more than the policy's `truth_step`. So a label costs one event, and a fit at most one for each task of the window. A task that
    has left the window is told of only when it gets a label: what is learnt of reviewers later does not reach back for ever.

    What was told is remembered in memory only: after a restart every task of the window is told of again, most of them in the same words.
    """

    def __init__(self, window: FitWindow) -> None:
        self._window = window
        self._tasks: dict[str, JudgedTask] = {}
        self._told: dict[str, ItemTruth] = {}
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
        else:
            self._tasks[task_id] = task

    def changed(
        self, application: str, touched: Collection[str], panel: Panel, *, governed_at: Callable[[datetime], InForce | None], rubric_of: RubricOf
    ) -> Iterator[ItemTruth]:
        """Yield what has to be told, those that were touched first, the others in the order of their ids.

        Args:
            application: Whose tasks.
            touched: Ids of tasks that got a label or lost one.
            panel: What is thought of the reviewers now.
            governed_at: The policy in force at a moment.
            rubric_of: The rubric of an id and version.
        """
        # First, because a worker that starts anew has every task that it ever heard of here.
        self._prune()
        before, self._panel = self._panel, panel
        others = sorted(self._affected(before) - set(touched))
        for task_id in (*touched, *others):
            task = self._tasks.get(task_id)
            governed, rubric = (None, None) if task is None else (governed_at(task.at), rubric_of(*task.rubric))
            if task is None or governed is None or rubric is None:
                continue
            truth, told = item_truth_of(application, task, panel, governed, rubric), self._told.get(task_id)
            if told is None or (truth != told if task_id in touched else _is_news(truth, told, governed.policy.reviewers.truth_step)):
                self._told[task_id] = truth
                yield truth

    def _affected(self, before: Panel) -> set[str]:
        """Return the tasks whose fit has changed, or the weight of one of whose reviewers."""
        refitted = {rubric for rubric, fit in self._panel.fits.items() if fit is not before.fits.get(rubric)}
        weighed = {name for name, weight in self._panel.weights.items() if weight != before.weights.get(name)}
        if not refitted and not weighed:
            return set()
        return {key for key, task in self._tasks.items() if task.rubric in refitted or any(label.reviewer_id in weighed for label in task.labels)}

    def _prune(self) -> None:
        if self._pruned == self._window.boundary:
            return
        self._pruned = dict(self._window.boundary)
        for task_id in [task_id for task_id, task in self._tasks.items() if all(map(self._window.is_over, task.places))]:
            self.replace(task_id, None)


def _is_news(truth: ItemTruth, told: ItemTruth, step: float) -> bool:
    if (truth.labels, truth.adjudicate, len(truth.units)) != (told.labels, told.adjudicate, len(told.units)):
        return True
    return any(_moved(new, old, step) for new, old in zip(truth.units, told.units, strict=True))


def _moved(new: UnitTruth, old: UnitTruth, step: float) -> bool:
    now, then = (dict(zip(unit.categories, unit.probabilities, strict=True)) for unit in (new, old))
    if max(now, key=now.__getitem__, default=None) != max(then, key=then.__getitem__, default=None):
        return True
    return any(abs(now.get(value, 0.0) - then.get(value, 0.0)) > step for value in {*now, *then})
