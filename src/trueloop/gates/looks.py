"""Counting looks: how often candidates were held against the same calibration items, and what error the next look may spend."""

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from trueloop.events import Evaluation
from trueloop.gates.spending import look_alpha
from trueloop.rubrics.gate_policy import Gate

REMEMBERED = 500
"""Looks that are remembered, to know an evaluation that comes again and to count the looks at one candidate."""


@dataclass(frozen=True, slots=True)
class Look:
    """One look: its number in its family, that among the looks at the same candidate, the number of the family (each >= 1), the one-sided error
    that it may spend, and what the look after it may."""

    number: int
    of_candidate: int
    family: int
    alpha: float
    next_alpha: float

    @classmethod
    def numbered(cls, gate: Gate, number: int, of_candidate: int = 1, family: int = 1) -> "Look":
        """Return the look of that number under a policy.

        >>> from trueloop.rubrics.gate_policy import DimensionGate
        >>> gate = Gate(dimensions=(DimensionGate(dimension="tone", evaluator="preference-accuracy"),))
        >>> round(Look.numbered(gate, 1).alpha, 4), round(Look.numbered(gate, 2).alpha, 4)
        (0.025, 0.0083)
        """
        total = gate.error
        each, following = (total, total) if gate.error_over == "look" else (look_alpha(total, number), look_alpha(total, number + 1))
        return cls(number, of_candidate, family, each, following)


class Looked(BaseModel):
    """A look that was taken."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    evaluation: str
    candidate: str
    family: int


class LookLedger(BaseModel):
    """The looks of one application.

    A family of looks shares its calibration items, and so one error. A set that only grew a little is the same set; it counts as another, and looks
    start anew, when at least `Gate.renewed_share` of its items came after the family's first look. A release, another policy or another candidate
    starts nothing anew: the items have been looked at all the same.

    Attributes:
        family: Number of the family, >= 1.
        number: Looks taken in it.
        calibration_version: Newest version of the calibration set that was looked at.
        fresh: Items that versions have brought since the family's first look.
        looked: The newest looks, of earlier families too.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    family: int = 1
    number: int = 0
    calibration_version: int = 0
    fresh: int = 0
    looked: tuple[Looked, ...] = ()

    def knows(self, evaluation: Evaluation) -> bool:
        """Return whether this evaluation was looked at before."""
        return any(each.evaluation == evaluation.event_id for each in self.looked)

    def taken(self, evaluation: Evaluation, gate: Gate) -> tuple["LookLedger", Look]:
        """Return the ledger after one more look, and the look."""
        newer = evaluation.calibration_version > self.calibration_version
        fresh = self.fresh + (evaluation.calibration_new if newer and self.number else 0)
        renewed = self.number > 0 and 0 < evaluation.n_items * gate.renewed_share <= fresh
        family, number = (self.family + 1, 1) if renewed else (self.family, self.number + 1)
        before = sum(each.candidate == evaluation.candidate and each.family == family for each in self.looked)
        mine = Looked(evaluation=evaluation.event_id, candidate=evaluation.candidate, family=family)
        following = LookLedger(
            family=family,
            number=number,
            calibration_version=max(self.calibration_version, evaluation.calibration_version),
            fresh=0 if renewed else fresh,
            looked=(*self.looked, mine)[-REMEMBERED:],
        )
        return following, Look.numbered(gate, number, before + 1, family)
