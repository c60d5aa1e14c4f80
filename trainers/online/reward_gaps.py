"""Pairs by how far a reward model sees their completions apart."""

from collections.abc import Sequence
from dataclasses import dataclass

LOW_P_CORRECT = 0.75
"""Below it the order of a pair is in doubt: two of eight such orders are wrong, at the least."""


@dataclass(frozen=True, slots=True)
class Split:
    """The numbers of the easy and of the hard pairs, and the gap above which a pair is easy."""

    easy: tuple[int, ...]
    hard: tuple[int, ...]
    threshold: float


def split_by_gap(gaps: Sequence[float], threshold: float | None, hard_share: float) -> Split:
    """Return which pairs are easy: those whose gap is larger than the threshold.

    Args:
        gaps: The reward of the chosen completion less that of the rejected one, by pair. Its sign counts: a pair that the reward model would
            turn round is hard, however sure the model is, and that is where wrong labels gather.
        threshold: In the reward model's own unit; None takes the gap that makes `hard_share` of the pairs hard.
        hard_share: In [0, 1].

    >>> split_by_gap([2.0, -3.0, 0.5, 1.0], threshold=0.7, hard_share=0.5)
    Split(easy=(0, 3), hard=(1, 2), threshold=0.7)
    >>> split_by_gap([2.0, -3.0, 0.5, 1.0], threshold=None, hard_share=0.5)
    Split(easy=(0, 3), hard=(1, 2), threshold=0.5)
    """
    if threshold is None:
        order = sorted(gaps)
        hard = round(hard_share * len(order))
        threshold = order[hard - 1] if hard else order[0] - 1.0
    easy = tuple(number for number, gap in enumerate(gaps) if gap > threshold)
    hard_ones = tuple(number for number, gap in enumerate(gaps) if gap <= threshold)
    return Split(easy, hard_ones, threshold)


def low_confidence_share(p_correct: Sequence[float | None]) -> dict[str, float]:
    """Return the share of pairs whose order is in doubt, of those of which it is known; nothing when it is known of none.

    >>> low_confidence_share([0.6, 0.9, None, 0.95]), low_confidence_share([None])
    ({'low_p_correct_share': 0.3333333333333333}, {})
    """
    known = [value for value in p_correct if value is not None]
    return {"low_p_correct_share": sum(value < LOW_P_CORRECT for value in known) / len(known)} if known else {}
