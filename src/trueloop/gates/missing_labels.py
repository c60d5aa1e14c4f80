"""How many further items would probably settle an open gate."""

from collections.abc import Iterable, Sequence
from math import ceil, isinf

from trueloop.gates.intervals import z_of
from trueloop.gates.judge import Judgement
from trueloop.gates.requirements import Requirement

_MOST_ITEMS = 1_000_000
"""Beyond this no number of further items is worth naming."""


def further_items(
    judgement: Judgement, columns: Iterable[int], required: Sequence[Requirement], *, items: Sequence[int], min_items: int, alpha: float
) -> int | None:
    """Return the further items after which the next look would settle the requirements in `columns`, were all estimates to stay as they are.

    Statistics grow with the square root of the items, and the next look may spend less error, so what is met now counts too. Were one
    requirement missed, as its estimate says, the first that is shown to be so settles the matter; else all of them have to be shown to be met.
    None when it cannot be said: an estimate lies on its limit, or so near that more than a million items would not do.

    Args:
        judgement: What one candidate showed, one row.
        columns: Requirements to be settled, by their places in `required`.
        required: All requirements.
        items: Items behind each of them.
        min_items: Least items for a test.
        alpha: One-sided error that the next look may spend.
    """
    tests = sum(bool(tested) and each.is_corrected for tested, each in zip(judgement.tested[0], required, strict=True))
    to_meet: list[int | None] = []
    to_miss: list[int | None] = []
    for column in columns:
        statistic = float(judgement.statistics[0, column])
        if not judgement.tested[0, column]:
            to_meet.append(max(min_items - items[column], 1))
        elif statistic < 0:
            goal = alpha / max(tests, 1) if required[column].is_corrected else alpha
            to_miss.append(_growth(items[column], statistic, z_of(1.0 - goal)))
        else:
            to_meet.append(_growth(items[column], statistic, z_of(1.0 - alpha)))
    if to_miss:
        return min((number for number in to_miss if number is not None), default=None)
    known = [number for number in to_meet if number is not None]
    return max(known, default=0) if len(known) == len(to_meet) else None


def _growth(n: int, statistic: float, goal: float) -> int | None:
    if isinf(statistic):
        return 0
    total = n * (goal / statistic) ** 2 if statistic else float("inf")
    return max(ceil(total) - n, 0) if total <= _MOST_ITEMS else None
