"""Whether a reviewer's next task is one whose answer is known, and which."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from trueloop.reviewers.gold_items import gold_is_due, next_gold_item
from trueloop.reviewers.onboarding import Admission
from trueloop.rubrics.policy import Reviewers


class Assignment(StrEnum):
    """Why a gold item is next, or none is."""

    ONBOARDING = "ONBOARDING"
    """The reviewer is new: an item of the onboarding set is next."""
    DUE = "DUE"
    """An item is next, as for a share of everybody's tasks."""
    NOT_DUE = "NOT_DUE"
    """An ordinary task is next."""
    NONE_LEFT = "NONE_LEFT"
    """An item would be next, but the reviewer has seen all that are not worn: add some."""
    NOT_ADMITTED = "NOT_ADMITTED"
    """The reviewer failed the onboarding set: no task is next."""


@dataclass(frozen=True, slots=True)
class KnownItem:
    """A gold item: whether it belongs to the onboarding set, how often it was answered, and whether it is to be used at all."""

    onboarding: bool = False
    exposures: int = 0
    retired: bool = False


def assign_gold(
    reviewer_id: str, admission: Admission, items: Mapping[str, KnownItem], policy: Reviewers, *, given: int, seen: Collection[str], salt: str
) -> tuple[Assignment, str | None]:
    """Return whether a gold item is next for a reviewer, and its task id.

    Who is in onboarding sees nothing but the onboarding set; who has passed meets the other items at a share `policy.gold_share` of their tasks, the
    least exposed first. The answer depends on what is passed only: asking twice gives the same.

    Args:
        reviewer_id: The reviewer.
        admission: What the onboarding set says of them; PASSED where the policy has none.
        items: The known answers, by task id.
        policy: The rules.
        given: Tasks that they have answered.
        seen: Items that they have answered.
        salt: Keep it secret: whoever knows it knows where the gold is.

    >>> items = {"o": KnownItem(onboarding=True), "a": KnownItem(exposures=3), "b": KnownItem(exposures=1)}
    >>> assign_gold("ada", Admission.PENDING, items, Reviewers(), given=0, seen=(), salt="s")
    (<Assignment.ONBOARDING: 'ONBOARDING'>, 'o')
    >>> assign_gold("ada", Admission.PASSED, items, Reviewers(gold_share=1), given=7, seen=("o",), salt="s")
    (<Assignment.DUE: 'DUE'>, 'b')
    """
    if admission is Admission.FAILED:
        return Assignment.NOT_ADMITTED, None
    new = admission is Admission.PENDING
    if not new and not gold_is_due(reviewer_id, given, policy, salt=salt):
        return Assignment.NOT_DUE, None
    usable = {task_id: item.exposures for task_id, item in items.items() if item.onboarding is new and not item.retired}
    found = next_gold_item(usable, seen, reviewer_id, policy, salt=salt)
    if found is None:
        return Assignment.NONE_LEFT, None
    return (Assignment.ONBOARDING if new else Assignment.DUE), found
