"""Completions that people rated: what a judge is compared with."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import fsum

from trueloop.events import Label, Message, ReviewTask
from trueloop.events.identity import derive_id
from trueloop.labels.validation import fault_of
from trueloop.rubrics import Rubric


@dataclass(frozen=True, slots=True)
class RatedCompletion:
    """A completion, and per dimension the mean of its ratings as a share of the scale, [0, 1].

    `probability` is that with which its trace was to be included, `cluster` the prompt: answers to one prompt are not independent.
    """

    unit_id: str
    messages: tuple[Message, ...]
    completion: str
    ratings: Mapping[str, float]
    probability: float
    cluster: str


class LabelsThatCount:
    """The newest label of each reviewer on each task, whatever order labels are read in within a task."""

    def __init__(self) -> None:
        self._by_task: dict[str, dict[str, Label]] = {}
        self._retracted: set[tuple[str, str]] = set()

    def add(self, label: Label) -> None:
        """Take note of a label: it replaces an earlier one of its reviewer, for good; a retraction removes it."""
        if label.retracts is not None:
            self._retracted.add((label.reviewer_id, label.retracts))
            return
        own = self._by_task.setdefault(label.task_id, {})
        known = own.get(label.reviewer_id)
        if known is None or (known.occurred_at, known.event_id) <= (label.occurred_at, label.event_id):
            own[label.reviewer_id] = label

    def of(self, task_id: str) -> list[Label]:
        """Return the labels that count on a task."""
        newest = self._by_task.get(task_id, {}).values()
        return [label for label in newest if (label.reviewer_id, label.event_id) not in self._retracted]


def rated_completions(tasks: Iterable[ReviewTask], labels: LabelsThatCount, rubric: Rubric, most: int) -> list[RatedCompletion]:
    """Return at most `most` rated completions, chosen by hash, of tasks that were drawn from the population and judged by this rubric.

    Labels that do not fit their task do not count. A task without enough labels counts with those that it has.
    """
    found: dict[str, RatedCompletion] = {}
    for task in tasks:
        if not task.in_population or (task.rubric_id, task.rubric_version) != (rubric.id, rubric.version):
            continue
        fitting = [label for label in labels.of(task.task_id) if fault_of(label, task, rubric) is None]
        for candidate in task.candidates:
            ratings = _means(fitting, candidate.candidate_id, rubric)
            if ratings:
                unit = derive_id("rated", task.task_id, candidate.candidate_id)
                found[unit] = RatedCompletion(unit, tuple(task.messages), candidate.completion, ratings, task.sampling_prob, task.prompt_hash)
    return [found[unit] for unit in sorted(found)[:most]]


def _means(labels: Iterable[Label], candidate_id: str, rubric: Rubric) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for label in labels:
        for rating in label.ratings:
            dimension = rubric.dimension(rating.dimension)
            if rating.candidate_id == candidate_id and dimension is not None:
                values.setdefault(rating.dimension, []).append(1.0 - dimension.scale.loss(rating.value))
    return {name: fsum(given) / len(given) for name, given in values.items()}
