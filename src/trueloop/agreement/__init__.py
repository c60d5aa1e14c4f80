"""Inter-rater agreement: counts that add over units, and the coefficients that are estimated from them. Pure: numbers in, numbers out."""

from trueloop.agreement.cohen import cohen_kappa
from trueloop.agreement.estimate import Estimate
from trueloop.agreement.evidence import Evidence, evidence_of
from trueloop.agreement.fleiss import fleiss_kappa
from trueloop.agreement.gwet import gwet_ac1, gwet_ac2
from trueloop.agreement.krippendorff import krippendorff_alpha
from trueloop.agreement.moments import Moments
from trueloop.agreement.observed import observed_agreement
from trueloop.agreement.position import PositionBias, position_bias
from trueloop.agreement.preference import PreferenceAgreement, preference_agreement
from trueloop.agreement.replicates import Level, Replicates
from trueloop.agreement.span_alpha import span_alpha
from trueloop.agreement.span_f1 import span_f1
from trueloop.agreement.weights import Weights

__all__ = [
    "Estimate", "Evidence", "Level", "Moments", "PositionBias", "PreferenceAgreement", "Replicates", "Weights", "cohen_kappa", "evidence_of",
    "fleiss_kappa", "gwet_ac1", "gwet_ac2", "krippendorff_alpha", "observed_agreement", "position_bias", "preference_agreement", "span_alpha",
    "span_f1",
]  # fmt: skip
