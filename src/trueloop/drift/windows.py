"""Reference and current windows of a distribution or of embeddings, as a stream fills them."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Generic, TypeVar

import numpy as np

from trueloop.drift import embedding_window, histogram
from trueloop.drift.embedding_window import EmbeddingWindow
from trueloop.drift.histogram import Floats, Histogram
from trueloop.drift.random_features import Matrix

VERSION = 1
MAX_CHECKPOINTS = 8
"""Checkpoints that are remembered of a window, the newest."""

W = TypeVar("W", Histogram, EmbeddingWindow)


@dataclass(frozen=True, slots=True)
class Windows(Generic[W]):
    """A reference window, versioned by its number and by the checkpoints that answered in it, and the window that is being filled.

    The first `reference_size` values are the reference. Then windows of `window_size` follow each other without a gap; each, when full, is
    there to be compared with the reference. It stays over releases until `restarted`; and then stays in force until the next one is full.

    Attributes:
        empty: What a window begins as: it says bins or features. For embeddings from `reference_window`.
        current: The window that is being filled to be compared; None before its first value.
        coming: The window that is being filled to become the reference; None before its first value, and when none is wanted.
        reference: The reference; None while the first is being filled.
        number: How many references the series had, this one included.
        checkpoints: Checkpoints that answered in the reference, as far as they were known.
        current_checkpoints: Those of the window that is being filled.
        coming_checkpoints: Those of the window that becomes the reference.
        restarting: Whether another reference is being filled while one is in force.
        coming_from: When the window that becomes the reference was begun, as it was told.
        reference_from: When the reference was begun.
        reference_to: When it was full.
    """

    empty: W
    current: W | None = None
    coming: W | None = None
    reference: W | None = None
    number: int = 0
    checkpoints: tuple[str, ...] = ()
    current_checkpoints: tuple[str, ...] = ()
    coming_checkpoints: tuple[str, ...] = ()
    restarting: bool = False
    coming_from: datetime | None = None
    reference_from: datetime | None = None
    reference_to: datetime | None = None
    version: int = VERSION


@dataclass(frozen=True, slots=True)
class Full(Generic[W]):
    """A full window and what to compare it with; `count` values of the batch were taken in by then. The other fields are those of `Windows`."""

    count: int
    reference: W
    current: W
    number: int
    checkpoints: tuple[str, ...]
    current_checkpoints: tuple[str, ...]
    reference_from: datetime | None = None
    reference_to: datetime | None = None


def fill(
    state: Windows[W], values: Floats | Matrix, checkpoint: str | None, *, reference_size: int, window_size: int, at: datetime | None = None
) -> tuple[Windows[W], tuple[Full[W], ...]]:
    """Return the state after values that one checkpoint answered for, in their order, and every window that became full on the way.

    How values are cut into batches changes nothing. Missing values (NaN, embeddings without a direction) are counted and fill no window.

    Args:
        state: The state before.
        values: (n,), or (n, dimensions) of float32 for embeddings.
        checkpoint: What answered; None when it is unknown.
        reference_size: Values in a reference, >= 1.
        window_size: Values in a window that is compared, >= 1.
        at: The event time of the batch; None when nobody wants to know.

    Raises:
        ValueError: A size is below 1, a value is infinite, or embeddings have other dimensions.
    """
    if reference_size < 1 or window_size < 1:
        raise ValueError(f"reference_size is {reference_size}, window_size is {window_size}; expected at least 1")
    found: list[Full[W]] = []
    done = 0
    while done < len(values):
        becomes = state.reference is None or (state.restarting and checkpoint not in state.checkpoints)
        rooms = [reference_size - _n(state.coming)] if becomes else []
        rooms += [] if state.reference is None else [window_size - _n(state.current)]
        taken = values[done : done + max(1, min(rooms))]
        done += len(taken)
        if becomes:
            state = _coming(state, taken, checkpoint, at)
        if state.reference is not None:
            state, full = _compared(state, taken, checkpoint, done, window_size)
            found += full
        if _n(state.coming) >= reference_size:
            state = _replaced(state, at)
    return state, tuple(found)


def _coming(state: Windows[W], taken: Floats | Matrix, checkpoint: str | None, at: datetime | None) -> Windows[W]:
    """Add values to the window that becomes the reference."""
    begun = state if state.coming is not None else replace(state, coming=state.empty, coming_from=at)
    names = _named(begun.coming_checkpoints, checkpoint)
    return replace(begun, coming=_added(begun.coming or begun.empty, taken), coming_checkpoints=names)


def _compared(state: Windows[W], taken: Floats | Matrix, checkpoint: str | None, count: int, size: int) -> tuple[Windows[W], list[Full[W]]]:
    """Add values to the window that is compared, and close it when it is full."""
    reference, current, names = state.reference, _added(_begun(state), taken), _named(state.current_checkpoints, checkpoint)
    if reference is None or current.n < size:
        return replace(state, current=current, current_checkpoints=names), []
    full = Full(count, reference, current, state.number, state.checkpoints, names, state.reference_from, state.reference_to)
    return replace(state, current=None, current_checkpoints=()), [full]


def _replaced(state: Windows[W], at: datetime | None) -> Windows[W]:
    """Make the coming window the reference. What was begun to be compared is a part of it, so it is dropped."""
    found = Windows(state.empty, reference=state.coming, number=state.number + 1, checkpoints=state.coming_checkpoints)
    return replace(found, reference_from=state.coming_from, reference_to=at)


def restarted(state: Windows[W]) -> Windows[W]:
    """Return the state after a decision that what serves from now on is the standard: the next full window becomes the reference.

    Until then the old one stays in force, so that windows right after a release say what it changed. What checkpoints of the old reference still
    answer meanwhile is compared and does not go into the new one.
    """
    return replace(state, coming=None, coming_checkpoints=(), restarting=state.reference is not None)


def restarted_on_release(state: Windows[W], checkpoint: str | None) -> Windows[W]:
    """Return the state, restarted when a checkpoint answers that did not answer in the reference; an unknown one is no release."""
    if checkpoint is None or state.restarting or not state.checkpoints or checkpoint in state.checkpoints:
        return state
    return restarted(state)


def _n(window: Histogram | EmbeddingWindow | None) -> int:
    return 0 if window is None else window.n


def _begun(state: Windows[W]) -> W:
    """Return the window to compare; one of embeddings needs no products of features for that."""
    if state.current is not None:
        return state.current
    return replace(state.empty, products=None) if isinstance(state.empty, EmbeddingWindow) else state.empty


def _added(window: W, values: Floats | Matrix) -> W:
    if isinstance(window, Histogram):
        return histogram.add(window, values)
    return embedding_window.add(window, np.asarray(values, np.float32))


def _named(names: tuple[str, ...], checkpoint: str | None) -> tuple[str, ...]:
    return names if checkpoint is None or checkpoint in names else (*names, checkpoint)[-MAX_CHECKPOINTS:]
