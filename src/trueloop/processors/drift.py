"""Drift: losses in, signals out. State is the detector of one series and what it needs to count each observation once."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict

from trueloop.drift.betting import log_wealth_above, mixture
from trueloop.drift.detector import NAME, Detector, null_mean, rebased_on_release, threshold, update_batch
from trueloop.drift.loss_window import LossWindow, extend
from trueloop.drift.observations import fresh, remembered
from trueloop.drift.silence import Silence, SilenceBook
from trueloop.events import DriftObservations, DriftSignal, DriftState, Event
from trueloop.events.identity import derive_id
from trueloop.processors.processor import Context, Processor, Source, Step, View
from trueloop.rubrics import InForce
from trueloop.topics import DRIFT_OBSERVATIONS

OUTCOMES = frozenset({"observed", "duplicate", "no_policy"})

SIGNAL_EVERY = 50
"""Observations between signals when nothing happens: enough points for a chart, at 2 % of the traffic."""
MAX_EVIDENCE = 20
EVIDENCE_SPAN = 500
"""Observations after which a trace is no longer shown as evidence: an outlier of long ago says nothing of now."""
REMEMBERED = 500
"""Items of a series and source that are remembered, so that what two producers sent, or one twice, is counted once if the two are not further apart."""
REMEMBERED_UNORDERED = 4000
"""The same for items that come in no order of a source, such as tasks: all that a worker can have in hand when it dies, which it tells again."""


class Evidence(BaseModel):
    """A trace with a loss above the null mean; `number` counts the observations of the series."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trace_id: str
    loss: float
    number: int


class FixedWindow(BaseModel):
    """Windows of `reference_size` losses that follow each other, and the e-value of the last full one against the reference.

    Where a window ends is fixed beforehand and nobody looks in between, so its e-value, that of the gamblers of `betting` against the null mean
    which was in force when it began, may be put beside those of other series (`e_benjamini_hochberg`). That of the e-detector may not: it has been
    stopped where it was large. Losses count rounded up to 1/240, which a tolerance of that much makes up for.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    losses: LossWindow = LossWindow()
    null_mean: float | None = None
    log_e: float | None = None
    n: int = 0


class SeriesState(BaseModel):
    """The detector of one series.

    `offsets` holds the last offset that was counted, per topic and partition: of the topic that this processor reads, and of those that the
    items came from. Whoever sends items again after a crash cuts its batches elsewhere, so events overlap; the items' own offsets tell which
    are new. `recent` holds the marks of the last items of each source ('' for none), newest last, eight bytes each: copies of an item come
    from one source, and between two of them there may be a batch of every other. `latest_at` is the newest event time: signals carry it, so that a late
    observation does not date the state back; `last_at` is that of the newest observation. `block_from` is when the detector's block was begun.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_bytes="base64", val_json_bytes="base64")

    version: int = 4
    application: str
    metric: str
    slice: str
    detector: Detector = Detector()
    observed: int = 0
    offsets: dict[str, int] = {}
    recent: dict[str, bytes] = {}
    evidence: tuple[Evidence, ...] = ()
    latest_at: datetime | None = None
    last_at: datetime | None = None
    silent_at: datetime | None = None
    block_from: datetime | None = None
    reference_from: datetime | None = None
    reference_to: datetime | None = None
    window: FixedWindow = FixedWindow()


def step(state: SeriesState | None, event: DriftObservations, *, source: Source, now: datetime, final: bool, context: Context) -> Step[SeriesState]:
    """Count each item once, in the order of arrival, and signal when that changes what is known.

    A signal is sent when the detector's state changes, when the reference becomes full or is replaced, when a fixed window is full, at every
    `SIGNAL_EVERY`-th observation, and when the series comes back from silence. Its id is a hash of series, number of observations and policy, so
    what is sent again after a crash is the same signal.
    """
    governed = context.governance.in_force(event.application, event.occurred_at)
    if governed is None:
        return Step(state, outcome="no_policy")
    known = state or SeriesState(application=event.application, metric=event.metric, slice=event.slice)
    if source.offset <= known.offsets.get(source.partition_name, -1):
        return Step(state, outcome="duplicate")
    offsets = known.offsets | {source.partition_name: source.offset}
    last = -1
    if event.source is not None:
        last = known.offsets.get(event.source, -1)
        offsets[event.source] = max(int(event.offset_values()[-1]), last)
    marks, origin = event.mark_values(), event.source or ""
    places = fresh(marks, event.offset_values(), last=last, recent=np.frombuffer(known.recent.get(origin, b""), "<i8"))
    if not places:
        return Step(known.model_copy(update={"offsets": offsets}), outcome="duplicate")
    course = _Course(known, event, governed)
    for stretch in _stretches(event, places):
        course.take(stretch)
    most = REMEMBERED_UNORDERED if event.source is None else REMEMBERED
    recent = known.recent | {origin: remembered(known.recent.get(origin, b""), marks[places], most)}
    following = course.ended().model_copy(update={"offsets": offsets, "recent": recent})
    return Step(following, tuple(course.out), "observed", touched=("silence",))


class _Stretch(NamedTuple):
    """Losses that one checkpoint answered for; the trace of the last one is known when it is among the worst of its event."""

    losses: list[float]
    checkpoint: str | None
    trace_id: str | None


def _stretches(event: DriftObservations, places: list[int]) -> Iterator[_Stretch]:
    losses, worst = event.loss_values().tolist(), {item.place: item.trace_id for item in event.worst}
    held: list[float] = []
    for place, following in zip(places, [*places[1:], None], strict=True):
        held.append(losses[place])
        checkpoint = event.checkpoint_at(place)
        if following is None or place in worst or event.checkpoint_at(following) != checkpoint:
            yield _Stretch(held, checkpoint, worst.get(place))
            held = []


class _Course:
    """The way of one series through one event. However its losses are cut into pieces, the state and the signals are the same."""

    def __init__(self, known: SeriesState, event: DriftObservations, governed: InForce) -> None:
        self.out: list[Event] = []
        self._known, self._event, self._governed = known, event, governed
        self._config = governed.policy.drift
        self._detector, self._observed, self._evidence = known.detector, known.observed, known.evidence
        self._window, self._reference = known.window, (known.reference_from, known.reference_to)
        self._checkpoint: str | None = known.detector.checkpoint
        self._latest_at = max(known.latest_at or event.occurred_at, event.occurred_at)
        self._was_silent = known.silent_at is not None and event.occurred_at > known.silent_at
        if self._was_silent:
            self.out += silent_signals(known, event.series_id)

    def take(self, stretch: _Stretch) -> None:
        """Count losses, up to each place where something has to be told."""
        self._checkpoint = stretch.checkpoint
        if self._config.on_release == "restart":
            self._detector = rebased_on_release(self._detector, stretch.checkpoint)
        rest = stretch.losses
        while rest:
            until_signal = SIGNAL_EVERY - self._observed % SIGNAL_EVERY
            piece = rest[: min(until_signal, max(1, self._config.reference_size - self._window.losses.n))]
            rest = rest[len(piece) :]
            self._piece(piece, stretch.checkpoint, None if rest else stretch.trace_id)

    def _piece(self, losses: list[float], checkpoint: str | None, trace_id: str | None) -> None:
        detector, changes = update_batch(self._detector, losses, checkpoint, self._config)
        done = 0
        for change in changes:
            self._advance(change.detector, losses[done : change.count], trace_id if change.count == len(losses) else None)
            self.out.append(self._signal())
            done = change.count
        if done < len(losses):
            closed = self._advance(detector, losses[done:], trace_id)
            if closed or self._observed % SIGNAL_EVERY == 0:
                self.out.append(self._signal())

    def _advance(self, detector: Detector, losses: list[float], trace_id: str | None) -> bool:
        """Take over what the detector is after losses without a change on the way; return whether the fixed window is full."""
        before, self._detector = self._detector.reference, detector
        self._observed += len(losses)
        self._evidence = _evidence(self._evidence, detector, self._observed, (trace_id, losses[-1]), self._null_mean())
        if detector.reference is None or before is None or detector.reference.number != before.number:
            self._window = FixedWindow()
            if detector.reference is not None:
                began = self._event.occurred_at if detector.reference.n <= self._taken() else self._known.block_from
                self._reference = (began or self._event.occurred_at, self._latest_at)
            return False
        return self._extend_window(losses)

    def _extend_window(self, losses: list[float]) -> bool:
        known = self._window
        null = self._null_mean() if known.null_mean is None or not known.losses.n else known.null_mean
        filled = extend(known.losses, losses)
        if filled.n < self._config.reference_size or null is None:
            self._window = known.model_copy(update={"losses": filled, "null_mean": null})
            return False
        log_e = float(mixture(log_wealth_above(filled, (null,)))[0])
        self._window = FixedWindow(log_e=log_e, n=filled.n)
        return True

    def _null_mean(self) -> float | None:
        return None if self._detector.reference is None else null_mean(self._detector.reference, self._config)

    def _taken(self) -> int:
        return self._observed - self._known.observed

    def ended(self) -> SeriesState:
        """Return the state after the event."""
        if self._was_silent and not any(isinstance(signal, DriftSignal) and signal.n_observed > self._known.observed for signal in self.out):
            self.out.append(self._signal())
        return self._state()

    def _state(self) -> SeriesState:
        block, began = self._detector.block, self._known.block_from
        update = {
            "detector": self._detector,
            "observed": self._observed,
            "evidence": self._evidence,
            "latest_at": self._latest_at,
            "last_at": self._event.occurred_at,
            "silent_at": self._latest_at + timedelta(hours=self._config.silent_hours),
            "block_from": None if not block.n else self._event.occurred_at if block.n <= self._taken() else began,
            "reference_from": self._reference[0],
            "reference_to": self._reference[1],
            "window": self._window,
        }
        return self._known.model_copy(update=update)

    def _signal(self) -> DriftSignal:
        identity = derive_id("drift-signal", self._event.series_id, str(self._observed), self._governed.policy_hash)
        return signal_of(self._state(), self._event.series_id, identity).model_copy(
            update={
                "state": self._detector.state,
                "log_e_value": self._detector.evidence.log_e,
                "threshold": threshold(self._config),
                "arl_target": self._config.arl_target,
                "checkpoint": self._checkpoint,
                "evidence_trace_ids": [each.trace_id for each in self._evidence],
            }
        )


def _evidence(known: tuple[Evidence, ...], detector: Detector, number: int, last: tuple[str | None, float], null: float | None) -> tuple[Evidence, ...]:
    """Return the traces with the largest losses since the detector's last start, the newest first among equals."""
    if null is None:
        return ()
    trace_id, loss = last
    first = number - min(detector.current.n, EVIDENCE_SPAN) + 1
    above = trace_id is not None and number >= first and loss > null
    if not above and (not known or min(each.number for each in known) >= first):
        return known
    shown = [each for each in known if each.number >= first]
    if above and trace_id is not None:
        shown.append(Evidence(trace_id=trace_id, loss=loss, number=number))
    return tuple(sorted(shown, key=lambda each: (-each.loss, -each.number))[:MAX_EVIDENCE])


def signal_of(state: SeriesState, series_id: str, identity: str) -> DriftSignal:
    """Return what is known of a series as a signal, without what its detector says: NO_DATA."""
    detector = state.detector
    reference = detector.reference
    return DriftSignal(
        event_id=identity,
        occurred_at=state.latest_at,
        application=state.application,
        series_id=series_id,
        metric=state.metric,
        slice=state.slice,
        detector=NAME,
        state=DriftState.NO_DATA,
        n_reference=reference.n if reference else detector.block.n,
        reference_mean=reference.mean if reference else None,
        n_current=detector.current.n,
        current_mean=detector.current.mean,
        n_observed=state.observed,
        reference_number=reference.number if reference else 0,
        reference_checkpoints=list(reference.checkpoints) if reference else [],
        reference_from=state.reference_from,
        reference_to=state.reference_to,
        log_e_window=state.window.log_e,
        n_window=state.window.n,
    )


def silent_signals(state: SeriesState, series_id: str) -> list[DriftSignal]:
    """Return what is told of a series that has been silent for too long: that it has NO_DATA, dated when it became so; nothing when it never had.

    It follows from the last observation alone, so whoever notices it, and however often, says the same.
    """
    if state.silent_at is None or state.detector.reference is None:
        return []
    signal = signal_of(state, series_id, derive_id("drift-silent", series_id, str(state.observed)))
    return [signal.model_copy(update={"occurred_at": state.silent_at, "checkpoint": state.detector.checkpoint, "log_e_window": None, "n_window": 0})]


class SilenceView(View):
    """Which series of a partition have been silent for too long, seen from the observations of the application's others.

    Each observation of a series passes a moment of event time, and those whose time was up by then have NO_DATA. One that comes back says so
    itself. Two limits: when a whole application is silent (within this partition), nobody notices; and the time is that of the newest
    observation, not the latest one ever, so that a single date in the future is wrong for a moment only.
    """

    def __init__(self) -> None:
        self._book = SilenceBook()
        self._states: dict[str, SeriesState] = {}
        self._silent: dict[str, SeriesState] = {}

    def fold(self, key: str, old: SeriesState | None, new: SeriesState | None) -> None:
        """Take in what a series is now, and note which others have been silent for too long by its time."""
        if new is None or new.silent_at is None or new.last_at is None:
            self._states.pop(key, None)
            self._book.drop(key)
            return
        self._states[key] = new.model_copy(update={"recent": {}, "evidence": (), "offsets": {}})  # these are most of it, and not needed here
        if old is not None and old.observed == new.observed:
            return
        self._silent.pop(key, None)  # it is back, and has said so itself
        for name in self._book.observe(Silence(new.application, key, new.silent_at), new.last_at):
            self._silent[name] = self._states[name]

    def summarise(self, touched: object, *, now: datetime, context: Context) -> tuple[Event, ...]:
        """Return the signals of those that were noted since the last call and are silent still."""
        found, self._silent = self._silent, {}
        return tuple(signal for series_id, state in found.items() for signal in silent_signals(state, series_id))


def _key(event: DriftObservations) -> str:
    return event.series_id


PROCESSOR = Processor(name="drift", inputs=(DRIFT_OBSERVATIONS,), step=step, outcomes=OUTCOMES, key=_key, state_type=SeriesState, view=SilenceView)
