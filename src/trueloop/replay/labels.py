"""The verdicts of a data set as labels on the tasks that its traces became."""

from collections.abc import Sequence
from datetime import datetime

from trueloop.events import Label, Preference, ReviewTask, derive_id
from trueloop.replay.item import ReplayItem


def labels_for(task: ReviewTask, item: ReplayItem, now: datetime) -> Sequence[Label]:
    """Return a label per verdict; none when the task does not show exactly the item's two different texts.

    Candidates are blind, so they are found by their text. The ids are hashes of task and reviewer: labelled twice equals labelled once.
    """
    by_text = {candidate.completion: candidate.candidate_id for candidate in task.candidates}
    texts = {item.trace.completion, *(alternative.completion for alternative in item.trace.alternatives)}
    if len(by_text) != len(task.candidates) or set(by_text) != texts or len(texts) < 2:
        return ()
    return [
        Label(
            event_id=derive_id("replay-label", task.task_id, verdict.reviewer_id),
            occurred_at=now,
            application=task.application,
            task_id=task.task_id,
            reviewer_id=verdict.reviewer_id,
            rubric_id=task.rubric_id,
            rubric_version=task.rubric_version,
            preferences=[Preference(dimension=None, preferred=None if verdict.preferred is None else by_text[verdict.preferred])],
        )
        for verdict in item.verdicts
    ]
