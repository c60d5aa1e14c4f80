"""Embeddings of a window: the sum of their directions and of their features."""

from dataclasses import dataclass, field, replace
from math import sqrt

import numpy as np

from trueloop.drift.random_features import AMPLITUDE, UNIT, Ints, Matrix, RandomFeatures, directions, transform
from trueloop.drift.resampling import Floats

VERSION = 1


@dataclass(frozen=True, slots=True)
class EmbeddingWindow:
    """Sums over embeddings, in whole numbers: the same in any order, and two windows merge by addition.

    Attributes:
        features: Under which features.
        n: Embeddings that have a direction.
        missing: Those that have none: zeros, NaN, infinities.
        directions: Sum of the unit vectors, in steps of 1 / 1024, per dimension; none at all before the first.
        sums: Sum of the features, in steps of 1 / 4096.
        products: Sum of the products of each two features, row by row up to the diagonal; None for a window that is compared only with
            references, which needs none. From them a reference learns how far its mean scatters.
    """

    features: RandomFeatures = field(default_factory=RandomFeatures)
    n: int = 0
    missing: int = 0
    directions: tuple[int, ...] = ()
    sums: tuple[int, ...] = ()
    products: tuple[int, ...] | None = None
    version: int = VERSION

    @property
    def feature_mean(self) -> Floats:
        """Mean of the features, scaled so that a feature vector has length 1; shape (2 x frequencies,). Only for n >= 1."""
        return np.array(self.sums, np.float64) / (self.n * AMPLITUDE * sqrt(self.features.frequencies))

    @property
    def centroid(self) -> Floats:
        """Mean of the unit vectors, shape (dimensions,). Only for n >= 1."""
        return np.array(self.directions, np.float64) / (self.n * UNIT)


def reference_window(features: RandomFeatures | None = None) -> EmbeddingWindow:
    """Return an empty window that may become a reference: it keeps the products of features."""
    return EmbeddingWindow(features or RandomFeatures(), products=())


def window_of(given: EmbeddingWindow | Matrix, features: RandomFeatures | None = None) -> EmbeddingWindow:
    """Return the window of a matrix of embeddings, (n, dimensions), also a data frame's; a window is what it is.

    Raises:
        ValueError: It is no matrix, or has another number of dimensions than the features.
    """
    if isinstance(given, EmbeddingWindow):
        return given
    matrix = np.asarray(given, np.float32)
    if matrix.ndim != 2:
        raise ValueError(f"embeddings have shape {matrix.shape}; expected (n, dimensions)")
    return add(reference_window(features or RandomFeatures(dimensions=matrix.shape[1])), matrix)


def add(window: EmbeddingWindow, matrix: Matrix) -> EmbeddingWindow:
    """Return the window with further embeddings, (n, dimensions) of float32. How they are cut into calls changes nothing.

    Raises:
        ValueError: The matrix has another number of dimensions.

    >>> window = add(EmbeddingWindow(RandomFeatures(dimensions=2)), np.array([[3.0, 4.0], [0.0, 0.0]], np.float32))
    >>> window.n, window.missing, window.directions
    (1, 1, (614, 819))
    """
    steps, there = directions(matrix)
    found = transform(window.features, steps)[there]
    products = None if window.products is None else _added(window.products, _lower(found))
    return replace(
        window,
        n=window.n + len(found),
        missing=window.missing + len(steps) - len(found),
        directions=_added(window.directions, steps.sum(axis=0)),
        sums=_added(window.sums, found.sum(axis=0)),
        products=products,
    )


def merge(first: EmbeddingWindow, second: EmbeddingWindow) -> EmbeddingWindow:
    """Return what one window of the embeddings of both would be, exactly; products only if both have them.

    Raises:
        ValueError: They have different features.
    """
    if first.features != second.features:
        raise ValueError(f"windows have the features {first.features} and {second.features}; only equal features merge")
    both = first.products is not None and second.products is not None
    return replace(
        first,
        n=first.n + second.n,
        missing=first.missing + second.missing,
        directions=_added(first.directions, np.array(second.directions, np.int64)),
        sums=_added(first.sums, np.array(second.sums, np.int64)),
        products=_added(first.products or (), np.array(second.products, np.int64)) if both else None,
    )


def spectrum(window: EmbeddingWindow) -> Floats | None:
    """Return the eigenvalues of the covariance of the features, (2 x frequencies,), each >= 0; None without products or below 2 embeddings."""
    if not window.products or window.n < 2:
        return None
    size = len(window.sums)
    second = np.zeros((size, size))
    second[np.tril_indices(size)] = window.products
    second = (second + np.tril(second, -1).T) / (window.n * AMPLITUDE**2 * window.features.frequencies)
    mean = window.feature_mean
    return np.clip(np.linalg.eigvalsh((second - np.outer(mean, mean)) * window.n / (window.n - 1)), 0.0, None)


def _lower(found: Ints) -> Ints:
    """Return the products of each two features, summed over rows of (n, features): exact as long as the sum is below 2^53, 500 million rows."""
    whole = found.astype(np.float64)
    return (whole.T @ whole)[np.tril_indices(found.shape[1])].astype(np.int64)


def _added(known: tuple[int, ...], more: Ints) -> tuple[int, ...]:
    if not known:
        return tuple(more.tolist())
    return tuple((np.array(known, np.int64) + more).tolist()) if len(more) else known
