"""What follows from what is known of a reviewer: the policy's rules, and nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trueloop.estimates.estimate import Estimate
from trueloop.events.reviewer_quality import ReviewerReason, ReviewerStatus
from trueloop.reviewers.onboarding import Admission, OnboardingResult
from trueloop.reviewers.reliability import Reliability
from trueloop.rubrics.policy import Reviewers


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a reviewer.

    Attributes:
        gold: Accuracy on gold items.
        reliability: Posterior per dimension.
        onboarding: Result of the onboarding set; None where the policy has none.
        too_fast: Whether they work too fast to read.
        prefers_place: Whether they prefer what is shown first, or last.
        drifted: Whether they err more than they used to.
        same_errors: Reviewers who make the same errors.
    """

    gold: Estimate
    reliability: Mapping[str, Reliability]
    onboarding: OnboardingResult | None = None
    too_fast: bool = False
    prefers_place: bool = False
    drifted: bool = False
    same_errors: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Consequence:
    """What a reviewer may do.

    Attributes:
        status: ONBOARDING, ACTIVE, WATCH or QUARANTINED.
        weight: Exponent of their votes, [0, 1]: 0 in onboarding and quarantine, the policy's `watch_weight` under watch, else 1.
        routes: Dimensions that they are to be asked about first, in alphabetical order.
        reasons: Why the status is not ACTIVE, or is to be looked at; in the order of the enum.
    """

    status: ReviewerStatus
    weight: float
    routes: tuple[str, ...] = ()
    reasons: tuple[ReviewerReason, ...] = ()


def consequence(evidence: Evidence, policy: Reviewers) -> Consequence:
    """Return what follows for a reviewer.

    * ONBOARDING until the onboarding set is passed; who failed it stays there.
    * QUARANTINED only when the upper bound of the gold accuracy is below `quarantine_below`, over `min_gold` items or more: never for want of
      evidence, and never by the opinion of other reviewers, who may be the ones who are wrong.
    * WATCH when the gold accuracy over as many is below `watch_below`, or for speed, preference of a place, drift or shared errors: a person looks.
    * ACTIVE otherwise. Routed to the dimensions on which the lower bound of the reliability is at least `route_above`.

    >>> from trueloop.reviewers.gold_accuracy import gold_accuracy_of
    >>> from trueloop.rubrics.policy import Reviewers
    >>> [consequence(Evidence(gold_accuracy_of(right, 20), {}), Reviewers()).status.value for right in (6, 12, 19)]
    ['QUARANTINED', 'WATCH', 'ACTIVE']
    """
    reasons = tuple(_reasons(evidence, policy))
    if evidence.onboarding is not None and evidence.onboarding.admission is not Admission.PASSED:
        status, weight = ReviewerStatus.ONBOARDING, 0.0
    elif ReviewerReason.GOLD_BELOW_QUARANTINE in reasons:
        status, weight = ReviewerStatus.QUARANTINED, 0.0
    elif reasons:
        status, weight = ReviewerStatus.WATCH, policy.watch_weight
    else:
        status, weight = ReviewerStatus.ACTIVE, 1.0
    trusted = status in (ReviewerStatus.ACTIVE, ReviewerStatus.WATCH)
    routes = sorted(name for name, found in evidence.reliability.items() if trusted and found.ci_low >= policy.route_above)
    return Consequence(status, weight, tuple(routes), reasons)


def _reasons(evidence: Evidence, policy: Reviewers) -> list[ReviewerReason]:
    gold, admission = evidence.gold, evidence.onboarding.admission if evidence.onboarding is not None else Admission.PASSED
    known = gold.n >= policy.min_gold
    below_quarantine = known and gold.ci_high is not None and gold.ci_high < policy.quarantine_below
    holds = {
        ReviewerReason.ONBOARDING_PENDING: admission is Admission.PENDING,
        ReviewerReason.ONBOARDING_FAILED: admission is Admission.FAILED,
        ReviewerReason.GOLD_BELOW_QUARANTINE: below_quarantine,
        ReviewerReason.GOLD_BELOW_WATCH: known and not below_quarantine and gold.value is not None and gold.value < policy.watch_below,
        ReviewerReason.TOO_FAST: evidence.too_fast,
        ReviewerReason.PREFERS_PLACE: evidence.prefers_place,
        ReviewerReason.DRIFTED: evidence.drifted,
        ReviewerReason.SHARED_ERRORS: bool(evidence.same_errors),
    }
    return [reason for reason, true in holds.items() if true]


def needs_adjudication(probability: float | None, policy: Reviewers) -> bool:
    """Return whether a person of more authority has to decide: nobody who counts has spoken, or the likeliest truth is too unlikely.

    Args:
        probability: Of the likeliest truth of an item (`item_truth`), or of the order of a pair (`p_correct`), [0, 1] or None.
        policy: The rule.

    >>> from trueloop.rubrics.policy import Reviewers
    >>> needs_adjudication(None, Reviewers()), needs_adjudication(0.99, Reviewers()), needs_adjudication(0.5, Reviewers())
    (True, False, True)
    """
    return probability is None or probability < policy.adjudicate_below
