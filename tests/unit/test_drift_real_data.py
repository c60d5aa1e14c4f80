"""Drift on answers that nobody here wrote: a switch of the serving model is found and named, staying on one model is quiet.

AlpacaEval: the same 805 prompts answered by four models. There are no embeddings in the data; hashed counts of words stand for them.
"""

import gzip
import hashlib
import json
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from trueloop.drift import (
    Detector,
    Histogram,
    e_benjamini_hochberg,
    jensen_shannon_divergence,
    maximum_mean_discrepancy,
    most_drifted,
    population_stability_index,
    two_sample_e_value,
    update_batch,
    wasserstein_distance,
)
from trueloop.drift.histogram import add
from trueloop.events import DriftState
from trueloop.rubrics.policy import Drift

DATA = Path(__file__).parents[3] / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the real data is kept beside the repository, in ../shared/data, and is not here")

LLAMA, ALPACA, GPT4, VERBOSE = "Meta-Llama-3-8B-Instruct", "alpaca-7b", "gpt4_1106_preview", "gpt4_1106_preview_verbose"
MODELS = (LLAMA, ALPACA, GPT4, VERBOSE)
REFUSAL = re.compile(r"\b(?:I cannot|I can't|I'm sorry|As an AI|as a language model|I am unable)\b")
LENGTHS = {"prompt_chars": "instruction", "completion_chars": "output"}
LOSSES = {
    "too_short": lambda text: 1 - min(1.0, len(text) / 1000),
    "too_long": lambda text: float(len(text) > 3000),
    "refused": lambda text: float(bool(REFUSAL.search(text))),
    "unfinished": lambda text: float(text.strip()[-1:] not in tuple('.!?`)"')),
}
CONFIG = Drift(reference_size=400, arl_target=10_000.0, tolerance=0.0)


@cache
def answers(model):
    """The answers of a model, in an order that is the same for all and has nothing to do with the file."""
    with gzip.open(DATA / f"alpaca_eval_outputs.{model}.jsonl.gz", "rt", encoding="utf-8") as lines:
        return sorted(map(json.loads, lines), key=lambda row: hashlib.sha256(row["instruction"].encode()).digest())


def embedded(texts):
    matrix = np.zeros((len(texts), 384), np.float32)
    for row, text in enumerate(texts):
        for word in re.findall(r"\w+", text.lower()):
            code = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")
            matrix[row, code % 384] += 1 if code >> 63 else -1
    return matrix


def described(before, now):
    """Every description of a switch of models in the middle of the traffic."""
    was, serves = answers(before)[:400], answers(now)[400:]
    found = {}
    for metric, field in LENGTHS.items():
        histograms = [add(Histogram(), [float(len(row[field])) for row in rows]) for rows in (was, serves)]
        for statistic in (population_stability_index, jensen_shannon_divergence, wasserstein_distance):
            found[f"{metric} {statistic.__name__}"] = statistic(*histograms)
    for metric, field in (("prompt_embedding", "instruction"), ("completion_embedding", "output")):
        found[metric] = maximum_mean_discrepancy(*(embedded([row[field] for row in rows]) for rows in (was, serves)))
    return found


def alarms(before, now):
    """Losses until each metric alarmed after the switch, soonest first; the same contract for all. One that alarms before it fails."""
    found = {}
    for metric, loss in LOSSES.items():
        was, serves = ([loss(row["output"]) for row in answers(model)] for model in (before, now))
        detector, changes = update_batch(Detector(), was, before, CONFIG)
        assert all(change.detector.state is not DriftState.ALARM for change in changes)
        _, changes = update_batch(detector, serves, now, CONFIG)
        alarm = next((change.count for change in changes if change.detector.state is DriftState.ALARM), None)
        if alarm is not None:
            found[metric] = alarm
    return dict(sorted(found.items(), key=lambda item: item[1]))


def warned(comparisons):
    return {name.split()[0] for name in most_drifted(comparisons)}


@pytest.mark.parametrize("model", MODELS)
def test_staying_on_one_model_is_quiet(model):
    assert warned(described(model, model)) == set()
    assert alarms(model, model) == {}


def test_a_regression_is_found_within_twenty_answers_and_named():
    """Llama-3-8B to alpaca-7b: a median of 1,897 characters becomes 355, and the words differ. The prompts stay what they were."""
    found = described(LLAMA, ALPACA)
    assert warned(found) == {"completion_chars", "completion_embedding"}
    assert most_drifted(found)[0].startswith("completion_chars")
    alarmed = alarms(LLAMA, ALPACA)
    assert next(iter(alarmed)) == "too_short"
    assert alarmed["too_short"] <= 20
    assert set(alarmed) <= {"too_short", "unfinished"}  # 14 % of its answers end without a full stop, where it was 4 %


def test_a_style_drift_is_named_and_is_no_change_of_topic():
    """gpt4 to its verbose variant: a median of 2,132 characters becomes 2,485, in the same words. Nothing else moved."""
    assert warned(described(GPT4, VERBOSE)) == {"completion_chars"}
    assert list(alarms(GPT4, VERBOSE)) == ["too_long"]


def test_slices_that_became_worse_are_found_together():
    """Each source of prompts is a slice. After the regression all are found; without one, none."""
    slices = sorted({row["dataset"] for row in answers(LLAMA)})
    for now, expected in ((ALPACA, slices), (LLAMA, [])):
        evidence = []
        for name in slices:
            was, serves = (
                [LOSSES["too_short"](row["output"]) for row in rows if row["dataset"] == name] for rows in (answers(LLAMA)[:400], answers(now)[400:])
            )
            evidence.append(two_sample_e_value(was, serves).value)
        assert [slices[place] for place in e_benjamini_hochberg(evidence, fdr=0.05).rejected] == expected


def test_a_judge_that_prefers_what_served_before_alarms_at_once():
    """gpt4 against alpaca-7b, as an LLM judge has it: 1 is gpt4 better, 2 alpaca-7b. The loss of what serves is how far the other is preferred."""
    with gzip.open(DATA / "alpaca_eval_judge.alpaca-7b_vs_gpt4_1106_preview.jsonl.gz", "rt", encoding="utf-8") as lines:
        preferences = [min(max(float(json.loads(line)["preference"]) - 1.0, 0.0), 1.0) for line in lines]
    detector, changes = update_batch(Detector(), preferences, "gpt4", CONFIG)
    assert all(change.detector.state is not DriftState.ALARM for change in changes)
    _, changes = update_batch(detector, [1.0 - preference for preference in preferences], "alpaca-7b", CONFIG)
    assert next(change.count for change in changes if change.detector.state is DriftState.ALARM) <= 10
