"""What the labels of one task say of the reviewers who gave them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction

from trueloop.agreement.position import TIE

Unit = tuple[str, str]
"""Dimension, and the candidate that was rated; for a preference the candidate is ''."""


@dataclass(frozen=True, slots=True)
class StandingLabel:
    """A label that counts. Values of ratings are on the scale of their dimension, those of preferences the place that was preferred as it was
    displayed, from 0, or `TIE`."""

    label_id: str
    reviewer_id: str
    at: datetime
    values: Mapping[Unit, int]
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class GoldKey:
    """The known values of a task's units. A rating may be off by `tolerance`; a preference may not."""

    values: Mapping[Unit, int]
    tolerance: int = 0
    onboarding: bool = False

    def is_right(self, unit: Unit, value: int) -> bool:
        """Return whether a value of a known unit is right."""
        return abs(value - self.values[unit]) <= (self.tolerance if unit[1] else 0)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a label says of its reviewer.

    Attributes:
        label: The label.
        gold: Share of its gold units that is right; None where it has none.
        onboarding: Whether the task belongs to the onboarding set.
        by_dimension: Dimension -> share that is right, and whether gold says so; where it does not, the others on the task do. A dimension of
            which neither speaks is absent.
        loss: 1 less the share that is right, by gold if it can, else by the others; None when nobody else spoke.
        choice: Place that was preferred over all, `TIE` for none; None without a preference.
    """

    label: StandingLabel
    gold: Fraction | None
    onboarding: bool
    by_dimension: Mapping[str, tuple[Fraction, bool]] = field(default_factory=dict)
    loss: Fraction | None = None
    choice: int | None = None


def judgements(labels: Sequence[StandingLabel], gold: GoldKey | None, categories: Mapping[str, int]) -> list[Judgement]:
    """Return what each label of a task says of its reviewer. Depends on the set of labels, not on their order.

    Without gold, the chance that a value is right is taken from the others on the task: (those who say the same + 1 / K) / (others + 1), K being
    the number of values that were possible. A reviewer's own vote is not among them: nobody vouches for themselves. What is said of one task in
    one dimension is one judgement, however many candidates it has.

    Args:
        labels: At most one per reviewer.
        gold: What is known; None for an ordinary task.
        categories: Dimension -> values that were possible, >= 1.

    >>> from datetime import UTC
    >>> at = datetime(2026, 1, 1, tzinfo=UTC)
    >>> labels = [StandingLabel(name, name, at, {("tone", "a"): value}) for name, value in (("ada", 1), ("ben", 1), ("cleo", 0))]
    >>> [str(each.by_dimension["tone"][0]) for each in judgements(labels, None, {"tone": 2})]
    ['1/2', '1/2', '1/6']
    """
    return [_judged(label, labels, gold, categories) for label in labels]


def _judged(label: StandingLabel, labels: Sequence[StandingLabel], gold: GoldKey | None, categories: Mapping[str, int]) -> Judgement:
    shares: dict[str, dict[bool, list[Fraction]]] = {}
    for unit, share, known in _units(label, labels, gold, categories):
        shares.setdefault(unit[0], {}).setdefault(known, []).append(share)
    # Where gold speaks of some candidates of a dimension, it speaks for the dimension.
    by_dimension = {name: (_mean(of[True]), True) if True in of else (_mean(of[False]), False) for name, of in sorted(shares.items())}
    of_gold = [share for of in shares.values() for share in of.get(True, ())]
    everything = of_gold or [share for of in shares.values() for share in of.get(False, ())]
    return Judgement(
        label,
        _mean(of_gold) if of_gold else None,
        gold is not None and gold.onboarding,
        by_dimension,
        1 - _mean(everything) if everything else None,
        _choice(label),
    )


def _units(label: StandingLabel, labels: Sequence[StandingLabel], gold: GoldKey | None, categories: Mapping[str, int]) -> Iterator[tuple[Unit, Fraction, bool]]:
    for unit, value in sorted(label.values.items()):
        if gold is not None and unit in gold.values:
            yield unit, Fraction(gold.is_right(unit, value)), True
            continue
        others = [other.values[unit] for other in labels if other.reviewer_id != label.reviewer_id and unit in other.values]
        if others:
            yield unit, (others.count(value) + Fraction(1, categories[unit[0]])) / (len(others) + 1), False


def _choice(label: StandingLabel) -> int | None:
    """Return the preference over all; where there is none, the one on the first dimension by name."""
    preferences = sorted((dimension != "overall", dimension, value) for (dimension, candidate), value in label.values.items() if not candidate)
    return preferences[0][2] if preferences else None


def _mean(shares: Sequence[Fraction]) -> Fraction:
    return sum(shares, Fraction(0)) / len(shares)


__all__ = ["TIE", "GoldKey", "Judgement", "StandingLabel", "Unit", "judgements"]
