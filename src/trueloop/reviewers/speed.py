"""Whether a reviewer is too fast to have read what they judge."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trueloop.estimates.estimate import Estimate
from trueloop.estimates.frame import Column, numbers
from trueloop.reviewers.gold_accuracy import gold_accuracy_of

OF_MEDIAN = 0.25
"""Share of the panel's median time below which a task is too fast: nobody reads four times as fast as the others, again and again."""
MIN_TASKS = 20


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast a reviewer works.

    Attributes:
        median_seconds: Median active time per task, seconds; None when not measured.
        floor_seconds: Time below which a task counts as too fast.
        too_fast: Share of tasks that were, with its interval.
        flagged: Whether the lower bound of that share is above what is allowed, over `MIN_TASKS` tasks or more.
    """

    median_seconds: float | None
    floor_seconds: float
    too_fast: Estimate
    flagged: bool


def speed(seconds: Column, panel_seconds: Column, *, min_seconds: float, max_share: float, data: Any = None, confidence: float = 0.95) -> Speed:
    """Return how fast a reviewer works, against the panel that does the same tasks.

    A task is too fast below `min_seconds`, or below a quarter of the panel's median when that is longer. Medians, because one pause for lunch
    would move a mean.

    Args:
        seconds: Active time of each task of the reviewer, seconds; missing where it was not measured.
        panel_seconds: The same of all reviewers.
        min_seconds: Seconds that the shortest honest judgement takes, >= 0.
        max_share: Share of too fast tasks that is allowed, [0, 1].
        data: Data frame; then columns may be given by name.
        confidence: Of the two-sided interval, (0, 1).

    Raises:
        ValueError: A time is negative.

    >>> found = speed([1.0] * 30, [40.0] * 300, min_seconds=3, max_share=0.2)
    >>> found.floor_seconds, found.too_fast.value, found.flagged
    (10.0, 1.0, True)
    """
    own, panel = (Counter(each for each in numbers(column, data, name="seconds") if each is not None) for column in (seconds, panel_seconds))
    if min([*own, *panel], default=0.0) < 0:
        raise ValueError("seconds holds a negative time; expected numbers >= 0")
    return speed_of(own, median_of(panel), min_seconds=min_seconds, max_share=max_share, confidence=confidence)


def speed_of(times: Mapping[float, int], panel_median: float | None, *, min_seconds: float, max_share: float, confidence: float = 0.95) -> Speed:
    """Return how fast a reviewer works, from time -> number of tasks. See `speed`."""
    floor = max(min_seconds, OF_MEDIAN * (panel_median or 0.0))
    n, fast = sum(times.values()), sum(count for each, count in times.items() if each < floor)
    too_fast = gold_accuracy_of(fast, n, confidence=confidence)
    flagged = n >= MIN_TASKS and too_fast.ci_low is not None and too_fast.ci_low > max_share
    return Speed(median_of(times), floor, too_fast, flagged)


def median_of(times: Mapping[float, int]) -> float | None:
    """Return the median of times, given as time -> how often; None without any.

    >>> median_of({1.0: 2, 5.0: 1, 9.0: 1}), median_of({})
    (3.0, None)
    """
    n = sum(times.values())
    if n == 0:
        return None
    ordered = sorted(times.items())
    found: list[float] = []
    for place in ((n - 1) // 2, n // 2):
        until = 0
        for each, count in ordered:
            until += count
            if until > place:
                found.append(each)
                break
    return sum(found) / 2
