"""What is told of a trace beside the task that it became."""

from trueloop.events import ReviewedTrace, ReviewTask, Trace
from trueloop.events.identity import derive_id
from trueloop.sampling.blinding import candidate_id


def subject_pseudonym(application: str, subject_id: str) -> str:
    """Return what a subject is called where no trace is: a hash of the application and the subject's id."""
    return derive_id("subject", application, subject_id)


def reviewed_trace(trace: Trace, task: ReviewTask, blinding_key: str) -> ReviewedTrace:
    """Return what estimates have to know of a trace and reviewers must not see: its scores, whose it is, and which candidate was served."""
    return ReviewedTrace(
        event_id=derive_id("reviewed-trace", task.event_id),
        occurred_at=task.occurred_at,
        application=task.application,
        task_id=task.task_id,
        trace_id=task.trace_id,
        rubric_id=task.rubric_id,
        rubric_version=task.rubric_version,
        policy_id=task.policy_id,
        policy_version=task.policy_version,
        sampling_prob=task.sampling_prob,
        stratum=task.stratum,
        served=candidate_id(blinding_key, task.task_id, 0),
        slices=task.slices,
        scores=trace.scores,
        cluster=None if trace.subject_id is None else subject_pseudonym(task.application, trace.subject_id),
    )
