"""Marked spans as units of agreement: characters or tokens that each reader of a document marked or not."""

from collections import Counter
from collections.abc import Hashable, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

from trueloop.agreement.pattern import Members
from trueloop.estimates.frame import Column, aligned, cells

Span: TypeAlias = tuple[int, int]
"""First character, 0-based, and one past the last."""
UNMARKED, MARKED = 0, 1
"""The two values of a character or token."""


def marked_members(spans_by_rater: Sequence[Sequence[Span]], length: int, tokens: Sequence[Span] | None = None) -> Members:
    """Return the characters of a document, or its tokens, as units: how many of them how many raters marked.

    A rater marks a character at most once, however many spans cover it, and a token when a span covers any part of it.

    Args:
        spans_by_rater: What each rater marked; a rater that marked nothing has an empty list.
        length: Length of the document, characters.
        tokens: The document's tokens; None takes its characters.

    >>> marked_members([[(0, 2)], [(1, 3), (1, 2)]], 4)
    ((((0, 1), (1, 1)), 2), (((0, 2),), 1), (((1, 2),), 1))
    """
    raters = len(spans_by_rater)
    marked: Counter[int] = Counter()
    if tokens is not None:
        marked.update(sum(any(start < end_ and start_ < end for start_, end_ in spans) for spans in spans_by_rater) for start, end in tokens)
    else:
        steps: Counter[int] = Counter({0: 0, length: 0})
        for spans in spans_by_rater:
            for start, end in _joined(spans):
                steps[start] += 1
                steps[end] -= 1
        depth = 0
        for here, there in pairwise(sorted(steps)):
            depth += steps[here]
            marked[depth] += there - here
    patterns = ((_pattern(raters, count), units) for count, units in marked.items() if units and raters)
    return tuple(sorted(patterns))


def _pattern(raters: int, marked: int) -> tuple[tuple[int, int], ...]:
    return tuple((value, count) for value, count in ((UNMARKED, raters - marked), (MARKED, marked)) if count)


def _joined(spans: Sequence[Span]) -> list[Span]:
    """Return spans without overlap that cover the same characters."""
    found: list[Span] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def readings(documents: Column, raters: Column, spans: Column, lengths: Column | None, data: Any) -> dict[Hashable, tuple[dict[Hashable, Sequence[Any]], int]]:
    """Return document -> (reader -> spans, length); without lengths, a document ends with its last span."""
    columns = {"documents": cells(documents, data), "raters": cells(raters, data), "spans": cells(spans, data)}
    if lengths is not None:
        columns["lengths"] = cells(lengths, data)
    aligned(**columns)
    read: dict[Hashable, tuple[dict[Hashable, Sequence[Any]], int]] = {}
    for row, (document, rater) in enumerate(zip(columns["documents"], columns["raters"], strict=True)):
        marked = columns["spans"][row]
        if marked is None:
            continue
        if document is None or rater is None:
            raise ValueError(f"row {row} has spans, but lacks its document or rater; give them, or no spans")
        spoken = [tuple(span) for span in marked]
        end = max((span[1] for span in spoken), default=0)
        length = columns["lengths"][row] if lengths is not None else end
        if length is None or not all(0 <= span[0] < span[1] <= length for span in spoken):
            raise ValueError(f"row {row} has a span that is empty or lies outside its document; expected 0 <= start < end <= length")
        by, known = read.setdefault(document, ({}, length))
        if rater in by:
            raise ValueError(f"row {row} is a second reading of one document by one rater; expected one: keep the one that stands")
        if lengths is not None and length != known:
            raise ValueError(f"row {row} gives its document a second length; expected one")
        by[rater] = spoken
        read[document] = (by, max(known, length))
    return read
