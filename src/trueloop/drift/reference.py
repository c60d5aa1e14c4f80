"""Reference windows: what a series was, and a bound that its expected loss is below."""

from dataclasses import dataclass, replace
from functools import lru_cache
from math import log

from trueloop.drift.betting import log_wealth_below, mixture
from trueloop.drift.chernoff import divergence
from trueloop.drift.loss_window import LossWindow

FIRST_SHARE = 0.9
"""Share of a window's error that its first bound takes. Each time it is armed again after an alarm it takes half of what is left."""
_STEPS = 1_000_000
"""Bounds are rounded up to a millionth: whoever computes one elsewhere, with another logarithm, gets the same."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference window, versioned: which window of the series it is, and which checkpoints answered in it.

    Attributes:
        window: Its losses.
        error: Probability that any bound that is ever taken of it does not hold.
        bound: The bound in force; see `bound_of`.
        number: Which window of the series it is, counted from 1.
        checkpoints: The checkpoints that answered in it, as far as they were known; one, unless two served side by side or in turn.
        armed: How often it was armed again after an alarm.
    """

    window: LossWindow
    error: float
    bound: float
    number: int = 1
    checkpoints: tuple[str, ...] = ()
    armed: int = 0

    @property
    def n(self) -> int:
        """Losses in it, >= 1."""
        return self.window.n

    @property
    def mean(self) -> float:
        """Their mean, [0, 1]."""
        return self.window.mean or 0.0

    @property
    def checkpoint(self) -> str | None:
        """The checkpoint that answered in it; None when it is unknown, or when there were several."""
        return self.checkpoints[0] if len(self.checkpoints) == 1 else None


def reference(window: LossWindow, error: float, *, number: int = 1, checkpoints: tuple[str, ...] = ()) -> Reference:
    """Return a full window as a reference. Raises ValueError for an empty one, and for an error outside (0, 1)."""
    return Reference(window, error, bound_of(window, error * FIRST_SHARE), number, checkpoints)


def armed_again(known: Reference) -> Reference:
    """Return the reference with a wider bound, for the time after an alarm.

    If the bound did not hold, each alarm is a false one and none of them would be the last. With the errors 0.9, 0.05, 0.025, ... of the
    whole, the expected number of alarms that are due to a bound that does not hold is at most `error`, over all times.
    """
    share = (1.0 - FIRST_SHARE) / 2 ** (known.armed + 1)
    return replace(known, bound=max(known.bound, bound_of(known.window, known.error * share)), armed=known.armed + 1)


def bound_of(window: LossWindow, error: float) -> float:
    """Return a bound in (mean, 1] that the expected mean loss of a window is above with probability `error` at most.

    The better of two that each may fail with half the error: Chernoff's, which is the best for losses of 0 and 1, and that of gamblers, which
    is the narrower the less the losses scatter. For independent losses in [0, 1], whatever their distribution, and for any that have the
    same expectation given those before.

    Raises:
        ValueError: The window is empty, or the error is not in (0, 1).

    References: Hoeffding (1963), Journal of the American Statistical Association 58, 13-30, theorem 1; Waudby-Smith & Ramdas (2024),
    Journal of the Royal Statistical Society B 86, 1-27.

    >>> from trueloop.drift.loss_window import extend
    >>> bound_of(extend(LossWindow(), [0.0, 1.0] * 100), 0.01), bound_of(extend(LossWindow(), [0.45, 0.55] * 100), 0.01)
    (0.613583, 0.520106)
    """
    mean = window.mean
    if mean is None or not 0.0 < error < 1.0:
        raise ValueError(f"the window has {window.n} losses and the error is {error!r}; expected at least 1, and an error in (0, 1)")
    return _least_bound(window.n, window.total, tuple(sorted(window.counts.items())), error)


# Who reads a history anew, as the reviewers' detectors do with every label, finds the same windows full again, and twenty steps of a search are a millisecond.
@lru_cache(maxsize=4096)
def _least_bound(n: int, total: float, counts: tuple[tuple[int, int], ...], error: float) -> float:
    window = LossWindow(n, total, dict(counts))
    inside, outside = 0, _STEPS
    while outside - inside > 1:
        middle = (inside + outside) // 2
        if is_below(window, middle / _STEPS, error):
            outside = middle
        else:
            inside = middle
    return outside / _STEPS


def is_below(window: LossWindow, value: float, error: float) -> bool:
    """Return whether the bound of a window (see `bound_of`) is at most `value`: the same answer, without the search."""
    mean = window.mean
    if mean is None or value <= mean or value >= 1.0:
        return False
    needed = log(2.0 / error)
    return window.n * divergence(mean, value) >= needed or float(mixture(log_wealth_below(window, (value,)))[0]) >= needed
