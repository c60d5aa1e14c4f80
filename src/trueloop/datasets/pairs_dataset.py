"""The training set: which preference pairs of a range of the log count. What trainers read of them is in `trueloop.datasets.rows`."""

from collections.abc import Iterable
from dataclasses import dataclass

from trueloop.datasets.chat import chat_messages
from trueloop.datasets.pair_log import EMPTY, extend, in_dataset
from trueloop.events import PreferencePair, Split


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
