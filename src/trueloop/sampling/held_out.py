"""Prompts that are held out: what candidates are evaluated on, and never trained on."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from trueloop.events import CalibrationItem, CalibrationReason, Message, prompt_hash
from trueloop.events.identity import derive_id


def held_out(
    application: str, trace_id: str, messages: Sequence[Message], *, at: datetime, slices: Mapping[str, str], reason: CalibrationReason
) -> CalibrationItem:
    """Return the calibration item of a trace's prompt. Traces with the same prompt are the same item, and the newest of them tells its reason."""
    identity = prompt_hash(messages)
    item_id = derive_id("calibration", application, identity)
    return CalibrationItem(
        event_id=derive_id("calibration-item", item_id, trace_id, reason.value),
        occurred_at=at,
        application=application,
        item_id=item_id,
        prompt_hash=identity,
        trace_id=trace_id,
        reason=reason,
        slices=dict(slices),
        messages=list(messages),
    )
