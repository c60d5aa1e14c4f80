"""The versions that a reviewer made of one text, and which steps of each stood."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from trueloop.events import PairSource, PreferencePair

IMPROVEMENTS = frozenset({PairSource.REWRITE, PairSource.SPAN, PairSource.APPEAL})
"""Sources of pairs whose chosen text is a version of the rejected one. The candidates of a pairwise task are texts of their own."""
_STEP = re.compile(r"[^\n.!?]*(?:[.!?](?!\s)[^\n.!?]*)*(?:[.!?]+(?=\s|$)|\n+|$)\s*")


@dataclass(frozen=True, slots=True)
class Stages:
    """The versions of one text, worst first, at least two; and a pair that they come from."""

    pair: PreferencePair
    texts: tuple[str, ...]


def find_stages(pairs: Iterable[PreferencePair]) -> Iterator[Stages]:
    """Yield the versions of each text that a reviewer improved.

    Pairs of one task and source that stand on the same labels belong together. A text comes after every text that it is better than, and as many pairs as lead
    to it say where: in `original < second < third` the third was reached by two. Where the pairs name more than one best text, or go in a circle,
    nobody said which version to measure by, and there are none.
    """
    groups: dict[tuple[str, str, tuple[str, ...]], list[PreferencePair]] = defaultdict(list)
    for pair in pairs:
        if pair.source in IMPROVEMENTS and pair.chosen != pair.rejected:
            groups[pair.task_id, pair.source.value, tuple(sorted(pair.label_ids))].append(pair)
    for _, group in sorted(groups.items()):
        for pair, worse in _texts_improved(group):
            texts = _ordered(worse)
            if texts is not None:
                yield Stages(pair, texts)


def _texts_improved(group: list[PreferencePair]) -> Iterator[tuple[PreferencePair, dict[str, set[str]]]]:
    """Yield, for each text that the group improves, a pair and which texts each version is better than: pairs that share no text are of two texts."""
    first = {text: text for pair in group for text in (pair.chosen, pair.rejected)}
    for _ in first:
        before = dict(first)
        for pair in group:
            first[pair.chosen] = first[pair.rejected] = min(first[pair.chosen], first[pair.rejected])
        if first == before:
            break
    for name in sorted(set(first.values())):
        own = [pair for pair in group if first[pair.chosen] == name]
        worse: dict[str, set[str]] = {text: set() for pair in own for text in (pair.chosen, pair.rejected)}
        for pair in own:
            worse[pair.chosen].add(pair.rejected)
        yield own[0], worse


def _ordered(worse: dict[str, set[str]]) -> tuple[str, ...] | None:
    depth: dict[str, int] = {}
    while len(depth) < len(worse):
        ready = {text: max((depth[lower] for lower in below), default=-1) + 1 for text, below in worse.items() if text not in depth and below <= set(depth)}
        if not ready:
            return None
        depth |= ready
    best = set(worse).difference(*worse.values())
    return tuple(sorted(depth, key=lambda text: (depth[text], text))) if len(best) == 1 else None


def split_steps(text: str) -> list[str]:
    r"""Return the sentences and lines of a text, each with the white space behind it: joined they are the text again.

    >>> split_steps("It costs $4.50. Pay now!\nThanks")
    ['It costs $4.50. ', 'Pay now!\n', 'Thanks']
    """
    return [step for step in _STEP.findall(text) if step]


def steps_of(text: str, best: str) -> list[tuple[str, bool]]:
    """Return the steps of a text, each with whether it stands in the best version too, as often as there; white space around it does not count.

    >>> steps_of("The fee is $4. You pay it.", "The fee is $5. You pay it.")
    [('The fee is $4. ', False), ('You pay it.', True)]
    """
    left = Counter(step.strip() for step in split_steps(best))
    found: list[tuple[str, bool]] = []
    for step in split_steps(text):
        bare = step.strip()
        if bare:
            found.append((step, left[bare] > 0))
            left[bare] -= 1
    return found
