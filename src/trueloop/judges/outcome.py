"""What comes of asking a judge: a score, a preference, or no judgement and why."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class NoJudgementReason(StrEnum):
    """Why there is no judgement. None of these is a tie or a low score: the item has no evidence."""

    TIMEOUT = "TIMEOUT"
    UNAVAILABLE = "UNAVAILABLE"
    """It cannot be reached, or answers with a server's error."""
    RATE_LIMITED = "RATE_LIMITED"
    REFUSED = "REFUSED"
    """It answers that the request is wrong or not allowed."""
    REDIRECTED = "REDIRECTED"
    """It names another address, which is not followed."""
    TOO_LARGE = "TOO_LARGE"
    """Its answer has more bytes than are read."""
    MALFORMED = "MALFORMED"
    """Its answer is no chat completion."""
    FILTERED = "FILTERED"
    """Its provider withheld the answer."""
    CUT = "CUT"
    """The answer was cut at the most tokens it may have."""
    TOO_LONG = "TOO_LONG"
    """The question is longer than may be asked."""
    UNREADABLE = "UNREADABLE"
    """The answer is not of the form that was asked for."""
    OFF_SCALE = "OFF_SCALE"
    POSITION = "POSITION"
    """Shown the other way round, it prefers otherwise."""


@dataclass(frozen=True, slots=True)
class NoJudgement:
    """A question that brought no judgement."""

    reason: NoJudgementReason


class Preference(StrEnum):
    """Which of two answers is better. TIE is what a judge said, never what is concluded from its silence."""

    FIRST = "FIRST"
    SECOND = "SECOND"
    TIE = "TIE"

    @property
    def swapped(self) -> "Preference":
        """The same preference with the answers in the other order.

        >>> Preference.FIRST.swapped, Preference.TIE.swapped
        (<Preference.SECOND: 'SECOND'>, <Preference.TIE: 'TIE'>)
        """
        return {Preference.FIRST: Preference.SECOND, Preference.SECOND: Preference.FIRST}.get(self, self)


def counted(outcomes: Iterable[object]) -> dict[str, int]:
    """Return how many of the outcomes are no judgement, by reason.

    >>> counted([0.5, NoJudgement(NoJudgementReason.CUT), "text"])
    {'CUT': 1}
    """
    return dict(sorted(Counter(outcome.reason.value for outcome in outcomes if isinstance(outcome, NoJudgement)).items()))
