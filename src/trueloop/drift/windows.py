"""Reference and current windows of a distribution or of embeddings, as a stream fills them."""

from dataclasses import dataclass, replace
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
    there to be compared with the reference, which stays over releases until `restarted`.

    Attributes:
        empty: What a window begins as: it says bins or features. For embeddings from `reference_window`.
        current: The window that is being filled; None before its first value.
        reference: The reference; None while it is being filled.
        number: How many references the series had, this one included.
        checkpoints: Checkpoints that answered in the reference, as far as they were known.
        current_checkpoints: Those of the window that is being filled.
    """

    empty: W
    current: W | None = None
    reference: W | None = None
    number: int = 0
    checkpoints: tuple[str, ...] = ()
    current_checkpoints: tuple[str, ...] = ()
    version: int = VERSION


@dataclass(frozen=True, slots=True)
class Full(Generic[W]):
    """A full window and what to compare it with; `count` values of the batch were taken in by then."""

    count: int
    reference: W
    current: W
    number: int
    checkpoints: tuple[str, ...]
    current_checkpoints: tuple[str, ...]


def fill(
    state: Windows[W], values: Floats | Matrix, checkpoint: str | None, *, reference_size: int, window_size: int
) -> tuple[Windows[W], tuple[Full[W], ...]]:
    """Return the state after values that one checkpoint answered for, in their order, and every window that became full on the way.

    How values are cut into batches changes nothing. Missing values (NaN, embeddings without a direction) are counted and fill no window.

    Args:
        state: The state before.
        values: (n,), or (n, dimensions) of float32 for embeddings.
        checkpoint: What answered; None when it is unknown.
        reference_size: Values in a reference, >= 1.
        window_size: Values in a window that is compared, >= 1.

    Raises:
        ValueError: A size is below 1, a value is infinite, or embeddings have other dimensions.
    """
    if reference_size < 1 or window_size < 1:
        raise ValueError(f"reference_size is {reference_size}, window_size is {window_size}; expected at least 1")
    found: list[Full[W]] = []
    done = 0
    while done < len(values):
        size = reference_size if state.reference is None else window_size
        window = _begun(state) if state.current is None else state.current
        taken = values[done : done + max(1, size - window.n)]
        done += len(taken)
        names, window = _named(state.current_checkpoints, checkpoint), _added(window, taken)
        if window.n < size:
            state = replace(state, current=window, current_checkpoints=names)
        elif state.reference is None:
            state = replace(state, reference=window, number=state.number + 1, checkpoints=names, current=None, current_checkpoints=())
        else:
            found.append(Full(done, state.reference, window, state.number, state.checkpoints, names))
            state = replace(state, current=None, current_checkpoints=())
    return state, tuple(found)


def restarted(state: Windows[W]) -> Windows[W]:
    """Return the state after a decision that what serves from now on is the standard: the next full window becomes the reference."""
    return Windows(state.empty, number=state.number)


def _begun(state: Windows[W]) -> W:
    """Return an empty window; one of embeddings that will only be compared needs no products of features."""
    if isinstance(state.empty, EmbeddingWindow) and state.reference is not None:
        return replace(state.empty, products=None)
    return state.empty


def _added(window: W, values: Floats | Matrix) -> W:
    if isinstance(window, Histogram):
        return histogram.add(window, values)
    return embedding_window.add(window, np.asarray(values, np.float32))


def _named(names: tuple[str, ...], checkpoint: str | None) -> tuple[str, ...]:
    return names if checkpoint is None or checkpoint in names else (*names, checkpoint)[-MAX_CHECKPOINTS:]
