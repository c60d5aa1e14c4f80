"""The training set: which preference pairs of a range of the log count, and what trainers read of them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from trueloop.datasets.chat import chat_messages
from trueloop.datasets.pair_log import EMPTY, extend, in_dataset
from trueloop.events import PairSource, PreferencePair, Split


@dataclass(frozen=True, slots=True)
class PairSelection:
    """Which pairs count: the newest event of a pair decides, and it must belong to application, rubric version and split, not be
    withdrawn, and for training be allowed by consent."""

    application: str
    rubric_id: str
    rubric_version: int
    split: Split = Split.TRAIN

    def admits(self, pair: PreferencePair) -> bool:
        """Return whether this event of a pair counts."""
        return (
            not pair.withdrawn
            and pair.application == self.application
            and pair.rubric_id == self.rubric_id
            and pair.rubric_version == self.rubric_version
            and pair.split is self.split
            and (pair.trainable or self.split is not Split.TRAIN)
            and chat_messages(pair.messages) is not None
        )


@dataclass(frozen=True, slots=True)
class PairsDataset:
    """The pairs that count, in order of pair id, and the content hash of the range that they were taken from (`trueloop.datasets.pair_log`)."""

    pairs: tuple[PreferencePair, ...]
    content_hash: str


def build_pairs_dataset(log: Iterable[PreferencePair], selection: PairSelection) -> PairsDataset:
    """Return the dataset that a range of the log holds. `log` is in order of offset: the last event of a pair is its newest."""
    newest: dict[str, PreferencePair] = {}
    chain = EMPTY
    for pair in log:
        newest[pair.pair_id] = pair
        if in_dataset(pair, selection.application, selection.rubric_id, selection.rubric_version):
            chain = extend(chain, pair.event_id)
    return PairsDataset(tuple(newest[pair_id] for pair_id in sorted(newest) if selection.admits(newest[pair_id])), chain)


def seen_prompts(log: Iterable[PreferencePair]) -> frozenset[str]:
    """Return the prompt hashes of every pair that was ever offered for training, withdrawn or not: an earlier model may have learned them."""
    return frozenset(pair.prompt_hash for pair in log if pair.split is Split.TRAIN)


def preference_rows(dataset: PairsDataset) -> Iterator[dict[str, Any]]:
    """Yield a row per pair, in the conversational columns of TRL: prompt, chosen, rejected; beside them the weight (>= 0, 1 is a full
    pair) and the margin ([0, 1]). A pair of equal texts teaches nothing and has no row."""
    for pair in dataset.pairs:
        if pair.chosen != pair.rejected:
            yield {
                "prompt": chat_messages(pair.messages),
                "chosen": [{"role": "assistant", "content": pair.chosen}],
                "rejected": [{"role": "assistant", "content": pair.rejected}],
                "weight": pair.weight,
                "margin": pair.margin,
            }


def demonstration_rows(dataset: PairsDataset) -> Iterator[dict[str, Any]]:
    """Yield prompt and completion for supervised training, each once; a blank completion has no row.

    A prompt that a reviewer rewrote is taught by its rewrites alone: a chosen completion was only the better of two.
    """
    rewritten = {pair.prompt_hash for pair in dataset.pairs if pair.source is PairSource.REWRITE}
    given: set[tuple[str, str]] = set()
    for pair in dataset.pairs:
        if pair.source is not PairSource.REWRITE and pair.prompt_hash in rewritten:
            continue
        if pair.chosen.strip() and (pair.prompt_hash, pair.chosen) not in given:
            given.add((pair.prompt_hash, pair.chosen))
            yield {"prompt": chat_messages(pair.messages), "completion": [{"role": "assistant", "content": pair.chosen}]}
