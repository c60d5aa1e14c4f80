"""Drift: losses in, signals out. State is the detector of one series and what it needs to count each observation once."""

from datetime import datetime
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from trueloop.drift.detector import NAME, Detector, null_mean, threshold, update
from trueloop.events import DriftObservations, DriftSignal
from trueloop.events.identity import derive_id
from trueloop.processors.processor import Context, Processor, Source, Step
from trueloop.rubrics import InForce
from trueloop.rubrics.policy import Drift
from trueloop.topics import DRIFT_OBSERVATIONS

OUTCOMES = frozenset({"observed", "duplicate", "no_policy"})

SIGNAL_EVERY = 50
"""Observations between signals when nothing happens: enough points for a chart, at 2 % of the traffic."""
MAX_EVIDENCE = 20
EVIDENCE_SPAN = 500
"""Observations after which a trace is no longer shown as evidence: an outlier of long ago says nothing of now."""
REMEMBERED = 500
"""Items of a series that are remembered, so that what two producers sent, or one twice, is counted once if the two are not further apart."""


class Evidence(BaseModel):
    """A trace with a loss above the null mean; `number` counts the observations of the series."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trace_id: str
    loss: float
    number: int


class SeriesState(BaseModel):
    """The detector of one series.

    `offsets` holds the last offset that was counted, per topic and partition: of the topic that this processor reads, and of those that the
    items came from. Whoever sends items again after a crash cuts its batches elsewhere, so events overlap; the items' own offsets tell which
    are new. `recent` holds the marks of the last items, newest last. `latest_at` is the newest event time: signals carry it, so that a late
    observation does not date the state back.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int = 2
    detector: Detector = Detector()
    observed: int = 0
    offsets: dict[str, int] = {}
    recent: tuple[int, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    latest_at: datetime | None = None


def step(state: SeriesState | None, event: DriftObservations, *, source: Source, now: datetime, final: bool, context: Context) -> Step[SeriesState]:
    """Count each item once, in the order of arrival, and signal when that changes what is known.

    A signal is sent when the detector's state changes, when the reference becomes full or is replaced, and at every `SIGNAL_EVERY`-th
    observation. Its id is a hash of series, number of observations and policy, so what is sent again after a crash is the same signal.
    """
    governed = context.governance.in_force(event.application, event.occurred_at)
    if governed is None:
        return Step(state, outcome="no_policy")
    known = state or SeriesState()
    if source.offset <= known.offsets.get(source.partition_name, -1):
        return Step(state, outcome="duplicate")
    fresh = _fresh(known, event)
    offsets = known.offsets | {source.partition_name: source.offset}
    if event.source is not None:
        offsets[event.source] = max(int(event.offset_values()[-1]), known.offsets.get(event.source, -1))
    following = known.model_copy(update={"offsets": offsets})
    if not fresh:
        return Step(following, outcome="duplicate")
    out: list[DriftSignal] = []
    losses, marks = event.loss_values().tolist(), event.mark_values().tolist()
    worst = {item.place: item.trace_id for item in event.worst}
    latest_at = max(known.latest_at or event.occurred_at, event.occurred_at)
    for place in fresh:
        before = following.detector
        item = _Item(losses[place], event.checkpoint_at(place), worst.get(place))
        following = _observed(following, item, latest_at, governed.policy.drift)
        changed = following.detector.state is not before.state or following.detector.reference != before.reference
        if changed or following.observed % SIGNAL_EVERY == 0:
            out.append(_signal(following, event, event.checkpoint_at(place), governed))
    recent = (*known.recent, *(marks[place] for place in fresh))[-REMEMBERED:]
    return Step(following.model_copy(update={"recent": recent}), tuple(out), "observed")


def _fresh(known: SeriesState, event: DriftObservations) -> list[int]:
    """Return the places of items that were not counted yet."""
    last = known.offsets.get(event.source, -1) if event.source is not None else -1
    offsets = event.offset_values().tolist()
    seen = set(known.recent)
    fresh: list[int] = []
    for place, mark in enumerate(event.mark_values().tolist()):
        if mark not in seen and (not offsets or offsets[place] > last):
            seen.add(mark)
            fresh.append(place)
    return fresh


class _Item(NamedTuple):
    """One observation; its trace is known when it is among the worst of its event."""

    loss: float
    checkpoint: str | None
    trace_id: str | None


def _observed(known: SeriesState, item: _Item, latest_at: datetime, config: Drift) -> SeriesState:
    detector = update(known.detector, item.loss, item.checkpoint, config)
    evidence = _evidence(known, item, detector, config)
    return known.model_copy(update={"detector": detector, "observed": known.observed + 1, "evidence": evidence, "latest_at": latest_at})


def _evidence(known: SeriesState, item: _Item, detector: Detector, config: Drift) -> tuple[Evidence, ...]:
    """Return the traces with the largest losses since the detector's last start, the newest first among equals."""
    if detector.reference is None:
        return ()
    number = known.observed + 1
    first = number - min(detector.current.n, EVIDENCE_SPAN) + 1
    above = item.trace_id is not None and number >= first and item.loss > null_mean(detector.reference, config)
    if not above and (not known.evidence or min(each.number for each in known.evidence) >= first):
        return known.evidence
    shown = [each for each in known.evidence if each.number >= first]
    if above and item.trace_id is not None:
        shown.append(Evidence(trace_id=item.trace_id, loss=item.loss, number=number))
    return tuple(sorted(shown, key=lambda each: (-each.loss, -each.number))[:MAX_EVIDENCE])


def _signal(state: SeriesState, event: DriftObservations, checkpoint: str | None, governed: InForce) -> DriftSignal:
    detector, config = state.detector, governed.policy.drift
    reference = detector.reference
    return DriftSignal(
        event_id=derive_id("drift-signal", event.series_id, str(state.observed), governed.policy_hash),
        occurred_at=state.latest_at or event.occurred_at,
        application=event.application,
        series_id=event.series_id,
        metric=event.metric,
        slice=event.slice,
        detector=NAME,
        state=detector.state,
        log_e_value=detector.evidence.log_e,
        threshold=threshold(config),
        arl_target=config.arl_target,
        n_reference=reference.n if reference else detector.block.n,
        reference_mean=reference.mean if reference else None,
        n_current=detector.current.n,
        current_mean=detector.current.mean,
        checkpoint=checkpoint,
        evidence_trace_ids=[each.trace_id for each in state.evidence],
    )


def _key(event: DriftObservations) -> str:
    return event.series_id


PROCESSOR = Processor(name="drift", inputs=(DRIFT_OBSERVATIONS,), step=step, outcomes=OUTCOMES, key=_key, state_type=SeriesState)
