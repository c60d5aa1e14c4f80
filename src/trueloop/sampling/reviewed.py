"""What is told of a trace beside the task that it became."""

from typing import Literal

from trueloop.events import ReviewedTrace, ReviewTask, Trace
from trueloop.events.identity import derive_id
from trueloop.sampling.blinding import candidate_id
from trueloop.sampling.splits import cluster_of

Clusters = Literal["subject", "conversation"]


def subject_pseudonym(application: str, subject_id: str) -> str:
    """Return what a subject is called where no trace is: a hash of the application and the subject's id."""
    return derive_id("subject", application, subject_id)


def estimate_cluster(trace: Trace, cluster_by: Clusters) -> str | None:
    """Return what the traces of one subject, or of one conversation, have in common, as a hash; None for a trace that is alike to no other.

    A trace names its subject, or it has none. Nothing names its conversation: all turns of one begin with the turns up to the first answer, so these
    and the subject stand for it. Without a subject, conversations that begin in the same words count as one: their answers are alike too.
    """
    subject = None if trace.subject_id is None else subject_pseudonym(trace.application, trace.subject_id)
    if cluster_by == "subject" or not trace.messages:
        return subject
    return derive_id("estimate-conversation", trace.application, subject or "", cluster_of(trace.messages, trace.slices, "conversation"))


def reviewed_trace(trace: Trace, task: ReviewTask, blinding_key: str, cluster_by: Clusters) -> ReviewedTrace:
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
        cluster=estimate_cluster(trace, cluster_by),
    )
