"""The calibration set: the held-out prompts that candidate and baseline answer."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from trueloop.datasets.chat import chat_messages
from trueloop.datasets.pairs_dataset import is_seen
from trueloop.events import CalibrationItem, derive_id


@dataclass(frozen=True, slots=True)
class CalibrationSet:
    """The items, oldest first; their content hash; the offset after the last record that was looked at; how many came at or after
    `since` (see `build_calibration_set`)."""

    items: tuple[CalibrationItem, ...]
    content_hash: str
    end_offset: int
    n_new: int


def calibration_content_hash(members: Iterable[tuple[str, str]]) -> str:
    """Return the content hash of a set of (item id, event id). The order does not matter.

    >>> calibration_content_hash([("a", "1"), ("b", "2")]) == calibration_content_hash([("b", "2"), ("a", "1")])
    True
    """
    return derive_id("calibration", *(part for member in sorted(members) for part in member))


def build_calibration_set(
    log: Iterable[tuple[int, CalibrationItem]],
    application: str,
    max_items: int,
    *,
    trained_prompts: Collection[str] = (),
    split_by: str = "prompt",
    since: int = 0,
) -> CalibrationSet:
    """Return the calibration set of an application.

    The newest event of an item counts; its place is that of its first record still in the log, so that a set which is cut at
    `max_items` keeps its items as the log grows.

    Args:
        log: (offset, event), ascending.
        application: Whose items.
        max_items: Oldest items that are kept, >= 0.
        trained_prompts: What a candidate may have learned, as `seen_prompts` tells it (an item can be held out after its trace gave a training pair);
            items that are alike to it are left out.
        split_by: What is alike, as the policy says (`sampling.split_by`).
        since: Items first seen at or after this offset count as new.
    """
    first: dict[str, int] = {}
    newest: dict[str, CalibrationItem] = {}
    end_offset = 0
    for offset, item in log:
        end_offset = offset + 1
        if item.application == application:
            first.setdefault(item.item_id, offset)
            newest[item.item_id] = item
    usable = [
        item_id
        for item_id in sorted(first, key=lambda item_id: first[item_id])
        if not is_seen(newest[item_id], trained_prompts, split_by) and chat_messages(newest[item_id].messages) is not None
    ]
    kept = usable[:max_items]
    return CalibrationSet(
        items=tuple(newest[item_id] for item_id in kept),
        content_hash=calibration_content_hash((item_id, newest[item_id].event_id) for item_id in kept),
        end_offset=end_offset,
        n_new=sum(first[item_id] >= since for item_id in kept),
    )
