"""Reliability of a reviewer over time: a Beta posterior that forgets."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any

from trueloop.estimates.beta import beta_quantile
from trueloop.estimates.frame import Column, aligned, cells, numbers

PRIOR = (1.0, 1.0)
"""Beta(1, 1): before any evidence every reliability is as likely as any other."""
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Reliability:
    """Posterior of the chance that a reviewer is right: Beta(alpha, beta), with its equal-tailed credible interval.

    `n` counts judgements, however old; `alpha + beta - 2` is what is left of their weight.
    """

    alpha: float
    beta: float
    ci_low: float
    ci_high: float
    n: int

    @property
    def value(self) -> float:
        """Mean of the posterior, (0, 1): the chance that the next judgement is right."""
        return self.alpha / (self.alpha + self.beta)

    @property
    def interval(self) -> tuple[float, float]:
        """Both ends of the credible interval."""
        return self.ci_low, self.ci_high


@dataclass(frozen=True, slots=True)
class DailyEvidence:
    """What speaks for and against a reviewer, by day (UTC): exact sums that add and subtract, so neither order nor grouping matter.

    Attributes:
        days: Day -> judgements, their weight, and how much of it is right.
    """

    days: Mapping[date, tuple[int, Fraction, Fraction]] = field(default_factory=dict)

    def add(self, at: datetime, right: Fraction, weight: Fraction = Fraction(1)) -> "DailyEvidence":
        """Return this with one judgement more: `right` in [0, 1] of it is right, and it counts `weight` in [0, 1]."""
        return self + DailyEvidence({at.astimezone(UTC).date(): (1, weight, weight * right)})

    def scaled(self, weight: Fraction) -> "DailyEvidence":
        """Return this with every judgement counting `weight` of what it counted."""
        return DailyEvidence({day: (n, total * weight, right * weight) for day, (n, total, right) in self.days.items()})

    def __add__(self, other: "DailyEvidence") -> "DailyEvidence":
        return self._joined(other, 1)

    def __sub__(self, other: "DailyEvidence") -> "DailyEvidence":
        return self._joined(other, -1)

    def _joined(self, other: "DailyEvidence", sign: int) -> "DailyEvidence":
        days = dict(self.days)
        for day, (n, weight, right) in other.days.items():
            have = days.get(day, (0, Fraction(0), Fraction(0)))
            days[day] = have[0] + sign * n, have[1] + sign * weight, have[2] + sign * right
            if not any(days[day]):
                del days[day]
        return DailyEvidence(days)


def reliability_of(evidence: DailyEvidence, half_life_days: float, *, confidence: float = 0.95, at: date | None = None) -> Reliability:
    """Return the posterior from daily evidence, as of `at` (default: the newest day with evidence). See `reliability`."""
    if not half_life_days > 0:
        raise ValueError(f"half_life_days is {half_life_days!r}; expected a number > 0")
    today = at or max(evidence.days, default=date.min)
    alpha, beta = PRIOR
    for day, (_, weight, right) in sorted(evidence.days.items()):
        left = 0.5 ** (max((today - day) / DAY, 0.0) / half_life_days)
        alpha += left * float(right)
        beta += left * float(weight - right)
    tail = (1 - confidence) / 2
    count = sum(n for n, _, _ in evidence.days.values())
    return Reliability(alpha, beta, beta_quantile(tail, alpha, beta), beta_quantile(1 - tail, alpha, beta), count)


def reliability(right: Column, at: Column, half_life_days: float, *, weights: Column | None = None, data: Any = None, confidence: float = 0.95) -> Reliability:
    """Return the posterior of a reviewer's chance to be right, in which a judgement counts half after each `half_life_days`.

    Old evidence fades, so a reviewer who changed is seen as they are now, and one who stayed away becomes uncertain again but never better or
    worse. Judgements of one day count alike.

    Args:
        right: One row per judgement: 1 for a right one, 0 for a wrong one, or the probability that it is right. Missing rows do not count.
        at: When it was made, datetimes with a time zone.
        half_life_days: Days, > 0; infinity never forgets.
        weights: What each judgement counts, [0, 1]; 1 when left out. 0 is no evidence.
        data: Data frame; then columns may be given by name.
        confidence: Of the interval, (0, 1).

    Raises:
        ValueError: Columns differ in length, a number is not in [0, 1], or half_life_days is not above 0.

    Reference: Jøsang, A., Ismail, R. (2002). The beta reputation system. 15th Bled Electronic Commerce Conference, section 3.4 (forgetting).

    >>> from datetime import datetime, UTC
    >>> then, now = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 31, tzinfo=UTC)
    >>> found = reliability([1, 1, 0], [then, then, now], half_life_days=30)
    >>> found.alpha, found.beta
    (2.0, 2.0)
    """
    shares, moments = numbers(right, data, name="right"), cells(at, data)
    counts = [1.0] * len(shares) if weights is None else numbers(weights, data, name="weights")
    aligned(right=shares, at=moments, weights=counts)
    return reliability_of(_evidence(zip(shares, moments, counts, strict=True)), half_life_days, confidence=confidence)


def _evidence(rows: Iterable[tuple[float | None, datetime | None, float | None]]) -> DailyEvidence:
    days: dict[date, tuple[int, Fraction, Fraction]] = {}
    for row, (share, moment, weight) in enumerate(rows):
        if share is None or moment is None or weight is None:
            continue
        if not (0.0 <= share <= 1.0 and 0.0 <= weight <= 1.0):
            raise ValueError(f"row {row} has right {share!r} and weight {weight!r}; expected numbers in [0, 1]")
        n, total, so_far = days.get(moment.astimezone(UTC).date(), (0, Fraction(0), Fraction(0)))
        days[moment.astimezone(UTC).date()] = n + 1, total + Fraction(weight), so_far + Fraction(weight) * Fraction(share)
    return DailyEvidence(days)
