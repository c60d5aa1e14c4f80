"""Chains of versions, as the method `lamarckian` reads them."""

from typing import Any

import pytest

from tests.factories import example
from trueloop.datasets.chain_rows import chain_rows
from trueloop.datasets.pairs_dataset import PairsDataset
from trueloop.events import PairSource, PreferencePair


def pair(rejected: str, chosen: str, margin: float, **changes: Any) -> PreferencePair:
    given = {"pair_id": f"{rejected}<{chosen}", "task_id": "t", "label_ids": ["l"], "source": PairSource.SPAN, "weight": 0.25, "margin": margin}
    return example(PreferencePair).model_copy(update=given | {"chosen": chosen, "rejected": rejected} | changes)


def rows(*pairs: PreferencePair) -> list[dict[str, Any]]:
    return list(chain_rows(PairsDataset(tuple(sorted(pairs, key=lambda each: each.pair_id)), "hash")))


def test_edits_of_one_answer_make_one_chain() -> None:
    (row,) = rows(pair("v0", "v2", 1.0), pair("v0", "v1", 0.8), pair("v1", "v2", 0.2))
    assert (row["versions"], row["gains"], row["weight"]) == (["v0", "v1", "v2"], [0.8, 0.2], 0.75)


def test_a_step_whose_pair_was_dropped_gets_the_mean() -> None:
    (row,) = rows(pair("v0", "v3", 1.0), pair("v0", "v1", 0.5), pair("v1", "v2", 0.25), pair("v2", "v3", 0.0))
    assert sum(row["gains"]) == pytest.approx(1.0, abs=1e-5)
    assert row["gains"][2] == pytest.approx(row["gains"][0] * 0.75, abs=1e-5)


def test_a_rewrite_is_a_chain_of_one_step_and_other_pairs_are_none() -> None:
    rewrite = pair("v0", "best", 1.0, source=PairSource.REWRITE)
    assert [(row["versions"], row["gains"]) for row in rows(rewrite, pair("a", "b", 1.0, source=PairSource.PAIRWISE, task_id="u"))] == [(["v0", "best"], [1.0])]


def test_chains_of_two_reviewers_stay_apart() -> None:
    found = rows(pair("v0", "x", 1.0), pair("v0", "y", 1.0, label_ids=["m"]))
    assert [row["versions"] for row in found] == [["v0", "x"], ["v0", "y"]]
