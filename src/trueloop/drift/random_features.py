"""Random features of embeddings: a kernel mean that every worker computes alike, and that adds up exactly."""

from dataclasses import dataclass
from functools import lru_cache
from math import pi

import numpy as np
import numpy.typing as npt

from trueloop.drift.resampling import Floats, hashed_uniforms

Ints = npt.NDArray[np.int64]
Matrix = npt.NDArray[np.float32]

UNIT = 1024
"""Steps of a coordinate between 0 and 1: each is rounded to 0.001, which turns a unit vector of 384 coordinates by 0.3 degrees."""
AMPLITUDE = 4096
"""Steps of a feature between 0 and 1."""
_TURN_BITS, _FREQUENCY_BITS = 12, 16
_SHIFT = 10 + _FREQUENCY_BITS - _TURN_BITS
"""Bits below the 4096th part of a turn, in a product of coordinates (10 bits) and frequencies."""


@dataclass(frozen=True, slots=True)
class RandomFeatures:
    """Random Fourier features of the kernel exp(-|x - y|^2 / (2 bandwidth^2)) between the directions of embeddings.

    The features of x are cos(w x) and sin(w x) for frequencies w that are normal with deviation 1 / bandwidth; their inner product is the kernel
    in expectation. The frequencies are hashed from the seed, and everything is a whole number: so each worker has the same features,
    and sums are exact in whatever order and however cut.

    Attributes:
        dimensions: Of the embeddings.
        frequencies: Number of w; there are twice as many features.
        bandwidth: Distance of unit vectors at which the kernel has fallen to 0.61; vectors that have nothing in common are 1.41 apart.
        seed: What the frequencies are hashed from. Windows compare only under equal features.

    References: Rahimi, A., Recht, B. (2007). Random features for large-scale kernel machines. NIPS 20, algorithm 1; in the form with cosine
    and sine Sutherland, D. J., Schneider, J. (2015). On the error of random Fourier features. UAI.
    """

    dimensions: int = 384
    frequencies: int = 32
    bandwidth: float = 1.0
    seed: str = "trueloop"

    def __post_init__(self) -> None:
        """Refuse what has no features."""
        if not (self.dimensions >= 1 and self.frequencies >= 1 and self.bandwidth >= 0.1):
            raise ValueError(f"{self} is no set of features; expected dimensions and frequencies >= 1, and a bandwidth of at least 0.1")


def directions(matrix: Matrix) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """Return unit vectors in whole steps of 1 / `UNIT`, shape (n, dimensions), and which rows have a direction, shape (n,).

    A row with a NaN or an infinity has none, nor has one of zeros; its steps are 0.

    >>> directions(np.array([[3.0, 4.0], [0.0, 0.0]], np.float32))
    (array([[614, 819],
           [  0,   0]]), array([ True, False]))
    """
    if matrix.ndim != 2:
        raise ValueError(f"embeddings have shape {matrix.shape}; expected a matrix (n, dimensions)")
    rows = matrix.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        length = np.sqrt((rows * rows).sum(axis=1))
    there = np.isfinite(length) & (length > 0.0)
    rows[~there], length[~there] = 0.0, 1.0
    return np.rint(rows / length[:, np.newaxis] * UNIT).astype(np.int64), there


def transform(features: RandomFeatures, steps: Ints) -> Ints:
    """Return the features of directions: (n, dimensions) to (n, 2 x frequencies), in whole steps of 1 / `AMPLITUDE`, each row about
    `AMPLITUDE` x sqrt(frequencies) long.

    The products are of whole numbers below 2^53, so that BLAS gives them exactly, in any order of summation.
    """
    if steps.shape[1] != features.dimensions:
        raise ValueError(f"embeddings have {steps.shape[1]} dimensions; these features are for {features.dimensions}")
    turns = (steps.astype(np.float64) @ _frequencies(features)).astype(np.int64) >> _SHIFT
    circle = _circle()
    return np.concatenate((circle[turns & (2**_TURN_BITS - 1)], circle[(turns - 2 ** (_TURN_BITS - 2)) & (2**_TURN_BITS - 1)]), axis=1)


@lru_cache(maxsize=16)
def _frequencies(features: RandomFeatures) -> Floats:
    """Return w / 2 pi in whole steps, (dimensions, frequencies): normal by Box and Muller."""
    count = features.dimensions * features.frequencies
    uniforms = hashed_uniforms(f"random features {features.seed}", 2 * count)
    normal = np.sqrt(-2.0 * np.log(uniforms[:count])) * np.cos(2.0 * pi * uniforms[count:])
    turns = normal.reshape(features.dimensions, features.frequencies) / (features.bandwidth * 2.0 * pi)
    return np.asarray(np.rint(turns * 2**_FREQUENCY_BITS))


@lru_cache(maxsize=1)
def _circle() -> Ints:
    """Return the cosine of each 4096th part of a turn."""
    return np.asarray(np.rint(AMPLITUDE * np.cos(2.0 * pi * np.arange(2**_TURN_BITS) / 2**_TURN_BITS)), np.int64)
