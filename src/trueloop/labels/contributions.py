"""What a task's labels contribute to agreement: for each unit, how many raters gave which value."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from trueloop.events import AgreementUnits, Label, ReviewTask, UnitCounts
from trueloop.events.identity import derive_id
from trueloop.rubrics import OVERALL, Rubric

ALL = "all"
TIE = -1
"""Value of a tie among preferences; otherwise the value is the place of the preferred candidate before it was shuffled."""


def preference_dimension(dimension: str | None) -> str:
    """Return the name of the agreement series of preferences on a dimension: preferences and ratings are never mixed.

    >>> preference_dimension(None), preference_dimension("tone")
    ('overall', 'preference:tone')
    """
    return OVERALL if dimension is None else f"preference:{dimension}"


def agreement_series(application: str, dimension: str, slice_name: str, rubric_id: str, rubric_version: int) -> str:
    """Return the id of an agreement series."""
    return derive_id("agreement", application, dimension, slice_name, rubric_id, str(rubric_version))


def contributions(
    task: ReviewTask,
    labels: Sequence[Label],
    rubric: Rubric,
    *,
    places: Mapping[str, int],
    slices: Sequence[str],
    revision: int,
    dimensions: Sequence[str],
) -> Iterator[AgreementUnits]:
    """Yield the task's whole contribution to each series.

    `places` gives each candidate id its place before the display order was shuffled, 0 being the completion that was served.
    `dimensions` names series to report even when no label speaks of them any more.
    """
    units = _units(task, labels, places)
    known = [name for name in (*(d.name for d in rubric.dimensions), *units, *dimensions) if name in units or name in dimensions]
    names = [ALL, *(f"{name}={task.slices[name]}" for name in slices if name in task.slices)]
    for dimension in dict.fromkeys(known):
        counted = [
            UnitCounts(unit_id=unit, values=sorted(counts), counts=[counts[value] for value in sorted(counts)])
            for unit, counts in sorted(units.get(dimension, {}).items())
        ]
        for name in names:
            series = agreement_series(task.application, dimension, name, task.rubric_id, task.rubric_version)
            yield AgreementUnits(
                event_id=derive_id("units", series, task.task_id, str(revision)),
                occurred_at=task.occurred_at,
                application=task.application,
                series_id=series,
                dimension=dimension,
                slice=name,
                rubric_id=task.rubric_id,
                rubric_version=task.rubric_version,
                task_id=task.task_id,
                task_at=task.occurred_at,
                revision=revision,
                units=counted,
            )


def _units(task: ReviewTask, labels: Sequence[Label], places: Mapping[str, int]) -> dict[str, dict[str, Counter[int]]]:
    units: dict[str, dict[str, Counter[int]]] = {}
    for label in labels:
        for rating in label.ratings:
            units.setdefault(rating.dimension, {}).setdefault(rating.candidate_id, Counter())[rating.value] += 1
        for preference in label.preferences:
            value = TIE if preference.preferred is None else places[preference.preferred]
            units.setdefault(preference_dimension(preference.dimension), {}).setdefault(task.task_id, Counter())[value] += 1
    return units
