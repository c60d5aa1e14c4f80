"""Appeals: users' objections in, blind re-reviews out. State is one trace: that its re-review was opened.

What users object to is no sample of what was served, so these tasks have a stratum of their own and enter no estimate. A prompt of the held-out split
is held out from now on, drawn or not: candidates are evaluated on what users objected to.
"""

from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict

from trueloop.events import Appeal, CalibrationReason, Consent, Event, ReviewTask, SamplingReason, Split, prompt_hash
from trueloop.events.identity import derive_id
from trueloop.processors.processor import Context, Processor, Source, Step
from trueloop.rejection import Rejection, RejectReason
from trueloop.rubrics import InForce
from trueloop.sampling.blinding import blind, seal
from trueloop.sampling.held_out import held_out
from trueloop.sampling.reviewed import subject_pseudonym
from trueloop.sampling.splits import cluster_of, split_of
from trueloop.topics import APPEALS

OUTCOMES = frozenset({"review_opened", "already_open", "no_consent", "no_content", "no_policy", "rejected"})
STRATUM = "appeal"
"""It is no slice: those are called 'name=value'."""
LABELS_NEEDED = 2


class AppealState(BaseModel):
    """A trace that is re-reviewed: who objects to it again, in other words or as another user, opens no second review."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int = 1
    task_id: str


def step(state: AppealState | None, event: Appeal, *, source: Source, now: datetime, final: bool, context: Context) -> Step[AppealState]:
    """Open a re-review of the answer that is objected to. Nobody reads what its subject did not allow to be read."""
    governed = context.governance.in_force(event.application, event.occurred_at)
    if governed is None:
        return Step(state, outcome="no_policy")
    if state is not None:
        return Step(state, outcome="already_open")
    if event.consent not in (Consent.REVIEW, Consent.TRAINING):
        return Step(outcome="no_consent")
    if not event.messages or event.completion is None:
        return Step(outcome="no_content")
    limit = governed.policy.sampling.max_text_chars
    if (size := sum(len(message.content) for message in event.messages) + len(event.completion)) > limit:
        message = f"appeal against trace {event.trace_id!r} holds {size} characters; policy {governed.policy.id!r} allows {limit} (sampling.max_text_chars)"
        return Step(outcome="rejected", rejection=Rejection(RejectReason.TOO_LARGE, message))
    task = _task(event, event.completion, governed, context)
    out: tuple[Event, ...] = (task,)
    if task.split is Split.CALIBRATION:
        item = held_out(event.application, event.trace_id, event.messages, at=event.occurred_at, slices=event.slices, reason=CalibrationReason.APPEAL)
        out = (task, item)
    return Step(AppealState(task_id=task.task_id), out, "review_opened")


def _task(appeal: Appeal, completion: str, governed: InForce, context: Context) -> ReviewTask:
    """Make the task. It holds nothing of what the user says, and who it is under a seal: else it would no longer be a blind review."""
    policy = governed.policy
    identity = prompt_hash(appeal.messages)
    task_id = derive_id("task", "appeal", appeal.application, appeal.trace_id)
    subject = None if appeal.subject_id is None else subject_pseudonym(appeal.application, appeal.subject_id)
    return ReviewTask(
        event_id=derive_id("review-task", task_id, appeal.event_id, governed.policy_hash),
        occurred_at=appeal.occurred_at,
        application=appeal.application,
        task_id=task_id,
        trace_id=appeal.trace_id,
        form=policy.sampling.appeal_form,
        rubric_id=governed.rubric.id,
        rubric_version=governed.rubric.version,
        rubric_hash=governed.rubric_hash,
        policy_id=policy.id,
        policy_version=policy.version,
        policy_hash=governed.policy_hash,
        sampling_prob=1.0,
        stratum=STRATUM,
        reasons=[SamplingReason.APPEAL],
        slices=appeal.slices,
        prompt_hash=identity,
        split=split_of(cluster_of(appeal.messages, appeal.slices, policy.sampling.split_by, identity), policy.sampling.calibration_share),
        trainable=appeal.consent is Consent.TRAINING,
        labels_needed=LABELS_NEEDED,
        pool=policy.sampling.pool,
        due_at=appeal.occurred_at + timedelta(minutes=policy.sampling.due_minutes),
        appellant=None if subject is None else seal(context.blinding_key, task_id, subject),
        messages=appeal.messages,
        candidates=blind(context.blinding_key, task_id, [completion]),
    )


def _key(event: Appeal) -> str:
    return f"{event.application}/{event.trace_id}"


PROCESSOR = Processor(name="appeals", inputs=(APPEALS,), step=step, outcomes=OUTCOMES, key=_key, state_type=AppealState)
