"""Agreement on people's own judgements, per pair of models: PandaLM's three annotators."""

import gzip
import importlib.util
import json
import os
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("TRUELOOP_TEST_DATA", ROOT.parent / "shared" / "data")) / "pandalm_3_annotators.a.jsonl.gz"
needs_data = pytest.mark.skipif(not DATA.exists(), reason=f"PandaLM's annotations are not at {DATA}; set TRUELOOP_TEST_DATA to their directory")


def bench() -> Any:
    spec = importlib.util.spec_from_file_location("real_agreement", ROOT / "bench" / "real_agreement.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def by_definition(votes: list[tuple[int, ...]]) -> tuple[float, float]:
    """Observed agreement and nominal alpha of items of three votes each: pairs that differ on an item against pairs of any two votes."""
    differing = sum(a != b for item in votes for a, b in combinations(item, 2)) / (3 * len(votes))
    counts, total = Counter(value for item in votes for value in item), 3 * len(votes)
    by_chance = sum(counts[a] * counts[b] for a in counts for b in counts if a != b) / (total * (total - 1))
    return 1 - differing, 1 - differing / by_chance


@needs_data
def test_agreement_per_pair_of_models_is_that_of_the_definition_and_of_the_published_table() -> None:
    with gzip.open(DATA, "rt", encoding="utf-8") as lines:
        rows = list(map(json.loads, lines))
    module = bench()
    found = {row["pair"]: row for row in module.table(rows)}
    votes: dict[str, list[tuple[int, ...]]] = {"all": []}
    for row in rows:
        if str(row["response1"]) != str(row["response2"]):
            item = tuple(int(row[f"annotator{place}"]) for place in (1, 2, 3))
            votes["all"].append(item)
            votes.setdefault(row["cmp_key"], []).append(item)
    assert found.keys() == votes.keys()
    assert len(found) == 11
    for pair, items in votes.items():
        row = found[pair]
        observed, alpha = by_definition(items)
        assert (row["items"], row["p_o"].value, row["alpha"].value) == (len(items), pytest.approx(observed), pytest.approx(alpha))
        for name in ("p_o", "alpha", "ac1"):
            low, high = row[name].interval
            assert low < row[name].value < high
        wider = row["p_o"].interval[1] - row["p_o"].interval[0]
        assert pair == "all" or wider > found["all"]["p_o"].interval[1] - found["all"]["p_o"].interval[0]
    assert module.render(list(found.values())) == (ROOT / "bench" / "results" / "real_agreement.md").read_text()


def test_few_items_have_no_interval_and_equal_responses_say_nothing() -> None:
    row = {"cmp_key": "m1_m2", "response1": "x", "response2": "y", "annotator1": 1, "annotator2": 1, "annotator3": 0}
    module = bench()
    found = module.table([row, row, row | {"response2": "x", "annotator3": 2}])
    assert [(each["pair"], each["items"], each["alpha"].interval) for each in found] == [("all", 2, None), ("m1_m2", 2, None)]
    assert "(no interval: too few units)" in module.render(found)
