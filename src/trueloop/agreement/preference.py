"""Agreement of pairwise preferences, once the display order is undone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trueloop.agreement.estimate import Estimate
from trueloop.agreement.gwet import gwet_ac1
from trueloop.agreement.krippendorff import krippendorff_alpha
from trueloop.agreement.observed import observed_agreement
from trueloop.agreement.position import TIE, PositionBias, position_bias
from trueloop.estimates.frame import Column, aligned, cells


@dataclass(frozen=True, slots=True)
class PreferenceAgreement:
    """How far reviewers prefer the same candidate: observed agreement, Krippendorff's nominal alpha, AC1, and the test of position bias."""

    observed: Estimate
    alpha: Estimate
    ac1: Estimate
    position: PositionBias


def preference_agreement(tasks: Column, raters: Column, choices: Column, orders: Column, *, data: Any = None, confidence: float = 0.95) -> PreferenceAgreement:
    """Return the agreement of preferences, after undoing the order in which the candidates were displayed.

    Args:
        tasks: The task of each preference.
        raters: Who gave it.
        choices: Place of the preferred candidate as it was displayed, 0 being the first; -1 is a tie, None and NaN no answer.
        orders: Names of the candidates in the order in which this reviewer saw them; the same number throughout. Names that mean the same
            in every task, such as 'serving' and 'candidate', or the index before shuffling.
        data: A data frame, when columns are given by their names.
        confidence: Of the intervals, two-sided, (0, 1).

    Raises:
        ValueError: The columns do not fit (see `ratings_of`), a choice is none of the places, or the numbers of candidates differ.

    >>> found = preference_agreement([1, 1, 2, 2], ["x", "y"] * 2, [0, 1, -1, 0], [("a", "b"), ("b", "a"), ("a", "b"), ("a", "b")])
    >>> found.observed.value
    0.5
    """
    of, by, chosen = cells(tasks, data), cells(raters, data), cells(choices, data)
    shown = [tuple(order) for order in cells(orders, data)]
    aligned(choices=chosen, orders=shown)
    sizes = {len(order) for order in shown}
    if len(sizes) > 1:
        raise ValueError(f"orders have {sorted(sizes)} candidates; expected the same number throughout: take them apart")
    candidates = max((*sizes, 2))
    position = position_bias(of, chosen, candidates=candidates, confidence=confidence)
    preferred = [_preferred(choice, order) for choice, order in zip(chosen, shown, strict=True)]
    names: Sequence[Any] = sorted({name for order in shown for name in order}, key=repr)
    categories = [TIE, *((name,) for name in names)]
    return PreferenceAgreement(
        observed_agreement(of, by, preferred, confidence=confidence),
        krippendorff_alpha(of, by, preferred, confidence=confidence),
        gwet_ac1(of, by, preferred, categories=categories, confidence=confidence),
        position,
    )


def _preferred(choice: Any, order: tuple[Any, ...]) -> Any:
    """Return the name of the preferred candidate, in a tuple so that no name can be mistaken for a tie; None without an answer."""
    if choice is None or choice == TIE:
        return choice
    return (order[choice],)
