"""The running training log of one rubric version: what the next dataset will hold, kept without holding the pairs."""

from pydantic import BaseModel, ConfigDict

from trueloop.datasets.pair_log import EMPTY, extend
from trueloop.events import DatasetOrder, OffsetRange, PreferencePair


class PairLog(BaseModel):
    """Content hash and counts of the log so far. `effective` is what the weights of its pairs have grown by since the last dataset.

    After a rollback `excluded` holds the offset ranges that count for nothing, and `left_out` the pairs that their records spoke of, each with its
    weight in what was restored (None: it is not in it): the next record of such a pair refers to one that does not count.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    chain: str = EMPTY
    n_items: int = 0
    n_new: int = 0
    effective: float = 0.0
    sources: dict[str, int] = {}
    excluded: tuple[OffsetRange, ...] = ()
    left_out: dict[str, float | None] = {}

    def after(self, pair: PreferencePair, *, resent: bool) -> "PairLog":
        """Return the log after one more record of it. A re-sent one changes the hash alone: whoever rebuilds the dataset reads the same records."""
        chain = extend(self.chain, pair.event_id)
        if resent:
            return self.model_copy(update={"chain": chain})
        left_out = self.left_out
        if pair.pair_id in left_out:
            weight = left_out[pair.pair_id]
            was_in, replaced = weight is not None, weight or 0.0
            left_out = {pair_id: known for pair_id, known in left_out.items() if pair_id != pair.pair_id}
        else:
            was_in, replaced = pair.withdrawn or pair.revises is not None, pair.replaced_weight
        change = (not pair.withdrawn) - was_in
        return self.model_copy(
            update={
                "chain": chain,
                "n_items": self.n_items + change,
                "n_new": max(self.n_new + change, 0),
                "effective": max(self.effective + pair.weight - replaced, 0.0),
                "sources": _changed(self.sources, pair.source.value, change),
                "left_out": left_out,
            }
        )

    def frozen(self) -> "PairLog":
        """Return the log as it goes on after a dataset was made of it."""
        return self.model_copy(update={"n_new": 0, "effective": 0.0})

    @classmethod
    def restored(cls, order: DatasetOrder) -> "PairLog":
        """Return the log as it goes on after a rollback: as it was in that version, without what came since."""
        start, end = order.end_offset or 0, order.place or 0
        return cls(
            chain=order.content_hash or EMPTY,
            n_items=order.n_items or 0,
            sources=order.sources,
            excluded=(*order.excluded, OffsetRange(start_offset=start, end_offset=end)),
            left_out={pair.pair_id: pair.weight for pair in order.left_out},
        )


def _changed(sources: dict[str, int], source: str, change: int) -> dict[str, int]:
    counts = sources | {source: sources.get(source, 0) + change}
    return {name: count for name, count in sorted(counts.items()) if count > 0}
