"""The versions that edits of marked spans make of a text, one edit after the other."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from trueloop.events import Severity, SpanMark

SEVERITY_WEIGHTS = {Severity.CRITICAL: 25, Severity.MAJOR: 5, Severity.MINOR: 1, Severity.UNKNOWN: 1}
"""What an error weighs, as in MQM. Reference: Freitag, M. et al. (2021). Experts, errors, and context. TACL 9, 1460-1474 (major 5, minor 1); Lommel, A.
et al. (2014). Multidimensional Quality Metrics. Tradumatica 12 (critical above major)."""


@dataclass(frozen=True, slots=True)
class ChainStep:
    """One step of a chain: the marks whose replacements it makes, in the order in which they are made, and the text afterwards."""

    marks: tuple[SpanMark, ...]
    text: str

    @property
    def severity(self) -> int:
        """What the errors weigh that it mends, >= 1."""
        return sum(SEVERITY_WEIGHTS[mark.severity] for mark in self.marks)


@dataclass(frozen=True, slots=True)
class SpanChain:
    """The original, what each step made of it, and the marks that could not be heeded because a graver one covers some of the same text."""

    original: str
    steps: tuple[ChainStep, ...]
    overlapping: tuple[SpanMark, ...]

    @property
    def texts(self) -> tuple[str, ...]:
        """The versions, worst first; the original alone when nothing was edited."""
        return (self.original, *(step.text for step in self.steps))

    @property
    def severity(self) -> int:
        """What the errors weigh that it mends, >= 0."""
        return sum(step.severity for step in self.steps)


def span_chain(text: str, marks: Sequence[SpanMark], max_steps: int = 16) -> SpanChain:
    """Return the chain of improved versions of a text. It depends on the set of marks and not on their order.

    The gravest edit comes first, edits of one severity in the order of the text: so each version is the best that so many edits can make, and a
    chain that is cut short has mended what matters. Of two edits that cover some of the same text, the graver is made, of equals the one that comes
    first in the text. Marks without a replacement, and replacements equal to what they replace, edit nothing.

    Args:
        text: The text that was marked.
        marks: The marks of one reviewer on it.
        max_steps: Most versions, >= 1. The edits beyond it are all made in the last step, so that the last version has every edit.

    Raises:
        ValueError: A mark is empty or lies outside the text.

    >>> chain = span_chain("It cost 4 euro, sir", [
    ...     SpanMark(candidate_id="a", start=3, end=7, dimension="tone", severity=Severity.MINOR, replacement="costs"),
    ...     SpanMark(candidate_id="a", start=8, end=9, dimension="accuracy", severity=Severity.MAJOR, replacement="12"),
    ... ])
    >>> chain.texts
    ('It cost 4 euro, sir', 'It cost 12 euro, sir', 'It costs 12 euro, sir')
    """
    if any(not 0 <= mark.start < mark.end <= len(text) for mark in marks):
        raise ValueError(f"a mark is empty or lies outside the text of {len(text)} characters; expected 0 <= start < end <= {len(text)}")
    edits = sorted((mark for mark in marks if mark.replacement is not None and mark.replacement != text[mark.start : mark.end]), key=_rank)
    made, overlapping = _apart(edits)
    steps: list[ChainStep] = []
    done: list[SpanMark] = []
    for number, mark in enumerate(made[:max_steps], start=1):
        group = tuple(made[number - 1 :]) if number == max_steps else (mark,)
        done += group
        steps.append(ChainStep(group, _edited(text, done)))
    return SpanChain(text, tuple(steps), tuple(overlapping))


def _rank(mark: SpanMark) -> tuple[int, int, int, str, str]:
    return -SEVERITY_WEIGHTS[mark.severity], mark.start, mark.end, mark.dimension, mark.replacement or ""


def _apart(ranked: Sequence[SpanMark]) -> tuple[list[SpanMark], list[SpanMark]]:
    """Return the edits that no earlier one overlaps, and the others."""
    starts: list[int] = []
    ends: list[int] = []
    made: list[SpanMark] = []
    overlapping: list[SpanMark] = []
    for mark in ranked:
        place = bisect_left(starts, mark.end)
        # Spans that are made do not overlap, so that of those which start before this one ends, the last reaches farthest.
        if place and ends[place - 1] > mark.start:
            overlapping.append(mark)
            continue
        starts.insert(place, mark.start)
        ends.insert(place, mark.end)
        made.append(mark)
    return made, overlapping


def _edited(text: str, edits: Sequence[SpanMark]) -> str:
    pieces: list[str] = []
    end = 0
    for mark in sorted(edits, key=lambda mark: mark.start):
        pieces += (text[end : mark.start], mark.replacement or "")
        end = mark.end
    return "".join((*pieces, text[end:]))
