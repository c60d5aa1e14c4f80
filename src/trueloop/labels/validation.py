"""Whether a label fits its task and rubric."""

from collections.abc import Iterator

from trueloop.events import Label, ReviewForm, ReviewTask
from trueloop.rejection import Rejection, RejectReason
from trueloop.rubrics import Rubric


def fault_of(label: Label, task: ReviewTask, rubric: Rubric) -> Rejection | None:
    """Return why a label cannot count for its task, or None when it can. Messages name ids and numbers, never text."""
    if (label.rubric_id, label.rubric_version) != (task.rubric_id, task.rubric_version):
        return Rejection(
            RejectReason.RUBRIC_MISMATCH,
            f"label follows rubric {label.rubric_id!r} version {label.rubric_version}; task {task.task_id!r} asks for "
            f"{task.rubric_id!r} version {task.rubric_version}",
        )
    # Who was asked to mark errors and marks none says that there are none.
    if task.form is not ReviewForm.SPAN and not (label.ratings or label.preferences or label.spans or label.rewrite or label.critiques):
        return Rejection(RejectReason.EMPTY_LABEL, "label says nothing; give ratings, preferences, spans, a rewrite or critiques")
    return next(_faults(label, task, rubric), None)


def _faults(label: Label, task: ReviewTask, rubric: Rubric) -> Iterator[Rejection]:
    lengths = {candidate.candidate_id: len(candidate.completion) for candidate in task.candidates}
    yield from _unknown_candidates(label, set(lengths), task.task_id)
    yield from _unknown_dimensions(label, rubric)
    yield from _off_scale(label, rubric)
    yield from _repeated(label)
    for span in label.spans:
        if not span.start < span.end <= lengths[span.candidate_id]:
            yield Rejection(RejectReason.OFF_SCALE, f"span {span.start}..{span.end} lies outside the completion of {lengths[span.candidate_id]} characters")


def _unknown_candidates(label: Label, known: set[str], task_id: str) -> Iterator[Rejection]:
    named = [*(r.candidate_id for r in label.ratings), *(s.candidate_id for s in label.spans), *(c.candidate_id for c in label.critiques)]
    named += [preference.preferred for preference in label.preferences if preference.preferred is not None]
    named += [label.rewrite.candidate_id] if label.rewrite else []
    for name in named:
        if name not in known:
            yield Rejection(RejectReason.UNKNOWN_CANDIDATE, f"candidate {name!r} is not in task {task_id!r}; expected one of {sorted(known)}")


def _unknown_dimensions(label: Label, rubric: Rubric) -> Iterator[Rejection]:
    known = [dimension.name for dimension in rubric.dimensions]
    named = [*(r.dimension for r in label.ratings), *(s.dimension for s in label.spans)]
    named += [preference.dimension for preference in label.preferences if preference.dimension is not None]
    for name in named:
        if name not in known:
            yield Rejection(RejectReason.UNKNOWN_DIMENSION, f"dimension {name!r} is not in rubric {rubric.id!r}; expected one of {known}")


def _off_scale(label: Label, rubric: Rubric) -> Iterator[Rejection]:
    for rating in label.ratings:
        dimension = rubric.dimension(rating.dimension)
        if dimension is None:
            continue
        low, high = dimension.scale.min, dimension.scale.max
        if not low <= rating.value <= high:
            yield Rejection(RejectReason.OFF_SCALE, f"rating {rating.value} on {rating.dimension!r} is off the scale {low}..{high}")


def _repeated(label: Label) -> Iterator[Rejection]:
    rated = [(rating.candidate_id, rating.dimension) for rating in label.ratings]
    preferred = [preference.dimension for preference in label.preferences]
    if len(set(rated)) < len(rated) or len(set(preferred)) < len(preferred):
        yield Rejection(RejectReason.INVALID_EVENT, "label says two things of one candidate and dimension; expected one")
