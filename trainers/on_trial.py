"""What of the answers of candidate and baseline is put before people."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from trueloop.events import CalibrationItem, ItemOnTrial, Trial, derive_id
from trueloop.rubrics import Policy


def items_on_trial(evaluation_id: str, most: int, candidate: Mapping[str, str], baseline: Mapping[str, str]) -> list[ItemOnTrial]:
    """Return the items that both answered, at most `most` of them, in the order in which answers count: that of a hash of evaluation and item.

    What is chosen and in which order depends on ids alone, and not on any answer; so each beginning of the list is a random sample of the items.

    >>> [each.identical for each in items_on_trial("e", 5, {"a": "Yes.", "b": "No."}, {"a": "Yes.", "c": "Well."})]
    [True]
    """
    hashed = sorted((derive_id("trial", evaluation_id, item_id), item_id) for item_id in candidate.keys() & baseline.keys())
    return [ItemOnTrial(trial_id=trial_id, item_id=item_id, identical=candidate[item_id] == baseline[item_id]) for trial_id, item_id in hashed[:most]]


def trials(
    evaluation_id: str, policy: Policy, chosen: Sequence[ItemOnTrial], items: Sequence[CalibrationItem], answers: tuple[Mapping[str, str], Mapping[str, str]]
) -> Iterator[Trial]:
    """Yield a trial for each chosen item whose answers differ.

    Args:
        evaluation_id: The evaluation that asks.
        policy: What governs it.
        chosen: The items that are on trial.
        items: The calibration set.
        answers: The candidate's and the baseline's, by item.
    """
    known = {item.item_id: item for item in items}
    for each in chosen:
        if each.identical:
            continue
        item = known[each.item_id]
        yield Trial(
            event_id=derive_id("trial-event", each.trial_id),
            occurred_at=datetime.now(UTC),
            application=policy.application,
            trial_id=each.trial_id,
            evaluation_id=evaluation_id,
            item_id=item.item_id,
            policy_id=policy.id,
            policy_version=policy.version,
            prompt_hash=item.prompt_hash,
            slices=item.slices,
            messages=item.messages,
            candidate_answer=answers[0][item.item_id],
            baseline_answer=answers[1][item.item_id],
        )
