"""Inter-rater agreement: mergeable counts, and the coefficients that are estimated from them. Pure: numbers in, numbers out."""

from trueloop.agreement.coincidences import Coincidences, merge, tally
from trueloop.agreement.estimate import Estimate
from trueloop.agreement.gwet import ac1
from trueloop.agreement.krippendorff import Level, alpha, krippendorff_alpha
from trueloop.agreement.observed import observed_agreement

__all__ = ["Coincidences", "Estimate", "Level", "ac1", "alpha", "krippendorff_alpha", "merge", "observed_agreement", "tally"]
