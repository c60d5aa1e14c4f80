"""What a comparison of a reference with what is current says, and how far it goes by chance."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from trueloop.events.drift import DriftState


class Undefined(StrEnum):
    """Why a comparison has no value."""

    NO_REFERENCE = "NO_REFERENCE"
    """Too little reference: nothing, or fewer than the statistic needs."""
    NO_CURRENT = "NO_CURRENT"
    """Too little that is current."""
    EMPTY_BIN = "EMPTY_BIN"
    """A bin is empty on one side, so that the logarithm of a share is infinite; a pseudo-count makes it finite."""
    NO_DIRECTION = "NO_DIRECTION"
    """The vectors add up to nothing, so their mean has no direction."""
    NOT_CONSTANT = "NOT_CONSTANT"
    """No single expectation is compatible with the values."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A statistic of a reference and of what is current. It describes; it never pages by itself.

    Attributes:
        value: The statistic; None when it is undefined.
        n_reference: Values in the reference.
        n_current: Values that are current.
        band_low: Lowest value that is no warning; None when low values are none.
        band_high: Highest value that is no warning; None when high values are none.
        false_warning_rate: Probability, when nothing has changed, of a value outside the band; None when nobody knows it.
        undefined: Why `value` is None.
    """

    value: float | None
    n_reference: int
    n_current: int
    band_low: float | None = None
    band_high: float | None = None
    false_warning_rate: float | None = None
    undefined: Undefined | None = None

    @property
    def state(self) -> DriftState:
        """NO_DATA without a value, WARNING outside the band, else OK; never ALARM."""
        if self.value is None:
            return DriftState.NO_DATA
        low = self.band_low is not None and self.value < self.band_low
        high = self.band_high is not None and self.value > self.band_high
        return DriftState.WARNING if low or high else DriftState.OK


def most_drifted(comparisons: Mapping[str, Comparison]) -> list[str]:
    """Return the names of comparisons in WARNING, the one that exceeds its band the most times over first. For bands above 0.

    >>> inside, far, further = (Comparison(value, 100, 100, band_high=0.1) for value in (0.05, 0.3, 0.9))
    >>> most_drifted({"latency": inside, "tokens": far, "length": further})
    ['length', 'tokens']
    """
    excess = {
        name: each.value / each.band_high
        for name, each in comparisons.items()
        if each.state is DriftState.WARNING and each.value is not None and each.band_high
    }
    return sorted(excess, key=lambda name: -excess[name])
