"""Whether a new reviewer may do production work."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from trueloop.estimates.estimate import Estimate
from trueloop.reviewers.gold_accuracy import gold_accuracy
from trueloop.rubrics.policy import Onboarding


class Admission(StrEnum):
    """What the onboarding set says."""

    PENDING = "PENDING"
    PASSED = "PASSED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class OnboardingResult:
    """Outcome of a reviewer's onboarding set. `left` is how many items they still have to answer."""

    admission: Admission
    accuracy: Estimate
    left: int


def onboarding(right: Sequence[float], policy: Onboarding) -> OnboardingResult:
    """Return whether a reviewer has passed: at least `policy.pass_at` of their first `policy.items` onboarding items are right.

    The number of items is fixed and only the first answers count, so that nobody passes by trying until luck comes. With 30 items and a
    threshold of 0.8 a reviewer who is right 9 times of 10 passes with probability 0.97, one who is right 6 times of 10 with 0.02.

    Args:
        right: Share that is right of each onboarding item, in the order of the answers, [0, 1].
        policy: The rule.

    >>> from trueloop.rubrics.policy import Onboarding
    >>> onboarding([1.0] * 24 + [0.0] * 6, Onboarding(items=30, pass_at=0.8)).admission
    <Admission.PASSED: 'PASSED'>
    """
    counted = list(right[: policy.items])
    accuracy = gold_accuracy(counted)
    left = policy.items - len(counted)
    if left or accuracy.value is None:
        return OnboardingResult(Admission.PENDING, accuracy, left)
    # Shares such as 0.8 of 30 are not exact: a sum of thirds that is short by a rounding is not short.
    passed = accuracy.value >= policy.pass_at - 1e-9
    return OnboardingResult(Admission.PASSED if passed else Admission.FAILED, accuracy, 0)
