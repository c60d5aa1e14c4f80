"""Distributions: values in, descriptions out. State is the reference of one series and the window that is compared with it.

They warn, and never alarm: a distribution that has moved is no harm by itself.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict

from trueloop.drift.comparison import Comparison
from trueloop.drift.cosine import cosine_similarity
from trueloop.drift.divergences import jensen_shannon_divergence, population_stability_index
from trueloop.drift.embedding_window import EmbeddingWindow, reference_window
from trueloop.drift.histogram import Floats, Histogram
from trueloop.drift.maximum_mean_discrepancy import maximum_mean_discrepancy
from trueloop.drift.observations import fresh, remembered
from trueloop.drift.random_features import UNIT, Matrix
from trueloop.drift.values import EMBEDDING
from trueloop.drift.wasserstein import wasserstein_distance
from trueloop.drift.windows import Full, Windows, fill, restarted_on_release
from trueloop.events import DriftSignal, DriftState, DriftValues
from trueloop.events.identity import derive_id
from trueloop.processors.processor import Context, Processor, Source, Step
from trueloop.rubrics import InForce
from trueloop.rubrics.policy import Profiles
from trueloop.topics import DRIFT_VALUES

OUTCOMES = frozenset({"described", "duplicate", "no_policy"})
REMEMBERED = 200
"""Items of a series that are remembered, so that a trace that was produced twice is counted once."""
CALM_WINDOWS = 2
"""Windows within the band, one after the other, that end a warning: of the windows after a warning that meant something one may fall inside."""

W = TypeVar("W", Histogram, EmbeddingWindow)
STATISTICS: dict[str, Callable[[Histogram, Histogram, Profiles], Comparison]] = {
    "population-stability-index": lambda before, now, asked: population_stability_index(before, now, false_warning_rate=asked.false_warning_rate),
    "jensen-shannon-divergence": lambda before, now, asked: jensen_shannon_divergence(before, now, false_warning_rate=asked.false_warning_rate),
    "wasserstein-distance": lambda before, now, asked: wasserstein_distance(before, now, false_warning_rate=asked.false_warning_rate),
}
EMBEDDING_STATISTICS: dict[str, Callable[[EmbeddingWindow, EmbeddingWindow, Profiles], Comparison]] = {
    "maximum-mean-discrepancy": lambda before, now, asked: maximum_mean_discrepancy(before, now, false_warning_rate=asked.false_warning_rate),
    "mean-cosine": lambda before, now, asked: cosine_similarity(before, now, threshold=asked.least_cosine),
}


class DistributionState(BaseModel):
    """The windows of one series: of numbers, or of embeddings. The other one stays empty.

    `offsets` and `recent` are those of `SeriesState`. `warned` holds, per statistic in WARNING, how many windows since were within the band.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_bytes="base64", val_json_bytes="base64")

    version: int = 2
    numbers: Windows[Histogram] = Windows(Histogram())
    embeddings: Windows[EmbeddingWindow] = Windows(reference_window())
    observed: int = 0
    offsets: dict[str, int] = {}
    recent: dict[str, bytes] = {}
    latest_at: datetime | None = None
    warned: dict[str, int] = {}


def step(state: DistributionState | None, event: DriftValues, *, source: Source, now: datetime, final: bool, context: Context) -> Step[DistributionState]:
    """Count each item once, and tell what every full window is beside the reference.

    The id of a signal is a hash of series, number of items, statistic and policy, so what is sent again after a crash is the same signal.
    """
    governed = context.governance.in_force(event.application, event.occurred_at)
    if governed is None:
        return Step(state, outcome="no_policy")
    known = state or DistributionState()
    last = known.offsets.get(event.source, -1)
    marks, origin = event.mark_values(), event.source
    places = fresh(marks, event.offset_values(), last=last, recent=np.frombuffer(known.recent.get(origin, b""), "<i8"))
    offsets = known.offsets | {event.source: max(int(event.offset_values()[-1]), last)}
    if not places:
        return Step(known.model_copy(update={"offsets": offsets}), outcome="duplicate")
    course = _Course(known, event, governed)
    for checkpoint, stretch in _stretches(event, places):
        course.take(stretch, checkpoint)
    recent = known.recent | {origin: remembered(known.recent.get(origin, b""), marks[places], REMEMBERED)}
    return Step(course.state.model_copy(update={"offsets": offsets, "recent": recent}), tuple(course.out), "described")


def _stretches(event: DriftValues, places: list[int]) -> Iterator[tuple[str | None, list[int]]]:
    """Yield the places that one checkpoint after the other answered for."""
    codes = event.checkpoint_values().tolist() if event.checkpoint_of else [0 if event.checkpoints else -1] * len(event.mark_values())
    held: list[int] = []
    for place, following in zip(places, [*places[1:], None], strict=True):
        held.append(place)
        if following is None or codes[following] != codes[place]:
            yield (event.checkpoints[codes[place]] if codes[place] >= 0 else None), held
            held = []


class _Course:
    """The way of one series through one event."""

    def __init__(self, known: DistributionState, event: DriftValues, governed: InForce) -> None:
        self.out: list[DriftSignal] = []
        self._event, self._governed = event, governed
        self._asked = governed.policy.drift.profiles
        self._latest_at = max(known.latest_at or event.occurred_at, event.occurred_at)
        self.state = known.model_copy(update={"latest_at": self._latest_at})

    def take(self, places: list[int], checkpoint: str | None) -> None:
        """Fill the windows with the items at some places, and tell of each that became full."""
        before = self.state.observed
        if self._event.metric == EMBEDDING:
            rows = self._event.directions()[places].astype(np.float32) / np.float32(UNIT)
            embeddings, many = self._filled(self.state.embeddings, rows, checkpoint)
            for window in many:
                self._tell(window, {name: compare(window.reference, window.current, self._asked) for name, compare in EMBEDDING_STATISTICS.items()}, before)
            update: dict[str, object] = {"embeddings": embeddings}
        else:
            numbers, full = self._filled(self.state.numbers, self._event.numbers()[places], checkpoint)
            for each in full:
                self._tell(each, {name: compare(each.reference, each.current, self._asked) for name, compare in STATISTICS.items()}, before)
            update = {"numbers": numbers}
        self.state = self.state.model_copy(update=update | {"observed": before + len(places)})

    def _filled(self, windows: Windows[W], values: Floats | Matrix, checkpoint: str | None) -> tuple[Windows[W], tuple[Full[W], ...]]:
        if self._asked.on_release == "restart":
            windows = restarted_on_release(windows, checkpoint)
        sizes = {"reference_size": self._asked.reference_size, "window_size": self._asked.window_size}
        return fill(windows, values, checkpoint, **sizes, at=self._latest_at)

    def _tell(self, window: Full[W], found: dict[str, Comparison], before: int) -> None:
        event, observed = self._event, before + window.count
        warned = dict(self.state.warned)
        for name, comparison in found.items():
            self.out.append(
                DriftSignal(
                    event_id=derive_id("drift-description", event.series_id, name, str(observed), self._governed.policy_hash),
                    occurred_at=self._latest_at,
                    application=event.application,
                    series_id=event.series_id,
                    metric=event.metric,
                    slice=event.slice,
                    detector=name,
                    state=_settled(warned, name, comparison.state),
                    n_reference=comparison.n_reference,
                    n_current=comparison.n_current,
                    checkpoint=window.current_checkpoints[-1] if window.current_checkpoints else None,
                    n_observed=observed,
                    reference_number=window.number,
                    reference_checkpoints=list(window.checkpoints),
                    reference_from=window.reference_from,
                    reference_to=window.reference_to,
                    value=comparison.value,
                    band_low=comparison.band_low,
                    band_high=comparison.band_high,
                    false_warning_rate=comparison.false_warning_rate,
                    undefined=comparison.undefined,
                )
            )
        self.state = self.state.model_copy(update={"warned": warned})


def _settled(warned: dict[str, int], name: str, state: DriftState) -> DriftState:
    """Return the state to tell, and note it: a warning ends after `CALM_WINDOWS` windows within the band."""
    if state is DriftState.WARNING:
        warned[name] = 0
    elif name in warned:
        warned[name] += 1
        if warned[name] < CALM_WINDOWS:
            return DriftState.WARNING
        del warned[name]
    return state


def _key(event: DriftValues) -> str:
    return event.series_id


PROCESSOR = Processor(name="distributions", inputs=(DRIFT_VALUES,), step=step, outcomes=OUTCOMES, key=_key, state_type=DistributionState)
