"""Observed agreement."""

from math import lcm

from trueloop.agreement.coincidences import Coincidences
from trueloop.agreement.estimate import Estimate
from trueloop.events.agreement import Undefined


def observed_agreement(state: Coincidences) -> Estimate:
    """Return p_o in [0, 1]: the mean, over units with two raters or more, of the share of their pairs of raters that agree.

    Each unit counts once, however many raters it had. Undefined without such a unit.

    Reference: Fleiss, J. L. (1971). Measuring nominal scale agreement among many raters. Psychological Bulletin 76, 378-382.

    >>> from trueloop.agreement import tally
    >>> observed_agreement(tally([{1: 3}, {1: 1, 2: 1}])).value
    0.5
    """
    share = agreeing_share(state)
    if share is None:
        return Estimate(None, 0, 0, Undefined.NO_PAIRABLE_UNITS)
    agreeing, of = share
    return Estimate(agreeing / of, state.n_units, state.n_labels)


def agreeing_share(state: Coincidences) -> tuple[int, int] | None:
    """Return p_o as a numerator and a denominator, exactly; None without a unit of two raters."""
    sizes = [m for m in state.units if m > 1]
    if not sizes:
        return None
    scale = lcm(*(m * (m - 1) // 2 for m in sizes))
    agreeing = sum(count * (scale // (m * (m - 1) // 2)) for (m, low, high), count in state.pairs.items() if low == high)
    return agreeing, scale * state.n_units
