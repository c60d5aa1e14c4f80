"""Gwet's AC1."""

from collections import Counter
from math import lcm

from trueloop.agreement.coincidences import Coincidences
from trueloop.agreement.estimate import Estimate
from trueloop.agreement.observed import agreeing_share
from trueloop.events.agreement import Undefined


def ac1(state: Coincidences, categories: int | None = None) -> Estimate:
    """Return Gwet's AC1 for any number of raters, with missing ratings: (p_o - p_e) / (1 - p_e), in [-1, 1].

    Chance agreement is p_e = sum pi_k (1 - pi_k) / (q - 1), pi_k being the mean share of raters that gave value k to a unit. It stays small
    when one value prevails, where alpha and kappa collapse although raters agree. As Gwet has it, units with one rater count in pi_k (they
    say which values are in use) but not in p_o. Undefined without a unit of two raters, and with a single category. Exact until the last
    division.

    Args:
        state: What was counted.
        categories: q, the values that raters could choose from; None takes those that were given, which overstates chance agreement when
            some were never used.

    Raises:
        ValueError: More values were given than `categories`.

    Reference: Gwet, K. L. (2008). Computing inter-rater reliability and its variance in the presence of high agreement. British Journal of
    Mathematical and Statistical Psychology 61, 29-48; for missing ratings Gwet (2014), Handbook of Inter-Rater Reliability, 4th edition.

    >>> from trueloop.agreement import tally
    >>> ac1(tally([{1: 2}] * 9 + [{1: 1, 2: 1}])).value
    0.8895027624309392
    """
    seen = len({value for _, value in state.values})
    q = seen if categories is None else categories
    if q < seen:
        raise ValueError(f"categories is {categories}, but {seen} different values were given; expected at least as many")
    share = agreeing_share(state)
    if share is None:
        return Estimate(None, 0, 0, Undefined.NO_PAIRABLE_UNITS)
    if q < 2:
        return Estimate(None, state.n_units, state.n_labels, Undefined.NO_VARIATION)
    scale = lcm(*state.units)
    given: Counter[int] = Counter()
    for (m, value), count in state.values.items():
        given[value] += count * (scale // m)
    whole = scale * sum(state.units.values())
    chance, of_chance = sum(part * (whole - part) for part in given.values()), (q - 1) * whole * whole
    agreeing, of = share
    return Estimate((agreeing * of_chance - chance * of) / (of * (of_chance - chance)), state.n_units, state.n_labels)
