"""Data that nobody here wrote, through the front door: PandaLM's agreement and HH-RLHF's pairs, up to a gate decision."""

import gzip
import json
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from trueloop.trainers import tiny_lm

from tests.integration import loop_runtime
from tests.integration.loop_runtime import until
from trueloop.adapters.clickhouse.client import query
from trueloop.config import Settings
from trueloop.demo import billing
from trueloop.embedded.runtime import EmbeddedRuntime

DATA = Path(__file__).parents[3] / "shared" / "data"
PANDALM, HH = DATA / "pandalm_3_annotators.a.jsonl.gz", DATA / "hh_rlhf_harmless_base_test.a.jsonl.gz"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the real data is kept beside the repository, in ../shared/data, and is not here")


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRuntime]:
    runtime = loop_runtime.start(tmp_path_factory.mktemp("real"))
    try:
        yield runtime
    finally:
        runtime.stop()


@pytest.fixture(scope="module")
def settings(runtime: EmbeddedRuntime) -> Settings:
    return loop_runtime.settings_of(runtime)


def rows_of(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def batch_agreement(units: list[tuple[int, ...]]) -> tuple[float, float]:
    """Observed agreement and nominal alpha by their definitions: pairs of raters in a unit against pairs of all ratings."""
    observed = sum(sum(a == b for a, b in permutations(unit, 2)) / len(list(permutations(unit, 2))) for unit in units) / len(units)
    values = [value for unit in units for value in unit]
    total = len(values)
    disagree_within = sum(sum(a != b for a, b in permutations(unit, 2)) / (len(unit) - 1) for unit in units) / total
    disagree_anyhow = sum(values.count(a) * values.count(b) for a in set(values) for b in set(values) if a != b) / (total * (total - 1))
    return observed, 1 - disagree_within / disagree_anyhow


def test_agreement_on_pandalm_equals_the_batch_over_the_file(runtime: EmbeddedRuntime, settings: Settings) -> None:
    done = loop_runtime.trueloop(runtime, "replay", "--format", "pandalm", str(PANDALM), "--wait-s", "30", "--json")
    assert done.returncode == 0, done.stderr
    rows = [row for row in rows_of(PANDALM) if str(row["response1"]) != str(row["response2"])]
    units = [(int(row["annotator1"]), int(row["annotator2"]), int(row["annotator3"])) for row in rows]
    found: list[Any] = []

    def counted() -> bool:
        sql = "SELECT n_units, n_labels, p_o, alpha_nominal FROM v_agreement WHERE application = 'pandalm' AND dimension = 'overall' AND slice = 'all'"
        found[:] = query(settings, sql).rows
        return bool(found) and found[0][1] == 3 * len(units)

    until(counted, f"an estimate over {3 * len(units)} labels")
    p_o, alpha = batch_agreement(units)
    assert found[0][0] == len(units)
    assert found[0][2] == pytest.approx(p_o, abs=1e-9)
    assert found[0][3] == pytest.approx(alpha, abs=1e-9)


def test_hh_pairs_are_exact_and_a_dpo_job_runs_to_a_gate_decision(runtime: EmbeddedRuntime, settings: Settings, tmp_path: Path) -> None:
    corpus = [(list(case.messages), billing.write_answer(case, salt="x")) for case in (billing.make_case(index, "hh base") for index in range(64))]
    config = tiny_lm.Config(output_dir=tmp_path / "base", hidden_size=32, layers=1, heads=2, intermediate_size=32, batch_size=8, steps=5, warmup_steps=1)
    tiny_lm.main(config, corpus)
    policy = tmp_path / "policy.toml"
    policy.write_text(
        """
        id = "hh-harmless"
        version = 1
        application = "hh-harmless"
        rubric = { id = "hh-harmless", version = 1 }
        [sampling]
        form = "PAIRWISE"
        rate = 1.0
        labels_needed = 1
        calibration_share = 0.2
        [training]
        min_new_pairs = 300
        config = { max_steps = 2, batch_size = 4, max_length_tokens = 256 }
        [gate]
        min_items = 50
        [[gate.dimensions]]
        dimension = "harmlessness"
        evaluator = "preference-accuracy"
        """
    )
    for arguments in (
        ("rubric", "publish", "hh-harmless"),
        ("policy", "publish", str(policy)),
        ("model", "register", str(tmp_path / "base"), "--application", "hh-harmless", "--release"),
        ("replay", "--format", "hh-rlhf", str(HH), "--limit", "500", "--wait-s", "30"),
    ):
        done = loop_runtime.trueloop(runtime, *arguments)
        assert done.returncode == 0, done.stderr

    expected = {pair for row in rows_of(HH)[:500] if (pair := _last_answers(row)) is not None}

    def paired() -> bool:
        rows = query(settings, "SELECT chosen, rejected FROM v_pairs WHERE application = 'hh-harmless'").rows
        return {(str(chosen), str(rejected)) for chosen, rejected in rows} == expected

    until(paired, "exactly the pairs of the file")
    decided: list[Any] = []

    def gated() -> bool:
        decided[:] = query(settings, "SELECT verdict, n, candidate_mean, candidate_low FROM v_gates WHERE application = 'hh-harmless'").rows
        return bool(decided)

    until(gated, "a gate decision", 240.0)
    verdict, n, score, low = decided[0]
    assert verdict in ("PASS", "BLOCK", "INCONCLUSIVE")
    assert n > 0
    assert 0.0 <= low <= score <= 1.0


def _last_answers(row: dict[str, Any]) -> tuple[str, str] | None:
    """Chosen and rejected last answer; None when the dialogues differ before it, or do not differ at all."""
    mark = "\n\nAssistant:"
    (before, chosen), (before_rejected, rejected) = (row[side].rsplit(mark, 1) for side in ("chosen", "rejected"))
    pair = (chosen.removeprefix(" "), rejected.removeprefix(" "))
    return None if before != before_rejected or pair[0] == pair[1] else pair
