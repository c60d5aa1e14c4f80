"""Rows of the method `lamarckian`: the versions that a reviewer made of one answer, worst first, and what each step gained."""

from collections.abc import Iterator
from math import fsum
from typing import Any

from trueloop.datasets.chat import chat_messages
from trueloop.datasets.pairs_dataset import PairsDataset
from trueloop.datasets.versions_of_text import find_stages

_DIGITS = 6


def chain_rows(dataset: PairsDataset) -> Iterator[dict[str, Any]]:
    """Yield prompt, versions (texts, worst first, two at least), gains (of each step, > 0, together 1), weight (>= 0, of all the chain's pairs together),
    slices and task_id.

    A step's gain is its share of the severity of all edits, as the margin of its pair says; where a step has no pair of its own, because it was
    dropped, it gets the mean of the others. A rewrite is a chain of one step.
    """
    for stages in find_stages(dataset.pairs):
        first = stages.pair
        own = [
            pair
            for pair in dataset.pairs
            if pair.task_id == first.task_id and sorted(pair.label_ids) == sorted(first.label_ids) and {pair.chosen, pair.rejected} <= set(stages.texts)
        ]
        margins = {(pair.rejected, pair.chosen): pair.margin for pair in own}
        steps = [margins.get(step) for step in zip(stages.texts, stages.texts[1:], strict=False)]
        yield {
            "prompt": chat_messages(first.messages),
            "versions": list(stages.texts),
            "gains": _shares(steps),
            "weight": round(fsum(dataset.weights[pair.pair_id] for pair in own), _DIGITS),
            "slices": dict(sorted(first.slices.items())),
            "task_id": first.task_id,
        }


def _shares(margins: list[float | None]) -> list[float]:
    """Return margins as shares of their sum.

    >>> _shares([0.5, None, 0.1])
    [0.555556, 0.333333, 0.111111]
    >>> _shares([None, 0.0])
    [0.5, 0.5]
    """
    known = [margin for margin in margins if margin]
    mean = fsum(known) / len(known) if known else 1.0
    filled = [margin or mean for margin in margins]
    total = fsum(filled)
    return [round(margin / total, _DIGITS) for margin in filled]
