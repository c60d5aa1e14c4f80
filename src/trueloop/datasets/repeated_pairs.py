"""Pairs that say again what a pair of another task of their prompt says: no second piece of evidence on which answer is better."""

from collections import defaultdict
from collections.abc import Sequence
from typing import TypeAlias

from trueloop.events import PairSource, PreferencePair
from trueloop.pairs.near_duplicates import are_alike

_CHAINED = frozenset({PairSource.SPAN, PairSource.APPEAL})
"""Sources of chains of versions of one answer, which are alike by nature."""
_Unit: TypeAlias = list[PreferencePair]
"""Pairs that stay or go together."""


def repeated_pairs(pairs: Sequence[PreferencePair], near_duplicate_above: float) -> frozenset[str]:
    """Return the ids of the pairs that nearly say what a pair of another task of the same prompt says.

    Both texts have to be alike (`trueloop.pairs.near_duplicates`), in the same order: the opposite order is a contradiction and stays. Of those that are
    alike the heaviest stays, then that of the widest margin, then the first by id; so the result is a function of the set of pairs. Versions that
    edits made of one answer go when all that its reviewer made of it is there already, letter for letter, for a chain without its middle is another one.
    Within a task nothing is compared: that was done when its pairs were made.

    The time grows with the square of the pairs of one prompt; texts whose lengths differ by more than they could while alike are not looked at.

    Args:
        pairs: Pairs that count, each once, in any order.
        near_duplicate_above: Similarity above which two texts are alike, [0, 1]; 1 knows equal texts only.
    """
    by_prompt: dict[str, dict[tuple[str, ...], _Unit]] = defaultdict(lambda: defaultdict(list))
    for pair in sorted(pairs, key=lambda pair: pair.pair_id):
        chained = pair.source in _CHAINED
        by_prompt[pair.prompt_hash][(pair.task_id, *sorted(pair.label_ids)) if chained else (pair.pair_id,)].append(pair)
    found: set[str] = set()
    for units in by_prompt.values():
        kept: list[_Unit] = []
        for unit in sorted(units.values(), key=_rank):
            if _is_told(unit, kept, near_duplicate_above):
                found.update(pair.pair_id for pair in unit)
            else:
                kept.append(unit)
    return frozenset(found)


def _rank(unit: _Unit) -> tuple[float, float, str]:
    return -max(pair.weight for pair in unit), -max(pair.margin for pair in unit), unit[0].pair_id


def _is_told(unit: _Unit, kept: Sequence[_Unit], above: float) -> bool:
    others = [pair for known in kept if known[0].task_id != unit[0].task_id for pair in known]
    return all(any(_same(pair, other, above) for other in others) for pair in unit)


def _same(pair: PreferencePair, other: PreferencePair, above: float) -> bool:
    if pair.source in _CHAINED:
        above = 1.0
    return are_alike(pair.chosen, other.chosen, above) and are_alike(pair.rejected, other.rejected, above)
