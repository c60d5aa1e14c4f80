"""Losses of a window: number, sum and a histogram, whatever their order."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil

VERSION = 1

STEPS = 240
"""Bins of the histogram between 0 and 1. It is divisible by 2 to 6, 8, 10 and 12, so that the ratings of every usual scale lie on edges."""
_ROUNDING = 1e-9
"""Share of a bin by which a loss may lie above an edge and still count as lying on it: floats such as 1/3 do."""


@dataclass(frozen=True, slots=True)
class LossWindow:
    """Losses in [0, 1]; at most 241 counters, so the size is bounded, and two windows merge by addition.

    Attributes:
        n: Number of losses.
        total: Their sum.
        counts: How many lie in (edge k - 1, edge k], by k from 0 (exactly 0) to `STEPS`; rounded up, so that a bound of the mean that is
            computed from them is never too low by more than 1e-11.

    >>> window = extend(LossWindow(), (0.0, 0.25, 1.0))
    >>> window.counts, round(window.mean, 4)
    ({0: 1, 60: 1, 240: 1}, 0.4167)
    """

    n: int = 0
    total: float = 0.0
    counts: dict[int, int] = field(default_factory=dict)
    version: int = VERSION

    @property
    def mean(self) -> float | None:
        """Mean loss in [0, 1]; None without any."""
        return min(1.0, self.total / self.n) if self.n else None


def extend(window: LossWindow, losses: Sequence[float]) -> LossWindow:
    """Return the window with further losses, each in [0, 1]. O(1) per loss; how they are cut into calls changes nothing, to the last bit."""
    total = window.total
    for loss in losses:
        total += loss
    counts = dict(window.counts)
    for loss, count in Counter(losses).items():
        step = ceil(loss * STEPS - _ROUNDING)
        counts[step] = counts.get(step, 0) + count
    return LossWindow(window.n + len(losses), total, counts)


def merge(first: LossWindow, second: LossWindow) -> LossWindow:
    """Return what one window over the losses of both would be; the sum is the same up to rounding.

    >>> merge(extend(LossWindow(), (0.5,)), extend(LossWindow(), (0.5, 1.0))) == extend(LossWindow(), (1.0, 0.5, 0.5))
    True
    """
    counts = Counter(first.counts)
    counts.update(second.counts)
    return LossWindow(first.n + second.n, first.total + second.total, dict(counts))
