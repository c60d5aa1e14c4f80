"""Observed agreement."""

from typing import Any

from trueloop.agreement.corrected import corrected
from trueloop.agreement.estimate import Estimate
from trueloop.agreement.evidence import Evidence, evidence_of
from trueloop.agreement.ratings import ratings_of
from trueloop.estimates.frame import Column


def observed_agreement(
    units: Any, raters: Column | None = None, values: Column | None = None, *, data: Any = None, clusters: Column | None = None, confidence: float = 0.95
) -> Estimate:
    """Return p_o in [0, 1]: the mean, over units with two raters or more, of the share of their pairs of raters that agree.

    Each unit counts once, however many raters it had. Undefined without such a unit. Says nothing of agreement by chance: report it beside
    a coefficient that does.

    Args:
        units: What was rated, one row per rating; or a data frame with the columns 'unit', 'rater' and 'value'; or `Evidence`.
        raters: Who rated it.
        values: The ratings; any values that can be equal. None and NaN are missing ratings.
        data: A data frame, when columns are given by their names.
        clusters: Units of one cluster were not sampled independently; the interval allows for it. Without, each unit is a cluster.
        confidence: Of the interval, two-sided, (0, 1).

    Raises:
        ValueError: The columns do not fit; see `ratings_of`.

    Reference: Fleiss, J. L. (1971). Measuring nominal scale agreement among many raters. Psychological Bulletin 76, 378-382.

    >>> observed_agreement(["a", "a", "b", "b"], ["x", "y", "x", "y"], ["yes", "yes", "yes", "no"]).value
    0.5
    """
    if not isinstance(units, Evidence):
        ratings = ratings_of(units, raters, values, data=data, clusters=clusters, encoding="names")
        units = evidence_of(ratings.clusters(), Evidence())
    return corrected(units, None, confidence=confidence, least=0.0)
