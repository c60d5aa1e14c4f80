"""Krippendorff's alpha of marked spans."""

from collections.abc import Mapping, Sequence
from typing import Any

from trueloop.agreement.estimate import Estimate
from trueloop.agreement.evidence import Evidence, evidence_of
from trueloop.agreement.krippendorff import krippendorff_alpha
from trueloop.agreement.replicates import Replicates
from trueloop.agreement.span_marks import Span, marked_members, readings
from trueloop.estimates.frame import Column


def span_alpha(
    documents: Column | Evidence,
    raters: Column | None = None,
    spans: Column | None = None,
    lengths: Column | None = None,
    *,
    data: Any = None,
    tokens: Mapping[Any, Sequence[Span]] | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """Return Krippendorff's nominal alpha of marked against unmarked characters; the interval is clustered by document.

    Every character is a unit that each reader of the document has marked or not, so `n_units` counts characters. They are far from
    independent, so documents are what the bootstrap draws, and `n_clusters` counts them. Undefined when nothing, or everything, was marked.

    Args:
        documents: The document of each reading, one row per reading; or `Evidence` with nominal replicates.
        raters: Who read it.
        spans: What they marked: (start, end) pairs, in characters; an empty list when they found nothing.
        lengths: Length of the document, characters.
        data: A data frame, when columns are given by their names.
        tokens: Document -> (start, end) of its tokens: takes tokens for units instead of characters.
        confidence: Of the interval, two-sided, (0, 1).

    Raises:
        ValueError: The columns do not fit, a span lies outside its document, a rater read a document twice, or a document has two lengths.

    Reference: Krippendorff, K. (2004). Measuring the reliability of qualitative text analysis data. Quality & Quantity 38, 787-800, treats
    unitising; here the units are given, which is his alpha for coding.

    >>> span_alpha(["d", "d"], ["x", "y"], [[(0, 2)], [(0, 2)]], [10, 10]).value
    1.0
    """
    if not isinstance(documents, Evidence):
        if raters is None or spans is None or lengths is None:
            raise ValueError("raters, spans and lengths are not all given; give one row per reading of a document")
        read = readings(documents, raters, spans, lengths, data)
        clusters = ((str(name), marked_members(list(by.values()), length, None if tokens is None else tokens[name])) for name, (by, length) in read.items())
        documents = evidence_of(clusters, Evidence(moments=None, replicates=Replicates("nominal")))
    return krippendorff_alpha(documents, confidence=confidence)
