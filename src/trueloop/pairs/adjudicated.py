"""What adjudicators decided of a task, in the place of what its reviewers said."""

from collections.abc import Sequence
from datetime import datetime

from trueloop.agreement.position import TIE
from trueloop.events import ItemTruth, Label, Preference, Rating, ReviewTask
from trueloop.labels.contributions import preference_dimension, rubric_dimension
from trueloop.rubrics import OVERALL


def is_decided(truth: ItemTruth | None) -> bool:
    """Return whether an adjudicator has decided something of a task."""
    return truth is not None and any(unit.decided is not None for unit in truth.units)


def heard_labels(task: ReviewTask, labels: Sequence[Label], truth: ItemTruth | None) -> Sequence[Label]:
    """Return the labels that a task's pairs stand on: those of its reviewers, less what adjudicators decided, and the decisions as labels of theirs.

    A decision bears the id of the adjudicator's label, which lies on the task's adjudication. What reviewers wrote (rewrites, edits) stays: nobody
    was asked to decide on that.
    """
    if truth is None or not is_decided(truth):
        return labels
    decided = {(unit.dimension, unit.candidate_id or ""): unit.decided for unit in truth.units if unit.decided is not None}
    kept = [
        label.model_copy(
            update={
                "ratings": [each for each in label.ratings if (each.dimension, each.candidate_id) not in decided],
                "preferences": [each for each in label.preferences if (preference_dimension(each.dimension), "") not in decided],
            }
        )
        for label in labels
    ]
    deciding = [voice for voice in truth.adjudicators if voice.weight > 0]
    return [*kept, *(_decision(task, voice.label_id, voice.reviewer_id, decided, truth.occurred_at) for voice in deciding)]


def _decision(task: ReviewTask, label_id: str, reviewer_id: str, decided: dict[tuple[str, str], int], at: datetime) -> Label:
    ratings = [Rating(candidate_id=candidate, dimension=dimension, value=value) for (dimension, candidate), value in decided.items() if candidate]
    preferences = [
        Preference(
            dimension=None if dimension == OVERALL else rubric_dimension(dimension), preferred=None if value == TIE else task.candidates[value].candidate_id
        )
        for (dimension, candidate), value in decided.items()
        if not candidate
    ]
    return Label(
        event_id=label_id,
        occurred_at=at,
        application=task.application,
        task_id=task.task_id,
        reviewer_id=reviewer_id,
        rubric_id=task.rubric_id,
        rubric_version=task.rubric_version,
        ratings=ratings,
        preferences=preferences,
    )
