"""The reward model's benchmark on HH-RLHF: what becomes of its rows, and what its page says. Nothing is trained."""

import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

BENCH = Path(__file__).parents[2] / "bench"
sys.path.insert(0, str(BENCH))
try:
    import hh_reward
finally:
    sys.path.remove(str(BENCH))


def row(opening: str, later: str, chosen: str, rejected: str) -> dict[str, str]:
    start = f"\n\nHuman: {opening}\n\nAssistant: I see.\n\nHuman: {later}\n\nAssistant: "
    return {"chosen": start + chosen, "rejected": start + rejected}


def test_conversations_are_never_on_both_sides_and_the_order_is_peoples() -> None:
    rows = [row(f"question {number % 30}", f"and {number}", f"good {number}", f"bad {number}") for number in range(90)]
    pairs, unusable = hh_reward.read_pairs(rows)
    assert (len(pairs), unusable) == (90, {})
    assert {fold for pair in pairs for fold in [pair["fold"]]} == set(range(hh_reward.FOLDS))
    folds: dict[str, set[int]] = {}
    for number, pair in enumerate(pairs):
        assert (pair["chosen"], pair["rejected"]) == (f"good {number}", f"bad {number}")
        folds.setdefault(pair["prompt"][0]["content"], set()).add(pair["fold"])
    assert len(folds) == 30
    assert all(len(found) == 1 for found in folds.values())


def test_rows_that_are_no_pair_are_counted_by_reason() -> None:
    different = {"chosen": "\n\nHuman: a\n\nAssistant: x", "rejected": "\n\nHuman: b\n\nAssistant: y"}
    rows = [different, row("a", "b", "same", "same"), {"chosen": "no", "rejected": "dialogue"}, row("a", "b", "x", "y")]
    pairs, unusable = hh_reward.read_pairs(rows)
    assert len(pairs) == 1
    assert unusable == {"prompts differ": 1, "both answers are the same": 1, "no dialogue": 1}


def test_the_page_counts_conversations_and_says_what_was_not_scored() -> None:
    rows = [row(f"question {number // 2}", f"and {number}", "longer answer", "short") for number in range(44)]
    pairs, _ = hh_reward.read_pairs(rows)
    hits: dict[str, Any] = {pair["pair_id"]: float(number % 4 > 0) for number, pair in enumerate(pairs[:40])}
    hits["row-0"] = None
    text = hh_reward.page(pairs, {}, [{"hits": hits, "metrics": {"accuracy_here": 0.75}, "cpu_s": 1.0}])
    assert "| reward model | 39 | 20 | 0.769 [" in text
    assert "| the shorter answer | 40 | 20 | 0.000 [" in text
    assert "Pairs too long for the model: 1." in text
