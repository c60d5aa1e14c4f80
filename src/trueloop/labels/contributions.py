"""What a task's labels contribute to agreement: for each unit, how many raters gave which value."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from trueloop.agreement.position import TIE
from trueloop.agreement.span_marks import marked_members
from trueloop.events import AgreementUnits, Label, ReviewForm, ReviewTask, UnitCounts
from trueloop.events.agreement_units import UnitKind
from trueloop.events.identity import derive_id
from trueloop.rubrics import OVERALL, Rubric

ALL = "all"
_PREFERENCE, _SPANS = "preference:", "spans:"


def preference_dimension(dimension: str | None) -> str:
    """Return the name of the agreement series of preferences on a dimension: preferences and ratings are never mixed.

    >>> preference_dimension(None), preference_dimension("tone")
    ('overall', 'preference:tone')
    """
    return OVERALL if dimension is None else _PREFERENCE + dimension


def rubric_dimension(series_dimension: str) -> str:
    """Return the dimension of the rubric that a series speaks of, or 'overall'.

    >>> rubric_dimension("spans:tone"), rubric_dimension("tone"), rubric_dimension("overall")
    ('tone', 'tone', 'overall')
    """
    return series_dimension.removeprefix(_PREFERENCE).removeprefix(_SPANS)


def unit_kind(series_dimension: str) -> UnitKind:
    """Return what is judged in a series.

    >>> unit_kind("overall").value, unit_kind("spans:tone").value, unit_kind("tone").value
    ('PREFERENCE', 'SPAN', 'RATING')
    """
    if series_dimension.startswith(_SPANS):
        return UnitKind.SPAN
    return UnitKind.PREFERENCE if series_dimension == OVERALL or series_dimension.startswith(_PREFERENCE) else UnitKind.RATING


def dimensions_of(task: ReviewTask, label: Label, rubric: Rubric) -> Iterator[str]:
    """Yield the agreement series that a label speaks of. Who is asked to mark spans and marks none says that there are none."""
    yield from (rating.dimension for rating in label.ratings)
    yield from (preference_dimension(preference.dimension) for preference in label.preferences)
    if task.form is ReviewForm.SPAN:
        yield from (_SPANS + dimension.name for dimension in rubric.dimensions)


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

    A task that was not drawn from the population (an appeal) contributes nothing: its labels say nothing of all answers.
    `places` gives each candidate id its place before the display order was shuffled, 0 being the completion that was served.
    `dimensions` names series to report even when no label speaks of them any more.
    """
    if not task.in_population:
        return
    units = _units(task, labels, places, rubric)
    known = [name for name in (*(d.name for d in rubric.dimensions), *units, *dimensions) if name in units or name in dimensions]
    names = [ALL, *(f"{name}={task.slices[name]}" for name in slices if name in task.slices)]
    for dimension in dict.fromkeys(known):
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
                kind=unit_kind(dimension),
                task_id=task.task_id,
                task_at=task.occurred_at,
                revision=revision,
                units=units.get(dimension, []),
            )


def _units(task: ReviewTask, labels: Sequence[Label], places: Mapping[str, int], rubric: Rubric) -> dict[str, list[UnitCounts]]:
    found: dict[str, list[UnitCounts]] = {}
    for dimension, rated in _ratings(labels).items():
        found[dimension] = [_counted(candidate, counts) for candidate, counts in sorted(rated.items())]
    for dimension, preferred in _preferences(labels).items():
        counts = Counter(TIE if candidate is None else places[candidate] for candidate in preferred)
        first = task.candidates[0].candidate_id
        found[dimension] = [_counted(task.task_id, counts, shown=len(task.candidates), shown_first=preferred.count(first))]
    if task.form is ReviewForm.SPAN and labels:
        for known in rubric.dimensions:
            found[_SPANS + known.name] = list(_characters(task, labels, known.name))
    return found


def _ratings(labels: Sequence[Label]) -> dict[str, dict[str, Counter[int]]]:
    found: dict[str, dict[str, Counter[int]]] = {}
    for label in labels:
        for rating in label.ratings:
            found.setdefault(rating.dimension, {}).setdefault(rating.candidate_id, Counter())[rating.value] += 1
    return found


def _preferences(labels: Sequence[Label]) -> dict[str, list[str | None]]:
    found: dict[str, list[str | None]] = {}
    for label in labels:
        for preference in label.preferences:
            found.setdefault(preference_dimension(preference.dimension), []).append(preference.preferred)
    return found


def _characters(task: ReviewTask, labels: Sequence[Label], dimension: str) -> Iterator[UnitCounts]:
    for candidate in sorted(task.candidates, key=lambda each: each.candidate_id):
        marked = [
            [(span.start, span.end) for span in label.spans if (span.candidate_id, span.dimension) == (candidate.candidate_id, dimension)] for label in labels
        ]
        for pattern, repeats in marked_members(marked, len(candidate.completion)):
            yield UnitCounts(
                unit_id=candidate.candidate_id, values=[int(value) for value, _ in pattern], counts=[count for _, count in pattern], repeats=repeats
            )


def _counted(unit_id: str, counts: Mapping[int, int], *, shown: int | None = None, shown_first: int | None = None) -> UnitCounts:
    values = sorted(counts)
    return UnitCounts(unit_id=unit_id, values=values, counts=[counts[value] for value in values], shown=shown, shown_first=shown_first)
