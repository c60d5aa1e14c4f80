"""What reviewers say of a trial: which of its two answers is better, once it is known which is whose."""

from collections.abc import Mapping, Sequence

from trueloop.events import ItemTruth, Label, ReviewTask, TrialVerdict
from trueloop.pairs.comparison import majority, net_wins
from trueloop.rubrics import OVERALL, Rubric
from trueloop.sampling.blinding import candidate_id

CANDIDATE, BASELINE = 0, 1
"""Places of the two answers before they were shuffled."""


def unblinded(task: ReviewTask, blinding_key: str) -> dict[str, int] | None:
    """Return the side of each answer, 1 for the candidate's and -1 for the baseline's; None when the task was blinded with another key.

    Ids that do not fit are not guessed at: a comparison of which nobody knows whose side won would count as half a win.
    """
    sides = {candidate_id(blinding_key, task.task_id, CANDIDATE): 1, candidate_id(blinding_key, task.task_id, BASELINE): -1}
    return sides if sides.keys() == {candidate.candidate_id for candidate in task.candidates} else None


def vote(label: Label, sides: Mapping[str, int], dimension: str, rubric: Rubric) -> int | None:
    """Return whose answer a label finds better, 1, -1 or 0 for neither; None when it does not say.

    On a dimension its preference counts, or else its two ratings. Over all its preference counts, or else the net wins of the dimensions.

    Args:
        label: What a reviewer said.
        sides: As `unblinded` gives them.
        dimension: A dimension of the rubric, or 'overall'.
        rubric: The rubric.
    """
    preferred = {preference.dimension or OVERALL: 0 if preference.preferred is None else sides.get(preference.preferred, 0) for preference in label.preferences}
    if dimension in preferred:
        return preferred[dimension]
    values: dict[str, dict[int, int]] = {}
    for rating in label.ratings:
        if rating.candidate_id in sides:
            values.setdefault(rating.dimension, {})[sides[rating.candidate_id]] = rating.value
    rated = {name: (found[1] > found[-1]) - (found[1] < found[-1]) for name, found in values.items() if len(found) == len(sides)}
    by_dimension = {**rated, **preferred}
    if dimension != OVERALL:
        return by_dimension.get(dimension)
    return net_wins(by_dimension, rubric).direction if by_dimension else None


def trial_verdict(task: ReviewTask, labels: Sequence[Label], truth: ItemTruth | None, votes: Mapping[str, int | None], *, has_senior: bool) -> TrialVerdict:
    """Return what is said of a trial.

    It waits for its labels, and until it was told of just these labels what their reviewers weigh: who is in onboarding or quarantine decides no release.
    The side with more than half of the weight wins. When there is none, a senior is asked if the policy names any; else it is a tie, or
    still open when nobody who counts has spoken. What a senior says ends it; who was among the reviewers of the trial is none, and weighs nothing.

    Args:
        task: The task.
        labels: Its labels that count.
        truth: What was told of it last.
        votes: What each of the labels says, by its id.
        has_senior: Whether the policy names a pool of seniors.
    """
    weights = {} if truth is None else {voice.label_id: voice.weight for voice in truth.labels}
    if len(labels) < task.labels_needed or weights.keys() != {label.event_id for label in labels}:
        return TrialVerdict.OPEN
    heard = [(cast, weights[label.event_id]) for label in labels if (cast := votes[label.event_id]) is not None and weights[label.event_id] > 0]
    winner = majority([side for side, _ in heard], [weight for _, weight in heard])
    if winner:
        return TrialVerdict.CANDIDATE if winner > 0 else TrialVerdict.BASELINE
    if has_senior and task.trial is not None and not task.trial.senior:
        return TrialVerdict.SPLIT
    return TrialVerdict.TIE if heard else TrialVerdict.OPEN
