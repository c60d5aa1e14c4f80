"""The quality of a reviewer as an event, from everything that is known of them."""

from datetime import datetime
from fractions import Fraction
from typing import Any

from trueloop.agreement.position import PositionBias, position_test
from trueloop.events import DimensionReliability, DriftState, ReviewerQuality
from trueloop.events.identity import derive_id
from trueloop.reviewers.consequences import Consequence, Evidence, consequence
from trueloop.reviewers.drift import reviewer_drift
from trueloop.reviewers.gold_accuracy import gold_accuracy_of
from trueloop.reviewers.onboarding import OnboardingResult, onboarding
from trueloop.reviewers.panel_fit import PanelFit
from trueloop.reviewers.reliability import Reliability, reliability_of
from trueloop.reviewers.speed import speed_of
from trueloop.reviewers.tally import DimensionTally, ReviewerTally
from trueloop.rubrics.policy import Reviewers

SIGNIFICANT = 0.001
"""P-value from which a preference of a place is no chance: everybody is tested again after every label."""
_FINEST = 10_000


def quality_of(
    application: str, reviewer_id: str, tally: ReviewerTally, policy: Reviewers, *, fit: PanelFit, panel_median: float | None, now: datetime
) -> ReviewerQuality:
    """Return what is known of a reviewer, and what follows by the policy.

    The id of the event is a hash of its content but for the moment: the same evidence gives the same event.

    Args:
        application: For which they work.
        reviewer_id: The reviewer.
        tally: Their labels; an empty one for a reviewer whose labels are all gone.
        policy: The rules.
        fit: Dawid and Skene's models under the rubric of the newest label.
        panel_median: Median active time of all reviewers of the application, seconds; None when not measured.
        now: When this is said.
    """
    posteriors = {name: _posterior(found, policy) for (rubric, name), found in sorted(tally.dimensions.items()) if rubric == tally.rubric}
    admission = None if policy.onboarding is None else onboarding([float(share) for _, _, share in tally.onboarding], policy.onboarding)
    speed = speed_of(tally.seconds, panel_median, min_seconds=policy.min_seconds, max_share=policy.max_fast_share)
    positions = position_test(tally.positions)
    drift = reviewer_drift([float(loss) for _, _, loss in tally.losses], policy.drift)
    gold = gold_accuracy_of(float(tally.gold_right), tally.n_gold)
    same_errors = fit.accomplices(reviewer_id)
    follows = consequence(
        Evidence(gold, posteriors, admission, speed.flagged, _prefers_place(positions, policy), drift.state is DriftState.ALARM, same_errors), policy
    )
    content = ReviewerQuality(
        event_id="content",
        occurred_at=now,
        application=application,
        reviewer_id=reviewer_id,
        **_decided(follows, tally, admission),
        gold_correct=float(tally.gold_right),
        gold_low=gold.ci_low,
        gold_high=gold.ci_high,
        median_seconds=speed.median_seconds,
        fast_share=speed.too_fast.value,
        first_share=positions.share_first,
        n_preferences=positions.n_preferences,
        drift_log_e=drift.evidence.log_e,
        same_errors=list(same_errors),
        reliability=[_of_dimension(reviewer_id, name, found, tally, fit) for name, found in posteriors.items()],
    )
    identity = derive_id("reviewer-quality", content.model_dump_json(exclude={"event_id", "occurred_at"}))
    return content.model_copy(update={"event_id": identity})


def _decided(follows: Consequence, tally: ReviewerTally, admission: OnboardingResult | None) -> dict[str, Any]:
    return {
        "status": follows.status,
        "reasons": list(follows.reasons),
        "weight": follows.weight,
        "routes": list(follows.routes),
        "rubric_id": tally.rubric[0] if tally.rubric else None,
        "rubric_version": tally.rubric[1] if tally.rubric else None,
        "n_labels": tally.n_labels,
        "n_gold": tally.n_gold,
        "onboarding_left": None if admission is None else admission.left,
    }


def _posterior(tally: DimensionTally, policy: Reviewers) -> Reliability:
    """Gold items count fully, agreement with the others on a task by its weight: they may be the ones who are wrong."""
    weight = Fraction(policy.consensus_weight).limit_denominator(_FINEST)
    return reliability_of(tally.gold + tally.others.scaled(weight), policy.half_life_days)


def _prefers_place(positions: PositionBias, policy: Reviewers) -> bool:
    if positions.p_value is None or positions.share_first is None or positions.expected is None:
        return False
    return positions.p_value < SIGNIFICANT and abs(positions.share_first - positions.expected) > policy.position_margin


def _of_dimension(reviewer_id: str, name: str, found: Reliability, tally: ReviewerTally, fit: PanelFit) -> DimensionReliability:
    model = fit.models.get(name)
    own = tally.dimensions[tally.rubric, name] if tally.rubric else DimensionTally()
    accuracy = None if model is None else model.accuracy(reviewer_id)
    return DimensionReliability(
        dimension=name,
        alpha=found.alpha,
        beta=found.beta,
        ci_low=found.ci_low,
        ci_high=found.ci_high,
        n_judgements=found.n,
        n_gold=own.n_gold,
        gold_correct=float(own.gold_right),
        em_accuracy=None if accuracy is None else min(accuracy, 1.0),
        em_labels=0 if model is None else model.n_labels.get(reviewer_id, 0),
    )
