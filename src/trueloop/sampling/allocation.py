"""How a budget of reviewer minutes is divided among strata."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

_HALVINGS = 200


@dataclass(frozen=True, slots=True)
class StratumDemand:
    """What is known of a stratum before a period.

    Attributes:
        name: The stratum.
        traffic: Traces expected in the period, >= 0.
        minutes: Reviewer minutes that a task costs, all its labels together, > 0.
        quota: Tasks that are wanted at least, whatever they tell of the whole.
        spread: Standard deviation of what is estimated, within the stratum; 0.5 is the largest that a share can have.
    """

    name: str
    traffic: float
    minutes: float
    quota: float = 0.0
    spread: float = 0.5

    def __post_init__(self) -> None:
        if not (self.traffic >= 0 and self.minutes > 0 and self.quota >= 0 and self.spread >= 0):
            raise ValueError(f"given {self}; expected traffic, quota and spread >= 0 and minutes > 0")


@dataclass(frozen=True, slots=True)
class Allocation:
    """What a stratum gets.

    Attributes:
        name: The stratum.
        rate: Share of its traces to review, [0, 1].
        tasks: Tasks that this makes of the expected traffic.
        minutes: What they cost.
        quota_met: Whether the quota is met; it is not when there is less traffic, or when the budget does not pay for all quotas.
    """

    name: str
    rate: float
    tasks: float
    minutes: float
    quota_met: bool


def allocate(strata: Sequence[StratumDemand], budget_minutes: float) -> tuple[Allocation, ...]:
    """Return how many tasks each stratum gets, so that the mean over all traces is estimated best, quotas are met and the budget is kept.

    Neyman's allocation with costs: tasks in proportion to traffic x spread / sqrt(minutes), held between the quota and the traffic. When
    the budget does not pay for the quotas, all are cut by the same share. What is not needed is not spent.

    Args:
        strata: The strata; names must differ.
        budget_minutes: Reviewer minutes of the period, >= 0.

    Raises:
        ValueError: Two strata have the same name, or the budget is negative.

    References: Neyman, J. (1934), JRSS 97, 558-625. Cochran, W. G. (1977). Sampling Techniques, 3rd edition, equation 5.22; bounds as in
    section 5.8, where allocations that would be above the traffic are cut and the rest is divided anew.

    >>> strata = [StratumDemand("all", 9000, 2), StratumDemand("locale=mt", 1000, 2, quota=100)]
    >>> [(each.name, round(each.tasks), round(each.rate, 3)) for each in allocate(strata, 1000)]
    [('all', 400, 0.044), ('locale=mt', 100, 0.1)]
    """
    names = [stratum.name for stratum in strata]
    if len(set(names)) < len(names):
        raise ValueError(f"strata have names {names}; expected each once")
    if not budget_minutes >= 0:
        raise ValueError(f"budget_minutes is {budget_minutes!r}; expected a number >= 0")
    least = [min(stratum.quota, stratum.traffic) for stratum in strata]
    needed = _cost(strata, least)
    if needed > budget_minutes:
        least = [tasks * budget_minutes / needed for tasks in least]
        return tuple(_allocated(stratum, tasks) for stratum, tasks in zip(strata, least, strict=True))
    tasks = _within(strata, least, budget_minutes)
    return tuple(_allocated(stratum, each) for stratum, each in zip(strata, tasks, strict=True))


def _within(strata: Sequence[StratumDemand], least: Sequence[float], budget: float) -> list[float]:
    """Find the common factor by bisection: the cost rises with it, from that of the quotas to that of all traffic."""
    shares = [stratum.traffic * stratum.spread / sqrt(stratum.minutes) for stratum in strata]

    def at(factor: float) -> list[float]:
        return [min(max(factor * share, low), stratum.traffic) for stratum, share, low in zip(strata, shares, least, strict=True)]

    low, high = 0.0, max((stratum.traffic / share for stratum, share in zip(strata, shares, strict=True) if share > 0), default=0.0)
    if _cost(strata, at(high)) <= budget:
        return at(high)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _cost(strata, at(middle)) <= budget else (low, middle)
    return at(low)


def _cost(strata: Sequence[StratumDemand], tasks: Sequence[float]) -> float:
    return sum(stratum.minutes * each for stratum, each in zip(strata, tasks, strict=True))


def _allocated(stratum: StratumDemand, tasks: float) -> Allocation:
    rate = min(1.0, tasks / stratum.traffic) if stratum.traffic > 0 else 0.0
    return Allocation(stratum.name, rate, tasks, tasks * stratum.minutes, tasks >= stratum.quota * (1 - 1e-9))
