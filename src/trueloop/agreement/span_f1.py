"""The F1 score between readers of marked spans."""

from collections.abc import Sequence
from itertools import combinations
from math import fsum
from typing import Any, Literal, get_args

from trueloop.agreement.estimate import Estimate
from trueloop.agreement.evidence import Evidence
from trueloop.agreement.interval import with_interval
from trueloop.agreement.moments import Feature
from trueloop.agreement.span_marks import MARKED, UNMARKED, marked_members, readings
from trueloop.estimates.frame import Column
from trueloop.events.agreement import Undefined

Match = Literal["exact", "character"]


def span_f1(
    documents: Column | Evidence,
    raters: Column | None = None,
    spans: Column | None = None,
    *,
    data: Any = None,
    match: Match = "character",
    confidence: float = 0.95,
) -> Estimate:
    """Return the F1 score of one reader's spans against another's, in [0, 1], over all pairs of readers of all documents.

    F1 = 2 |A and B| / (|A| + |B|), summed over pairs before dividing; it does not depend on which reader is taken for the truth, nor on how
    much text is left unmarked. It is the limit of kappa for rare spans. With match 'character' A is the set of characters that a reader
    marked, with 'exact' the set of spans. The interval is clustered by document. Undefined without a document of two readers, and when
    nobody marked anything. `n_units` counts documents; for `Evidence`, which has characters for units, these.

    Args:
        documents: The document of each reading, one row per reading; or `Evidence` with moments, as `marked_members` counts it.
        raters: Who read it.
        spans: What they marked: (start, end) pairs, or longer tuples when the spans are named; an empty list when they found nothing.
        data: A data frame, when columns are given by their names.
        match: What has to be the same: 'character' or 'exact'.
        confidence: Of the interval, two-sided, (0, 1).

    Raises:
        ValueError: The columns do not fit, a rater read a document twice, or `match` is unknown.

    Reference: Hripcsak, G., Rothschild, A. S. (2005). Agreement, the F-measure, and reliability in information retrieval. Journal of the
    American Medical Informatics Association 12, 296-298.

    >>> span_f1(["d", "d"], ["x", "y"], [[(0, 4)], [(2, 4), (9, 11)]]).value, span_f1(["d", "d"], ["x", "y"], [[(0, 4)], [(0, 4)]], match="exact").value
    (0.5, 1.0)
    """
    if match not in get_args(Match):
        raise ValueError(f"match is {match!r}; expected 'exact' or 'character'")
    if isinstance(documents, Evidence):
        return _character_f1(documents, confidence)
    if raters is None or spans is None:
        raise ValueError("raters and spans are not both given; give one row per reading of a document")
    read = readings(documents, raters, spans, None, data)
    common: list[tuple[int, int]] = []
    for by, length in read.values():
        if len(by) > 1:
            common.append(_exact_overlap(list(by.values())) if match == "exact" else _character_overlap(list(by.values()), length))
    return _f1(common, sum(len(by) for by, _ in read.values() if len(by) > 1), confidence)


def _exact_overlap(spans_by_rater: Sequence[Sequence[Any]]) -> tuple[int, int]:
    """Return 2 |A and B| and |A| + |B|, summed over pairs of readers."""
    sets = [set(spans) for spans in spans_by_rater]
    return sum(2 * len(one & other) for one, other in combinations(sets, 2)), sum(len(one) + len(other) for one, other in combinations(sets, 2))


def _character_overlap(spans_by_rater: Sequence[Sequence[Any]], length: int) -> tuple[int, int]:
    counted = Evidence(moments=None)
    counted.add("", marked_members([[(span[0], span[1]) for span in spans] for spans in spans_by_rater], length))
    pairs, m = counted.coincidences.pairs, len(spans_by_rater)
    both, one = pairs.get((m, MARKED, MARKED), 0), pairs.get((m, UNMARKED, MARKED), 0)
    return 2 * both, 2 * both + one


def _f1(common: Sequence[tuple[int, int]], readings: int, confidence: float) -> Estimate:
    documents = len(common)
    if documents == 0:
        return Estimate(None, 0, 0, Undefined.NO_PAIRABLE_UNITS)
    shared, total = sum(part for part, _ in common), sum(part for _, part in common)
    if total == 0:
        return Estimate(None, documents, readings, Undefined.NO_VARIATION, n_clusters=documents)
    value = shared / total
    squares = fsum(((part - value * size) / total) ** 2 for part, size in common)
    variance = squares * documents / (documents - 1) if documents > 1 else None
    return with_interval(Estimate(value, documents, readings, n_clusters=documents), variance, confidence, least=0.0)


def _character_f1(evidence: Evidence, confidence: float) -> Estimate:
    """Return F1 = 1 - D / Y, D being pairs of readers of which one marked the character and Y the sum over readers of (m - 1) characters."""
    counted = evidence.coincidences
    n_units, n_labels = counted.n_units, counted.n_labels
    if n_units == 0:
        return Estimate(None, 0, 0, Undefined.NO_PAIRABLE_UNITS)
    differing = sum(count for (_, low, high), count in counted.pairs.items() if low != high)
    total = sum((m - 1) * count for (m, value), count in counted.values.items() if value == MARKED)
    if total == 0:
        return Estimate(None, n_units, n_labels, Undefined.NO_VARIATION, n_clusters=evidence.clusters)
    if evidence.moments is None:
        raise ValueError("evidence has no moments, so there is no interval; count it with moments")
    influence: dict[Feature, float] = {}
    for m in counted.units:
        influence[m, "apart", 0] = -1 / total
        influence[m, "value", MARKED] = (m - 1) * differing / (total * total)
    estimate = Estimate((total - differing) / total, n_units, n_labels, n_clusters=evidence.clusters)
    return with_interval(estimate, evidence.moments.variance(influence, evidence.clusters), confidence, least=0.0)
