"""Fleiss' kappa."""

from math import inf
from typing import Any

from trueloop.agreement.corrected import Chance, corrected
from trueloop.agreement.estimate import Estimate
from trueloop.agreement.evidence import Evidence, evidence_of
from trueloop.agreement.ratings import ratings_of
from trueloop.estimates.frame import Column


def fleiss_kappa(
    units: Any, raters: Column | None = None, values: Column | None = None, *, data: Any = None, clusters: Column | None = None, confidence: float = 0.95
) -> Estimate:
    """Return Fleiss' kappa, at most 1: agreement beyond chance for any number of raters on a nominal scale, p_e = sum pi_k^2.

    pi_k is the mean share of raters that gave value k to a unit. With as many raters on every unit it is Fleiss' own; else Gwet's
    generalisation to missing ratings. For the tables that people expect: when one value prevails, kappa is low although raters agree (see
    `gwet_ac1`), and it lacks the small-sample correction of `krippendorff_alpha`. Undefined without a unit of two raters, and when all
    ratings are equal. Arguments as in `observed_agreement`.

    References: Fleiss, J. L. (1971). Measuring nominal scale agreement among many raters. Psychological Bulletin 76, 378-382. Gwet, K. L.
    (2014). Handbook of Inter-Rater Reliability, 4th edition, chapter 2.

    >>> fleiss_kappa(["a", "a", "b", "b"], ["x", "y", "x", "y"], ["yes", "yes", "yes", "no"]).value
    -0.3333333333333333
    """
    if not isinstance(units, Evidence):
        ratings = ratings_of(units, raters, values, data=data, clusters=clusters, encoding="names")
        units = evidence_of(ratings.clusters(), Evidence())
    return corrected(units, lambda squares: Chance(squares, -1.0), confidence=confidence, least=-inf)
