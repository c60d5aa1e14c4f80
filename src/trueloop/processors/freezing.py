"""Where the trigger freezes a dataset version: at the policy's number of pairs, at an alarm, at a person's order; or goes back to an earlier one."""

from collections.abc import Mapping
from typing import Any

from trueloop.datasets.pair_log import EMPTY
from trueloop.datasets.running_log import PairLog
from trueloop.events import DatasetKind, DatasetOrder, DatasetOrderKind, DatasetVersion, DriftSignal, Event, FreezeCause, PreferencePair
from trueloop.events.identity import derive_id
from trueloop.processors.processor import Context, Step
from trueloop.processors.trigger_state import TriggerState
from trueloop.rubrics import InForce
from trueloop.topics import PREFERENCE_PAIRS

_DIGITS = 6
_ORDERS = 100
"""Orders that are remembered: a worker that dies reads at most the few again that it had in flight."""


def dataset_name(application: str) -> str:
    """Return the name of the dataset that the trigger freezes.

    >>> dataset_name("billing-support")
    'billing-support/pairs'
    """
    return f"{application}/pairs"


def log_key(rubric_id: str, rubric_version: int) -> str:
    """Return under which name the log of a rubric version is kept."""
    return f"{rubric_id}@{rubric_version}"


def freeze_standing(state: TriggerState, event: Event, governed: InForce, context: Context) -> Step[TriggerState]:
    """Freeze what lies there already: an alarm may suffice for it, or the history says that it was."""
    log = _log_in_force(state, governed)
    if log.chain in (EMPTY, state.dataset_hash) or not (isinstance(event, DriftSignal) or context.history):
        return Step(state, outcome="noted")
    frozen = freeze_if_due(state, log, event, governed, context)
    return frozen if frozen.out else Step(state, outcome="noted")


def freeze_if_due(state: TriggerState, log: PairLog, event: Event, governed: InForce, context: Context) -> Step[TriggerState]:
    """Freeze the next dataset version if this is its place."""
    training = governed.policy.training
    unanswered = [alarm.signal_id for _, alarm in sorted(state.alarms.items()) if not alarm.answered]
    effective = round(log.effective, _DIGITS)  # so that three thirds make a pair
    enough = isinstance(event, PreferencePair) and effective >= training.min_new_pairs
    known = _known_version(state, event.application, context)
    due = enough or (training.on_alarm is not None and bool(unanswered) and not context.restoring and effective >= training.on_alarm.min_new_pairs)
    if known is not None:
        due, unanswered = known.restores is None and known.content_hash == log.chain, known.drift_signal_ids
    if not due:
        return Step(state, outcome="counted")
    cause = unanswered[0] if unanswered and not enough else None
    told = {"frozen_by": FreezeCause.DRIFT if cause else FreezeCause.NEW_PAIRS, "drift_signal_ids": unanswered}
    return _frozen(state, log, known or _version(state, log, event, governed, told), governed, cause)


def obey(state: TriggerState, order: DatasetOrder, governed: InForce, context: Context) -> Step[TriggerState]:
    """Obey a person's order, once; refuse one that does not fit what is there.

    An order that was obeyed before, as `dataset-versions` tells, takes effect again at the place where it did. A rollback names the place up to which
    its author had read the log: when pairs have come since, what it says of them is not known, and it is refused.
    """
    obeyed = any(isinstance(event, DatasetVersion) and event.order_id == order.event_id for event in context.history)
    if obeyed or order.event_id in state.orders or context.restoring:
        return freeze_standing(state, order, governed, context)
    log = _log_in_force(state, governed)
    if order.dataset != dataset_name(order.application) or _known_version(state, order.application, context) is not None:
        return Step(state, outcome="refused")
    if order.kind is DatasetOrderKind.FREEZE and log.chain not in (EMPTY, state.dataset_hash):
        told = {"frozen_by": FreezeCause.PERSON, "order_id": order.event_id, "ordered_by": order.ordered_by, "changelog": _counted(log) + f": {order.reason}"}
        return _frozen(state, log, _version(state, log, order, governed, told), governed, None)
    fits = (order.rubric_id, order.rubric_version, order.place) == (governed.rubric.id, governed.rubric.version, state.pairs_offset + 1)
    if order.kind is DatasetOrderKind.ROLLBACK and order.restores is not None and fits:
        return _rolled_back(state, order, governed, None)
    return Step(state, outcome="refused")


def repeat_rollbacks(state: TriggerState, event: Event, governed: InForce, context: Context) -> Step[TriggerState]:
    """Return the step of the rollbacks that were ordered and obeyed at this very place of the log; without output when there was none."""
    found = Step(state, outcome="noted")
    while context.history:
        known = _known_version(found.state or state, event.application, context)
        if known is None or known.restores is None or known.place != state.pairs_offset + 1:
            break
        order = next((each for each in context.history if isinstance(each, DatasetOrder) and each.event_id == known.order_id), None)
        if order is None:
            break
        back = _rolled_back(found.state or state, order, governed, known)
        found = Step(back.state, (*found.out, *back.out), back.outcome)
    return found


def _log_in_force(state: TriggerState, governed: InForce) -> PairLog:
    return state.logs.get(log_key(governed.rubric.id, governed.rubric.version), PairLog())


def _frozen(state: TriggerState, log: PairLog, frozen: DatasetVersion, governed: InForce, cause: str | None) -> Step[TriggerState]:
    update: dict[str, Any] = {
        "logs": {**state.logs, log_key(governed.rubric.id, governed.rubric.version): log.frozen()},
        "dataset_version": frozen.version,
        "dataset_hash": frozen.content_hash,
        "pending": frozen,
        "cause": cause,
        "orders": _remembered(state, frozen),
        # Whatever stands now is answered by this dataset: an alarm orders one job at most.
        "alarms": {series: alarm.model_copy(update={"answered": True}) for series, alarm in state.alarms.items()},
    }
    return Step(state.model_copy(update=update), (frozen,), "dataset_frozen")


def _rolled_back(state: TriggerState, order: DatasetOrder, governed: InForce, known: DatasetVersion | None) -> Step[TriggerState]:
    """Go back. No job is ordered: what could be trained on the restored version was; a version that waited for its job holds what was taken back."""
    log = PairLog.restored(order)
    told = {
        "end_offset": order.end_offset,
        "restores": order.restores,
        "frozen_by": FreezeCause.ROLLBACK,
        "order_id": order.event_id,
        "ordered_by": order.ordered_by,
        "changelog": f"rolled back to version {order.restores}, {log.n_items} pairs: {order.reason}",
    }
    version = known or _version(state, log, order, governed, told)
    update: dict[str, Any] = {
        "logs": {**state.logs, log_key(version.rubric_id, version.rubric_version): log},
        "dataset_version": version.version,
        "dataset_hash": version.content_hash,
        "pending": None,
        "cause": None,
        "orders": _remembered(state, version),
    }
    return Step(state.model_copy(update=update), (version,), "rolled_back")


def _remembered(state: TriggerState, version: DatasetVersion) -> tuple[str, ...]:
    return state.orders if version.order_id is None else (*state.orders, version.order_id)[-_ORDERS:]


def _known_version(state: TriggerState, application: str, context: Context) -> DatasetVersion | None:
    """Return the next version as it was frozen by a worker that died before it noted so; None when there is none, or its place is behind."""
    key = (dataset_name(application), state.dataset_version + 1)
    found = (event for event in context.history if isinstance(event, DatasetVersion) and (event.name, event.version) == key)
    return next((version for version in found if version.place > state.pairs_offset), None)


def _counted(log: PairLog) -> str:
    return f"{log.n_new} new pairs, {log.n_items} in all"


def _version(state: TriggerState, log: PairLog, event: Event, governed: InForce, told: Mapping[str, Any]) -> DatasetVersion:
    name, version = dataset_name(event.application), state.dataset_version + 1
    found: dict[str, Any] = {
        "event_id": derive_id("dataset-version", name, str(version), log.chain),
        "occurred_at": event.occurred_at,
        "application": event.application,
        "name": name,
        "version": version,
        "kind": DatasetKind.PAIRS,
        "content_hash": log.chain,
        "parent": state.dataset_version or None,
        "topic": PREFERENCE_PAIRS.name,
        "partition": 0,
        "end_offset": state.pairs_offset + 1,
        "excluded": list(log.excluded),
        "n_items": log.n_items,
        "n_new": log.n_new,
        "sources": log.sources,
        "rubric_id": governed.rubric.id,
        "rubric_version": governed.rubric.version,
        "policy_version": governed.policy.version,
        "agreement": [state.agreement[name] for name in sorted(state.agreement)],
        "changelog": _counted(log),
    }
    return DatasetVersion(**{**found, **told})
