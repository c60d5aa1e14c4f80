"""Drift: losses in, signals out. State is the detector of one series and what it needs to count each observation once."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from trueloop.drift.detector import NAME, Detector, null_mean, threshold, update
from trueloop.events import DriftObservation, DriftSignal
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
"""Event ids that are remembered. The producer of observations sends its last batch again after a crash, at new offsets; a batch has fewer per
series than this."""


class Evidence(BaseModel):
    """A trace with a loss above the null mean; `number` counts the observations of the series."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trace_id: str
    loss: float
    number: int


class SeriesState(BaseModel):
    """The detector of one series.

    `offsets` holds the last offset that was counted, per topic and partition, and `recent` short hashes of the last event ids, newest last.
    `latest_at` is the newest event time: signals carry it, so that a late observation does not date the state back.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int = 1
    detector: Detector = Detector()
    observed: int = 0
    offsets: dict[str, int] = {}
    recent: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    latest_at: datetime | None = None


def step(state: SeriesState | None, event: DriftObservation, *, source: Source, now: datetime, final: bool, context: Context) -> Step[SeriesState]:
    """Count an observation once, in the order of arrival, and signal when that changes what is known.

    A signal is sent when the detector's state changes, when the reference becomes full or is replaced, and at every `SIGNAL_EVERY`-th
    observation. Its id is a hash of series, number of observations and policy, so what is sent again after a crash is the same signal.
    """
    governed = context.governance.in_force(event.application, event.occurred_at)
    if governed is None:
        return Step(state, outcome="no_policy")
    known = state or SeriesState()
    place, mark = f"{source.topic}/{source.partition}", derive_id(event.event_id)[:16]
    if source.offset <= known.offsets.get(place, -1):
        return Step(state, outcome="duplicate")
    offsets = known.offsets | {place: source.offset}
    if mark in known.recent:
        return Step(known.model_copy(update={"offsets": offsets}), outcome="duplicate")
    config = governed.policy.drift
    detector = update(known.detector, event.loss, event.checkpoint, config)
    following = SeriesState(
        detector=detector,
        observed=known.observed + 1,
        offsets=offsets,
        recent=(*known.recent, mark)[-REMEMBERED:],
        evidence=_evidence(known, event, detector, config),
        latest_at=max(known.latest_at or event.occurred_at, event.occurred_at),
    )
    before = known.detector
    changed = detector.state is not before.state or detector.reference != before.reference
    signal = changed or following.observed % SIGNAL_EVERY == 0
    return Step(following, (_signal(following, event, governed),) if signal else (), "observed")


def _evidence(known: SeriesState, event: DriftObservation, detector: Detector, config: Drift) -> tuple[Evidence, ...]:
    """Return the traces with the largest losses since the detector's last start, the newest first among equals."""
    if detector.reference is None:
        return ()
    number = known.observed + 1
    first = number - min(detector.current.n, EVIDENCE_SPAN) + 1
    shown = [each for each in known.evidence if each.number >= first]
    if number >= first and event.loss > null_mean(detector.reference, config):
        shown.append(Evidence(trace_id=event.trace_id, loss=event.loss, number=number))
    return tuple(sorted(shown, key=lambda each: (-each.loss, -each.number))[:MAX_EVIDENCE])


def _signal(state: SeriesState, event: DriftObservation, governed: InForce) -> DriftSignal:
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
        checkpoint=event.checkpoint,
        evidence_trace_ids=[each.trace_id for each in state.evidence],
    )


def _key(event: DriftObservation) -> str:
    return event.series_id


PROCESSOR = Processor(name="drift", inputs=(DRIFT_OBSERVATIONS,), step=step, outcomes=OUTCOMES, key=_key, state_type=SeriesState)
