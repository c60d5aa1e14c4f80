"""What trainers read of a pairs dataset: one function per kind of training, each yielding rows in the columns that TRL names.

Rows come in order of pair id, so that equal datasets give equal files. Conversations are lists of {"role", "content"}.
"""

from collections import defaultdict
from collections.abc import Iterator
from math import fsum
from typing import Any

from trueloop.datasets.chat import ChatMessage, chat_messages
from trueloop.datasets.pairs_dataset import PairsDataset
from trueloop.datasets.versions_of_text import Stages, find_stages, steps_of
from trueloop.events import PairSource, PreferencePair

_DIGITS = 6
_WRITTEN = frozenset({PairSource.REWRITE, PairSource.SPAN, PairSource.APPEAL})
"""Sources whose chosen text a reviewer wrote."""


def preference_rows(dataset: PairsDataset) -> Iterator[dict[str, Any]]:
    """Yield a row per pair: prompt, chosen, rejected; a pair of equal texts teaches nothing and has no row.

    Beside them weight (>= 0, 1 is a full pair), margin ([0, 1]), p_correct ([0, 1]; null when nobody compared the two), source, slices (name to
    value), outcomes (dimension to 1 when the chosen one is better on it, -1 when the rejected one is, 0 for a tie) and pair_id.
    """
    for pair in dataset.pairs:
        if pair.chosen != pair.rejected:
            yield {
                "prompt": chat_messages(pair.messages),
                "chosen": answer(pair.chosen),
                "rejected": answer(pair.rejected),
                "weight": dataset.weights[pair.pair_id],
                "margin": pair.margin,
                "p_correct": pair.p_correct,
                "source": pair.source.value,
                "slices": dict(sorted(pair.slices.items())),
                "outcomes": {outcome.dimension: outcome.outcome for outcome in pair.outcomes},
                "pair_id": pair.pair_id,
            }


def demonstration_rows(dataset: PairsDataset) -> Iterator[dict[str, Any]]:
    """Yield prompt, completion and slices (name to value) for supervised training, each completion of a prompt once; a blank one has no row.

    A prompt that a reviewer rewrote is taught by its rewrites alone: a chosen completion was only the better of two. An answer whose spans were edited
    counts as rewritten once every edit is made; the versions on the way there still have errors.
    """
    rewritten = {pair.prompt_hash for pair in dataset.pairs if _is_rewrite(pair)}
    given: set[tuple[str, str]] = set()
    for pair in dataset.pairs:
        if not _is_rewrite(pair) and (pair.prompt_hash in rewritten or pair.source in _WRITTEN):
            continue
        if pair.chosen.strip() and (pair.prompt_hash, pair.chosen) not in given:
            given.add((pair.prompt_hash, pair.chosen))
            yield {"prompt": chat_messages(pair.messages), "completion": answer(pair.chosen), "slices": dict(sorted(pair.slices.items()))}


def _is_rewrite(pair: PreferencePair) -> bool:
    return pair.source is PairSource.REWRITE or (pair.source in _WRITTEN and pair.margin >= 1.0)


def unpaired_rows(dataset: PairsDataset) -> Iterator[dict[str, Any]]:
    """Yield prompt, completion, label (whether it is a good one), weight (> 0, 1 is a full vote) and slices, each completion of a prompt once.

    A completion that is in several pairs is good when the weight of the pairs that it won exceeds the weight of those that it lost, bad when it is
    less, and has no row when they are equal. Its weight is that difference over the number of its pairs.
    """
    votes: dict[tuple[str, str], list[float]] = defaultdict(list)
    first: dict[tuple[str, str], PreferencePair] = {}
    for pair in dataset.pairs:
        if pair.chosen != pair.rejected:
            for text, sign in ((pair.chosen, 1.0), (pair.rejected, -1.0)):
                votes[pair.prompt_hash, text].append(sign * dataset.weights[pair.pair_id])
                first.setdefault((pair.prompt_hash, text), pair)
    for key, cast in votes.items():
        net = round(fsum(cast) / len(cast), _DIGITS)
        if net and key[1].strip():
            pair = first[key]
            told = {"prompt": chat_messages(pair.messages), "completion": answer(key[1]), "label": net > 0, "weight": abs(net)}
            yield told | {"slices": dict(sorted(pair.slices.items()))}


def prompt_rows(dataset: PairsDataset) -> Iterator[dict[str, Any]]:
    """Yield prompt and prompt_id (the hash of the prompt), each prompt once: what a model that learns from its own answers is asked."""
    given: set[str] = set()
    for pair in dataset.pairs:
        if pair.prompt_hash not in given:
            given.add(pair.prompt_hash)
            yield {"prompt": chat_messages(pair.messages), "prompt_id": pair.prompt_hash}


def stepwise_rows(dataset: PairsDataset) -> Iterator[dict[str, Any]]:
    """Yield prompt, completions (the steps of one text, in order) and labels (whether reviewers let the step stand), with the task's id.

    They come from texts that a reviewer improved (`trueloop.datasets.versions_of_text`): each version of a text but the best is a row of its own, and a
    step of it is good when the best version has it too. The best version is a row in which every step is good.
    """
    for stages in find_stages(dataset.pairs):
        yield from _stages_rows(stages)


def _stages_rows(stages: Stages) -> Iterator[dict[str, Any]]:
    pair: PreferencePair = stages.pair
    for text in stages.texts:
        marked = steps_of(text, stages.texts[-1])
        if marked:
            yield {
                "prompt": chat_messages(pair.messages),
                "completions": [step for step, _ in marked],
                "labels": [stood for _, stood in marked],
                "task_id": pair.task_id,
            }


def answer(text: str) -> list[ChatMessage]:
    """Return a completion as chat templates take it.

    >>> answer("Yes.")
    [{'role': 'assistant', 'content': 'Yes.'}]
    """
    return [{"role": "assistant", "content": text}]
