"""Sampling rates from a budget of reviewer minutes: what is known of each stratum, what it gets, and how well it will then be known."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import floor, log10, sqrt
from typing import Any

from trueloop.rubrics.sampling_policy import EdgeCase, Sampling
from trueloop.sampling.allocation import Allocation, StratumDemand, allocate
from trueloop.sampling.inclusion import ALL

ASSUMED_SECONDS = 60.0
"""Time that a label takes where none was measured."""
ASSUMED_SPREAD = 0.5
"""Standard deviation where nothing is known: the largest that a number in [0, 1] can have."""
LEAST_SPREAD = 0.1
"""A stratum that looked uniform so far is looked at all the same."""
ENOUGH = 20
"""Reviewed tasks, or timed labels, of a stratum from which its own numbers are used; below it, those of all strata together."""
_Z = 1.959964
_DIGITS = 4
_LEAST_RATE = 1e-9


@dataclass(frozen=True, slots=True)
class Moments:
    """Weighted sums of a loss in [0, 1] over reviewed tasks: their number, the sums of w, w y and w y^2, w being 1 / probability."""

    n: int = 0
    weight: float = 0.0
    total: float = 0.0
    squares: float = 0.0

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(self.n + other.n, self.weight + other.weight, self.total + other.total, self.squares + other.squares)

    @property
    def spread(self) -> float | None:
        """Standard deviation over the population, None with fewer than `ENOUGH` tasks."""
        if self.n < ENOUGH or self.weight <= 0:
            return None
        mean = self.total / self.weight
        return sqrt(max(0.0, self.squares / self.weight - mean * mean) * self.n / (self.n - 1))


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the last days tell of a stratum.

    Attributes:
        traffic: Traces a day that may be reviewed.
        labels: Labels whose time was measured.
        seconds: Their mean time, None without any.
        losses: Per dimension of the rubric.
        mean_uncertainty: Mean of what is known of its traces' uncertainty, None where nothing is.
    """

    traffic: float = 0.0
    labels: int = 0
    seconds: float | None = None
    losses: Mapping[str, Moments] = field(default_factory=dict)
    mean_uncertainty: float | None = None


@dataclass(frozen=True, slots=True)
class PlannedStratum:
    """What a stratum gets.

    Attributes:
        name: As it stands on tasks.
        traffic: Traces a day that may be reviewed.
        spread: Standard deviation of the loss on its worst known dimension.
        seconds: Time of a label.
        rate_now: Of the policy.
        rate: That is planned.
        tasks: A day.
        minutes: A day.
        half_width: Of a 95 % interval of its mean loss from the tasks of a day; None without traffic or tasks.
        assumed: What was assumed: 'time', 'spread', 'traffic'.
    """

    name: str
    traffic: float
    spread: float
    seconds: float
    rate_now: float
    rate: float
    tasks: float
    minutes: float
    half_width: float | None
    assumed: tuple[str, ...]


def strata_of(sampling: Sampling) -> dict[str, float]:
    """Return name and rate of every stratum that a trace may be in without an alarm, in the order in which they are tried."""
    found: dict[str, float] = {}
    if sampling.anomalies is not None:
        found |= {f"anomaly:{case}": sampling.anomalies.rate_of(case) for case in EdgeCase if sampling.anomalies.looks_for(case)}
    return found | {stratum.name: stratum.rate for stratum in sampling.strata} | {ALL: sampling.rate}


def plan(sampling: Sampling, evidence: Mapping[str, Evidence], minutes: float, least_tasks: float = 0.0) -> tuple[PlannedStratum, ...]:
    """Divide a day's reviewer minutes among the strata; see `allocate`.

    Args:
        sampling: Of the policy that is planned anew.
        evidence: By stratum; one that is not named has none.
        minutes: A day, >= 0.
        least_tasks: A day, that every stratum is to get as far as it has traffic and the budget pays for them.

    Raises:
        ValueError: `minutes` or `least_tasks` is negative.

    >>> evidence = {"all": Evidence(traffic=1000.0, labels=50, seconds=30.0)}
    >>> [(each.name, each.rate, each.minutes) for each in plan(Sampling(rate=0.5, labels_needed=2), evidence, 100.0)]
    [('all', 0.1, 100.0)]
    """
    pooled = _pooled(evidence.values())
    known = {name: evidence.get(name, Evidence()) for name in strata_of(sampling)}
    seconds = {name: each.seconds if each.seconds and each.labels >= ENOUGH else pooled.seconds or ASSUMED_SECONDS for name, each in known.items()}
    own_spreads = {name: _spread(each) for name, each in known.items()}
    others = _spread(pooled)
    elsewhere = ASSUMED_SPREAD if others is None else others
    spreads = {name: elsewhere if spread is None else spread for name, spread in own_spreads.items()}
    demands = [
        StratumDemand(name, each.traffic, sampling.labels_needed * seconds[name] / 60, quota=least_tasks, spread=max(spreads[name], LEAST_SPREAD))
        for name, each in known.items()
    ]
    rates_now = strata_of(sampling)
    return tuple(
        _planned(found, demand, rates_now[found.name], seconds[found.name], _assumed(known[found.name], pooled))
        for found, demand in zip(allocate(demands, minutes), demands, strict=True)
    )


def seconds_per_label(evidence: Iterable[Evidence]) -> float:
    """Return the mean time of a label over all strata, seconds; `ASSUMED_SECONDS` where too few were timed."""
    return _pooled(evidence).seconds or ASSUMED_SECONDS


def overall_half_width(planned: Sequence[PlannedStratum]) -> float | None:
    """Return the half-width of a 95 % interval of the mean loss over all traces from the tasks of a day; None when a stratum with traffic has no task.

    Reference: Cochran, W. G. (1977). Sampling Techniques, 3rd edition, equation 5.7.
    """
    seen = [each for each in planned if each.traffic > 0]
    total = sum(each.traffic for each in seen)
    if not total or any(each.half_width is None for each in seen):
        return None
    return sqrt(sum((each.traffic / total * (each.half_width or 0.0)) ** 2 for each in seen))


def next_version(document: Mapping[str, Any], planned: Sequence[PlannedStratum], evidence: Mapping[str, Evidence]) -> dict[str, Any]:
    """Return a policy document with the planned rates, the measured mean uncertainties, and the version after its own.

    Args:
        document: The policy as it stands in its file.
        planned: For its strata.
        evidence: By stratum.
    """
    rates = {each.name: each.rate for each in planned}
    sampling = dict(document["sampling"]) | {"rate": rates[ALL]}
    if "strata" in sampling:
        sampling["strata"] = [{**stratum, "rate": rates[f"{stratum['slice']}={stratum['value']}"]} for stratum in sampling["strata"]]
    if "anomalies" in sampling:
        cases = {case.value: rates[f"anomaly:{case}"] for case in EdgeCase if f"anomaly:{case}" in rates}
        sampling["anomalies"] = {**sampling["anomalies"], "rates": cases}
    means = {name: round(each.mean_uncertainty, _DIGITS) for name, each in evidence.items() if each.mean_uncertainty}
    if "uncertainty" in sampling and means:
        weights = {name: evidence[name].traffic for name in means}
        mean = sum(means[name] * weight for name, weight in weights.items()) / sum(weights.values())
        sampling["uncertainty"] = {**sampling["uncertainty"], "mean": means.get(ALL, round(mean, _DIGITS))}
        for stratum in sampling.get("strata", ()):
            if (own := means.get(f"{stratum['slice']}={stratum['value']}")) is not None:
                stratum["mean_uncertainty"] = own
    return {**document, "version": document["version"] + 1, "sampling": sampling}


def _pooled(evidence: Iterable[Evidence]) -> Evidence:
    labels, time, losses = 0, 0.0, dict[str, Moments]()
    for each in evidence:
        labels += each.labels
        time += each.labels * (each.seconds or 0.0)
        for dimension, moments in each.losses.items():
            losses[dimension] = losses.get(dimension, Moments()) + moments
    return Evidence(labels=labels, seconds=time / labels if labels >= ENOUGH else None, losses=losses)


def _spread(evidence: Evidence) -> float | None:
    return max((moments.spread for moments in evidence.losses.values() if moments.spread is not None), default=None)


def _assumed(known: Evidence, pooled: Evidence) -> tuple[str, ...]:
    lacking = {
        "traffic": not known.traffic,
        "time": pooled.seconds is None and known.labels < ENOUGH,
        "spread": _spread(known) is None and _spread(pooled) is None,
    }
    return tuple(name for name, lacks in lacking.items() if lacks)


def _planned(found: Allocation, demand: StratumDemand, rate_now: float, seconds: float, assumed: tuple[str, ...]) -> PlannedStratum:
    rate = _rounded_down(found.rate) if demand.traffic > 0 else rate_now  # nothing is known of it, so nothing is changed
    tasks = rate * demand.traffic
    half_width = _Z * demand.spread * sqrt(max(0.0, 1 - rate) / tasks) if tasks > 0 else None
    return PlannedStratum(found.name, demand.traffic, demand.spread, seconds, rate_now, rate, tasks, tasks * demand.minutes, half_width, assumed)


def _rounded_down(rate: float) -> float:
    """Return a rate with few digits, which costs no more.

    >>> _rounded_down(0.123456), _rounded_down(0.0001), _rounded_down(0.0)
    (0.1234, 0.0001, 0.0)
    """
    if rate < _LEAST_RATE:
        return 0.0
    scale = 10.0 ** (_DIGITS - 1 - floor(log10(rate)))
    return floor(rate * scale * (1 + 1e-12)) / scale
