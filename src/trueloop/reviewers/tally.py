"""Everything that is known of one reviewer, as sums and lists that judgements are added to and taken from."""

from bisect import bisect_left, insort
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from typing import Any, TypeVar

from trueloop.agreement.position import TIE, Positions
from trueloop.reviewers.judgements import Judgement
from trueloop.reviewers.reliability import DailyEvidence

Rubric = tuple[str, int]
"""Id and version of a rubric: evidence of different versions is kept apart."""
Row = TypeVar("Row", bound=tuple[datetime, str, Any])
_TIME_STEPS = 10
"""Times are kept to a tenth of a second, so that a reviewer has some hundreds of them and not one per task."""


@dataclass
class DimensionTally:
    """Evidence on one dimension of one rubric version."""

    gold: DailyEvidence = field(default_factory=DailyEvidence)
    others: DailyEvidence = field(default_factory=DailyEvidence)
    n_gold: int = 0
    gold_right: Fraction = Fraction(0)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left."""
        return not self.gold.days and not self.others.days


@dataclass
class ReviewerTally:
    """Evidence on one reviewer. All sums are exact, so that it is the same whatever was added and taken away on the way.

    Attributes:
        n_labels: Labels that count.
        n_gold: Labels on gold items.
        gold_right: Sum of their shares that are right.
        onboarding: Time, label and share that is right of each answer to an onboarding item, ascending.
        losses: Time, label and loss of each label that can be judged, ascending.
        rubrics: Time, label and rubric of each label, ascending.
        times: Active time in tenths of a second -> labels.
        positions: Preferences by place.
        dimensions: Evidence per rubric version and dimension.
    """

    n_labels: int = 0
    n_gold: int = 0
    gold_right: Fraction = Fraction(0)
    onboarding: list[tuple[datetime, str, Fraction]] = field(default_factory=list)
    losses: list[tuple[datetime, str, Fraction]] = field(default_factory=list)
    rubrics: list[tuple[datetime, str, Rubric]] = field(default_factory=list)
    times: Counter[int] = field(default_factory=Counter)
    positions: Positions = field(default_factory=Positions)
    dimensions: dict[tuple[Rubric, str], DimensionTally] = field(default_factory=dict)

    @property
    def newest(self) -> datetime | None:
        """Time of the newest label; None without any."""
        return self.rubrics[-1][0] if self.rubrics else None

    @property
    def rubric(self) -> Rubric | None:
        """Rubric of the newest label; None without any."""
        return self.rubrics[-1][2] if self.rubrics else None

    @property
    def seconds(self) -> dict[float, int]:
        """Active time, seconds -> labels."""
        return {each / _TIME_STEPS: count for each, count in self.times.items()}

    def add(self, judgement: Judgement, rubric: Rubric, shown: int) -> None:
        """Add what a label says, on a task with `shown` candidates."""
        label = judgement.label
        self.n_labels += 1
        insort(self.rubrics, (label.at, label.label_id, rubric))
        if judgement.gold is not None:
            self.n_gold += 1
            self.gold_right += judgement.gold
            if judgement.onboarding:
                insort(self.onboarding, (label.at, label.label_id, judgement.gold))
        if judgement.loss is not None:
            insort(self.losses, (label.at, label.label_id, judgement.loss))
        self._count(judgement, rubric, shown, 1)

    def remove(self, judgement: Judgement, rubric: Rubric, shown: int) -> None:
        """Take away what was added. Raises ValueError when it was not."""
        label = judgement.label
        self.n_labels -= 1
        _discard(self.rubrics, (label.at, label.label_id, rubric))
        if judgement.gold is not None:
            self.n_gold -= 1
            self.gold_right -= judgement.gold
            if judgement.onboarding:
                _discard(self.onboarding, (label.at, label.label_id, judgement.gold))
        if judgement.loss is not None:
            _discard(self.losses, (label.at, label.label_id, judgement.loss))
        self._count(judgement, rubric, shown, -1)

    def _count(self, judgement: Judgement, rubric: Rubric, shown: int, sign: int) -> None:
        label = judgement.label
        if label.seconds is not None:
            tenths = round(min(label.seconds, 1e9) * _TIME_STEPS)
            self.times[tenths] += sign
            if not self.times[tenths]:
                del self.times[tenths]
        if judgement.choice is not None and judgement.choice != TIE and shown > 1:
            self.positions.add(shown, int(judgement.choice == 0), 1, sign)
        for name, (right, known) in judgement.by_dimension.items():
            self._of_dimension((rubric, name), label.at, right, known=known, sign=sign)

    def _of_dimension(self, key: tuple[Rubric, str], at: datetime, right: Fraction, *, known: bool, sign: int) -> None:
        tally = self.dimensions.setdefault(key, DimensionTally())
        evidence = DailyEvidence().add(at, right)
        before = tally.gold if known else tally.others
        after = before + evidence if sign > 0 else before - evidence
        if known:
            tally.gold, tally.n_gold, tally.gold_right = after, tally.n_gold + sign, tally.gold_right + sign * right
        else:
            tally.others = after
        if tally.is_empty:
            del self.dimensions[key]


def _discard(rows: list[Row], row: Row) -> None:
    place = bisect_left(rows, row)
    if place == len(rows) or rows[place] != row:
        raise ValueError(f"label {row[1]!r} was never added; only what was added can be taken away")
    del rows[place]
