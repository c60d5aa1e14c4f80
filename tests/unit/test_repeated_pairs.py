"""Pairs of the tasks of one prompt: what says the same again is left out, whatever comes first, and nothing else."""

import random
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pairs_logs import pair
from trueloop.datasets.pair_log import EMPTY, extend
from trueloop.datasets.pairs_dataset import PairSelection, build_pairs_dataset
from trueloop.datasets.repeated_pairs import repeated_pairs
from trueloop.datasets.rows import stepwise_rows
from trueloop.events import PairSource, PreferencePair
from trueloop.pairs.near_duplicates import are_alike, similarity

LONG = " ".join(f"word{number}" for number in range(300))
SELECTION = PairSelection("billing-support", "billing", 2, near_duplicate_above=0.98)


def of_prompt(number: int, chosen: str, rejected: str, **changes: Any) -> PreferencePair:
    return pair(number, **{"prompt_hash": "p", "chosen": chosen, "rejected": rejected, **changes})


@pytest.mark.parametrize(
    ("second", "repeats"),
    [
        ({}, True),
        ({"chosen": LONG.replace("word150", "wurd150")}, True),
        ({"chosen": LONG.replace("word1", "other")}, False),
        ({"chosen": "bad", "rejected": LONG}, False),
        ({"rejected": "another bad one"}, False),
        ({"prompt_hash": "q"}, False),
        ({"task_id": "task-1"}, False),
    ],
    ids=["equal", "nearly", "too different", "the opposite", "over another answer", "another prompt", "of the same task"],
)
def test_what_another_task_of_the_prompt_says_nearly_the_same_is_left_out(second: dict[str, Any], repeats: bool) -> None:
    first, other = of_prompt(1, LONG, "bad"), of_prompt(2, **{"chosen": LONG, "rejected": "bad", **second})
    assert repeated_pairs([first, other], 0.98) == ({"pair-002"} if repeats else frozenset())


def test_the_heaviest_stays_then_the_widest_then_the_first() -> None:
    light, wide, first, last = (
        of_prompt(1, "good", "bad", weight=0.5, margin=1.0), of_prompt(4, "good", "bad", margin=0.9), of_prompt(2, "good", "bad"), of_prompt(3, "good", "bad"),
    )  # fmt: skip
    for order in permutations([light, wide, first, last]):
        assert repeated_pairs(order, 0.98) == {"pair-001", "pair-002", "pair-003"}
    assert repeated_pairs([light, first, last], 0.98) == {"pair-001", "pair-003"}
    quarantined = of_prompt(1, "good", "bad", weight=0.0)
    assert repeated_pairs([quarantined, last], 0.98) == {"pair-001"}


@given(st.lists(st.tuples(st.sampled_from(["a b c", "a b d", "x", LONG, LONG + "!"]), st.sampled_from(["bad", LONG + "?"])), max_size=8), st.randoms())
def test_the_order_of_the_pairs_plays_no_part_and_what_is_left_repeats_nothing(texts: list[tuple[str, str]], chance: random.Random) -> None:
    pairs = [of_prompt(number, chosen, rejected) for number, (chosen, rejected) in enumerate(texts)]
    found = repeated_pairs(pairs, 0.98)
    assert repeated_pairs(chance.sample(pairs, len(pairs)), 0.98) == found
    kept = [each for each in pairs if each.pair_id not in found]
    assert repeated_pairs(kept, 0.98) == frozenset()
    assert bool(kept) == bool(pairs)


def chain(task: str, middle: str) -> list[PreferencePair]:
    """The versions that a reviewer's two edits made of one answer."""
    told: dict[str, Any] = {"prompt_hash": "p", "task_id": task, "source": PairSource.SPAN, "label_ids": [f"label-{task}"]}
    steps = (("Bad. Bad.", "Good. Good.", 1.0), ("Bad. Bad.", middle, 0.5), (middle, "Good. Good.", 0.5))
    return [
        pair(0, **told, pair_id=f"{task}-{place}", event_id=f"{task}-{place}", rejected=worse, chosen=better, margin=margin)
        for place, (worse, better, margin) in enumerate(steps)
    ]


def test_a_chain_of_versions_stays_whole_or_goes_whole() -> None:
    one, same, other = chain("t1", "Good. Bad."), chain("t2", "Good. Bad."), chain("t3", "Bad. Good.")
    assert repeated_pairs([*one, *same], 0.98) == {each.pair_id for each in same}
    assert repeated_pairs([*one, *other], 0.98) == frozenset(), "its first and last version are there already, its middle is not"
    dataset = build_pairs_dataset([*one, *same, *other], SELECTION)
    assert (len(dataset.pairs), dataset.repeated) == (6, 3)
    assert len(list(stepwise_rows(dataset))) == 6


def test_versions_of_answers_are_alike_by_nature_and_stay() -> None:
    nearly = LONG.replace("word150", "wurd150")
    spans = [of_prompt(number, LONG, f"{nearly} {number}", source=PairSource.SPAN) for number in range(3)]
    assert are_alike(LONG, nearly, 0.98)
    assert repeated_pairs(spans, 0.9) == frozenset()


def test_a_version_that_is_rebuilt_has_the_same_hash_pairs_and_count() -> None:
    """What is left out hangs on the records and the policy alone; the hash is that of the records, so that it is checked before."""
    log = [of_prompt(number, f"answer {number % 4}", "bad", weight=1.0 - number / 100) for number in range(12)]
    log += [of_prompt(1, "answer 1", "bad", event_id="revised", revises="event-001", weight=0.1), of_prompt(5, "", "", event_id="gone", withdrawn=True)]
    chained = EMPTY
    for record in log:
        chained = extend(chained, record.event_id)

    first, again = build_pairs_dataset(log, SELECTION), build_pairs_dataset(iter(log), SELECTION)

    assert first == again
    assert first.content_hash == chained
    assert [each.pair_id for each in first.pairs] == ["pair-000", "pair-002", "pair-003", "pair-009"], "1 was made light and 5 withdrawn: 9 says it"
    assert first.repeated == 7
    off = build_pairs_dataset(log, PairSelection("billing-support", "billing", 2))
    assert (len(off.pairs), off.repeated, off.content_hash) == (11, 0, chained)


TEXTS = st.text(st.sampled_from("ab c\n"), max_size=40)


@given(TEXTS, TEXTS, st.sampled_from([0.0, 0.2, 0.5, 0.8, 0.98, 1.0]))
def test_lengths_rule_out_only_what_is_not_alike(one: str, other: str, above: float) -> None:
    assert are_alike(one, other, above) == (one == other or (above < 1.0 and similarity(one, other) > above))
