"""The cosine between embeddings and what they were."""

import numpy as np

from trueloop.drift.comparison import Comparison, Undefined
from trueloop.drift.embedding_window import EmbeddingWindow, window_of
from trueloop.drift.random_features import Matrix, directions
from trueloop.drift.resampling import Floats


def cosine_similarity(reference: EmbeddingWindow | Matrix, current: EmbeddingWindow | Matrix, *, threshold: float = 0.7) -> Comparison:
    """Return the cosine of the angle between the mean directions of two windows, [-1, 1], with the threshold that people know.

    Below the threshold it warns. How often it does so by chance is not known, so the rate is None: for that there is
    `maximum_mean_discrepancy`, which also sees changes that leave the mean where it is.

    Args:
        reference: Embeddings that were, (n, dimensions), or their window.
        current: Those that are, of the same dimensions.
        threshold: Lowest cosine that is no warning, [-1, 1].

    Raises:
        ValueError: The windows have different dimensions, or the threshold is off its scale.

    >>> round(cosine_similarity(np.array([[1, 0]], np.float32), np.array([[1, 1]], np.float32)).value, 3)
    0.707
    """
    if not -1.0 <= threshold <= 1.0:
        raise ValueError(f"threshold is {threshold!r}; expected a number in [-1, 1]")
    reference, current = window_of(reference), window_of(current)
    if reference.features.dimensions != current.features.dimensions:
        raise ValueError(f"windows have {reference.features.dimensions} and {current.features.dimensions} dimensions; only equal ones compare")
    undefined = Undefined.NO_REFERENCE if not reference.n else Undefined.NO_CURRENT if not current.n else None
    if undefined is None:
        sums = np.array(reference.directions, np.float64), np.array(current.directions, np.float64)
        lengths = float(np.sqrt((sums[0] @ sums[0]) * (sums[1] @ sums[1])))
        if lengths > 0.0:
            value = float(np.clip(sums[0] @ sums[1] / lengths, -1.0, 1.0))
            return Comparison(value, reference.n, current.n, band_low=threshold)
        undefined = Undefined.NO_DIRECTION
    return Comparison(None, reference.n, current.n, band_low=threshold, undefined=undefined)


def cosine_losses(matrix: Matrix, reference: EmbeddingWindow) -> Floats:
    """Return how far each embedding points away from the reference's mean direction, (1 - cosine) / 2 in [0, 1], shape (n,).

    A bounded loss per item: a series of them goes to the e-detector, and so embeddings may page under the declared run length. A row without
    a direction has none: NaN, to be left out and counted.

    Raises:
        ValueError: The reference is empty or has no direction, or dimensions differ.

    >>> from trueloop.drift.embedding_window import add
    >>> from trueloop.drift.random_features import RandomFeatures
    >>> east = add(EmbeddingWindow(RandomFeatures(dimensions=2)), np.array([[1, 0]], np.float32))
    >>> cosine_losses(np.array([[5, 0], [0, 1], [0, 0]], np.float32), east)
    array([0. , 0.5, nan])
    """
    centroid = np.array(reference.directions, np.float64)
    length = float(np.sqrt(centroid @ centroid))
    if not length > 0.0:
        raise ValueError(f"the reference of {reference.n} embeddings has no direction; expected at least one that is not opposite to the others")
    steps, there = directions(matrix)
    if steps.shape[1] != len(centroid):
        raise ValueError(f"embeddings have {steps.shape[1]} dimensions; the reference has {len(centroid)}")
    with np.errstate(invalid="ignore"):
        cosines = (steps @ centroid) / (np.sqrt((steps * steps).sum(axis=1)) * length)
    return np.where(there, np.clip((1.0 - cosines) / 2.0, 0.0, 1.0), np.nan)
