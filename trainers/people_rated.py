"""What people rated, read from the log: the completions that judges are compared with."""

from trueloop.trainers.job_context import JobContext
from trueloop.trainers.log_events import events_of

from trueloop.events import Label, ReviewTask
from trueloop.labels.rated_completions import LabelsThatCount, RatedCompletion, rated_completions
from trueloop.rubrics import InForce
from trueloop.topics import LABELS, REVIEW_QUEUE


def people_rated(context: JobContext, in_force: InForce) -> list[RatedCompletion]:
    """Return at most `gate.judge_items` completions that people rated by the rubric in force. Raises UnavailableError.

    Labels are read before tasks and tasks one by one, so that of the whole queue only what was rated is held.
    """
    application = context.request.application
    labels = LabelsThatCount()
    for event in events_of(context, LABELS):
        if isinstance(event, Label) and event.application == application and (event.ratings or event.retracts):
            labels.add(event)
    tasks = (event for event in events_of(context, REVIEW_QUEUE) if isinstance(event, ReviewTask) and event.application == application)
    return rated_completions((task for task in tasks if labels.of(task.task_id)), labels, in_force.rubric, in_force.policy.gate.judge_items)
