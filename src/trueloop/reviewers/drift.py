"""Whether a reviewer errs more than they used to."""

from collections.abc import Sequence

from trueloop.drift import Detector, update_batch
from trueloop.drift.detector import Contract


def reviewer_drift(losses: Sequence[float], contract: Contract) -> Detector:
    """Return the drift detector of a reviewer after all their judgements: `state` is ALARM while they err more than in their reference.

    The reference is the reviewer's own first judgements, so this finds who became worse (tired, careless, sold the account), and not who always
    was bad: that is for gold items. The false-alarm contract is that of `trueloop.drift.Detector`, per judgement of this reviewer.

    Args:
        losses: 1 less the share that is right of each judgement, in the order of time, [0, 1].
        contract: Size of the reference, average run length and tolerance: the policy's `reviewers.drift`.

    Raises:
        ValueError: A loss is not in [0, 1].

    >>> from trueloop.rubrics.policy import ReviewerDrift
    >>> reviewer_drift([0.0] * 150 + [1.0] * 20, ReviewerDrift(reference_size=100)).state
    <DriftState.ALARM: 'ALARM'>
    """
    return update_batch(Detector(), losses, None, contract)[0]
