"""Evidence that the expected loss of one window is above that of another."""

from itertools import pairwise
from math import log

import numpy as np

from trueloop.drift.betting import log_wealth_above, log_wealth_below, mixture
from trueloop.drift.comparison import Comparison, Undefined
from trueloop.drift.loss_window import LossWindow, extend
from trueloop.drift.shiryaev_roberts import Losses, checked

_POINTS = (100, 300, 100)
"""Of the grid of common means: below both means, between them, and above both."""
_LEAST = 1e-9


def two_sample_e_value(reference: LossWindow | Losses, current: LossWindow | Losses, *, tolerance: float = 0.0, false_warning_rate: float = 0.01) -> Comparison:
    """Return the logarithm of an e-value against "the expected loss is at most that of the reference plus `tolerance`".

    For every common value m that the null hypothesis allows, gamblers bet that the reference lies below m, and go on with what they have to bet
    that what is current lies above m + tolerance: their mean wealth has expectation 1 at most for the m that is true, and so has its minimum
    over all m.
    Nothing is estimated on the way: the e-value is exact for any number of losses of any distribution on [0, 1], and order does not matter.
    It may be looked at once, when the windows are over, and put into `e_benjamini_hochberg` with those of other slices.

    Args:
        reference: Losses in [0, 1], or their window.
        current: Likewise. Windows round losses up to 1/240, both alike; a tolerance of that much makes up for it where losses lie on no scale.
        tolerance: [0, 1].
        false_warning_rate: In (0, 1): the band ends at log(1 / rate), which is exceeded no more often than that (Markov's inequality).

    Raises:
        ValueError: A loss, the tolerance or the rate is off its scale.

    References: Wasserman, L., Ramdas, A., Balakrishnan, S. (2020). Universal inference. PNAS 117, 16880-16890, for the minimum over the null;
    Waudby-Smith & Ramdas (2024), Journal of the Royal Statistical Society B 86, 1-27, for the bets.

    >>> round(two_sample_e_value([0.0] * 45 + [1.0] * 5, [0.0] * 20 + [1.0] * 30).value, 1)
    10.6
    """
    if not (0.0 <= tolerance <= 1.0 and 0.0 < false_warning_rate < 1.0):
        raise ValueError(f"tolerance is {tolerance!r}, false_warning_rate is {false_warning_rate!r}; expected [0, 1] and (0, 1)")
    before, now = (each if isinstance(each, LossWindow) else extend(LossWindow(), checked(each)) for each in (reference, current))
    band = log(1.0 / false_warning_rate)
    if before.mean is None or now.mean is None:
        missing = Undefined.NO_REFERENCE if before.mean is None else Undefined.NO_CURRENT
        return Comparison(None, before.n, now.n, band_high=band, false_warning_rate=false_warning_rate, undefined=missing)
    # What is won on the reference rises with m, what is won on the current losses falls. So between two points of a grid the wealth is at least
    # the first at the lower point times the second at the upper one.
    ends = (0.0, before.mean, max(before.mean, now.mean), 1.0)
    grid = np.concatenate([np.linspace(*each, points) for each, points in zip(pairwise(ends), _POINTS, strict=True)])
    below = log_wealth_below(before, np.minimum(grid[:-1], 1.0 - _LEAST))
    nulls = np.clip(grid[1:] + tolerance, _LEAST, 1.0)
    value = float(np.min(mixture(below + log_wealth_above(now, nulls))))
    return Comparison(value, before.n, now.n, band_high=band, false_warning_rate=false_warning_rate)
