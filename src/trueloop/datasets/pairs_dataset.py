"""The training set: which preference pairs of a range of the log count. What trainers read of them is in `trueloop.datasets.rows`."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from trueloop.datasets.chat import chat_messages
from trueloop.datasets.pair_log import EMPTY, extend, in_dataset
from trueloop.datasets.repeated_pairs import repeated_pairs
from trueloop.events import CalibrationItem, PreferencePair, Split
from trueloop.pairs.influence import Backing, capped_weights
from trueloop.sampling.splits import cluster_of


@dataclass(frozen=True, slots=True)
class PairSelection:
    """Which pairs count: the newest event of a pair decides, and it must belong to application, rubric version and split, not be
    withdrawn, and for training be allowed by consent.

    `max_influence` is the largest share of the weight that stands on one reviewer, or on one user's appeals (`trueloop.pairs.influence`); 1 cuts nobody.
    Pairs that repeat what another task of their prompt says are left out when they are alike by more than `near_duplicate_above`
    (`trueloop.datasets.repeated_pairs`); None leaves all in.
    """

    application: str
    rubric_id: str
    rubric_version: int
    split: Split = Split.TRAIN
    max_influence: float = 1.0
    near_duplicate_above: float | None = None

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


@dataclass(frozen=True)  # without slots, which leave no room for what is computed once
class PairsDataset:
    """The pairs that count, in order of pair id, the content hash of the range that they were taken from (`trueloop.datasets.pair_log`), the cap
    of the selection on what one person may carry, and how many pairs were left out because another task of their prompt says the same."""

    pairs: tuple[PreferencePair, ...]
    content_hash: str
    max_influence: float = 1.0
    repeated: int = 0

    @cached_property
    def weights(self) -> Mapping[str, float]:
        """What each pair counts in training, by pair id: >= 0, 1 is a full pair. The only place where rows take weights from.

        It is what the pair says of itself, less what is over the cap on the influence of one person.
        """
        backings = [Backing(pair.weight, tuple(pair.reviewers), pair.appellant) for pair in self.pairs]
        weights = capped_weights(backings, self.max_influence)
        return {pair.pair_id: weight for pair, weight in zip(self.pairs, weights, strict=True)}


def build_pairs_dataset(log: Iterable[PreferencePair], selection: PairSelection) -> PairsDataset:
    """Return the dataset that a range of the log holds. `log` is in order of offset: the last event of a pair is its newest."""
    newest: dict[str, PreferencePair] = {}
    chain = EMPTY
    for pair in log:
        newest[pair.pair_id] = pair
        if in_dataset(pair, selection.application, selection.rubric_id, selection.rubric_version):
            chain = extend(chain, pair.event_id)
    kept = tuple(newest[pair_id] for pair_id in sorted(newest) if selection.admits(newest[pair_id]))
    repeated = frozenset[str]() if selection.near_duplicate_above is None else repeated_pairs(kept, selection.near_duplicate_above)
    return PairsDataset(tuple(pair for pair in kept if pair.pair_id not in repeated), chain, selection.max_influence, len(repeated))


def seen_prompts(log: Iterable[PreferencePair], split_by: str) -> frozenset[str]:
    """Return what every pair that was ever offered for training, withdrawn or not, is held out with: an earlier model may have learned it.

    These are the prompts' hashes, and their clusters by a policy's `sampling.split_by` as it is now: a prompt that was trained on under another policy
    keeps all that are alike to it out of the calibration set.
    """
    trained = [pair for pair in log if pair.split is Split.TRAIN]
    return frozenset(name for pair in trained for name in (pair.prompt_hash, cluster_of(pair.messages, pair.slices, split_by, pair.prompt_hash)))


def is_probable(pair: PreferencePair, least: float) -> bool:
    """Return whether the order of a pair is at least so probable; where nobody compared, as with a rewrite, there is nothing to doubt."""
    return pair.p_correct is None or pair.p_correct >= least


def is_seen(item: PreferencePair | CalibrationItem, seen: Collection[str], split_by: str) -> bool:
    """Return whether a held-out item is alike to a prompt that was seen (see `seen_prompts`)."""
    return item.prompt_hash in seen or cluster_of(item.messages, item.slices, split_by, item.prompt_hash) in seen
