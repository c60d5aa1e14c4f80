"""What the statistics of labels cost: CPU per label of each function over columns, and per label and key of the workers that keep them rolling.

`python bench/label_statistics.py` prints the tables and writes bench/results/label_statistics.md and label_statistics.json. CPU time; the functions'
is the median of five. The coefficients of agreement are in bench/agreement.py, drift's detectors in bench/drift.py.
"""

import json
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from in_memory import ROUNDS, Worker, cpu  # the script runs from this folder
from machine import machine

from trueloop import statistics
from trueloop.events import (
    Candidate,
    Event,
    GoldAnswer,
    ItemTruth,
    Label,
    Message,
    PolicyPublished,
    Rating,
    ReviewedTrace,
    ReviewForm,
    ReviewTask,
    Role,
    RubricPublished,
    SamplingReason,
    Split,
    UnitTruth,
)  # fmt: skip
from trueloop.processors import estimates, reviewers
from trueloop.processors.processor import Context, Processor
from trueloop.rubrics import Governance, Policy, Rubric

RESULTS = Path(__file__).parent / "results"
UNITS, RATERS, LABELS = 2_000, 20, 5
SIZES = (1_000, 5_000)
MORE, BATCH = 1_000, 20
NOW = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)
NAMES = {"application": "bench", "rubric_id": "bench", "rubric_version": 1}


def labels_of(chance: random.Random) -> dict[str, list[Any]]:
    """Columns of UNITS units with LABELS labels each by RATERS raters, with what a judge said and how the unit was drawn."""
    found: dict[str, list[Any]] = {name: [] for name in ("unit", "rater", "value", "right", "at", "order", "choice", "spans", "length")}
    for unit in range(UNITS):
        truth = chance.random() < 0.5
        for rater in chance.sample(range(RATERS), LABELS):
            right = chance.random() < 0.85
            start = chance.randrange(400)
            row = {"unit": unit, "rater": rater, "value": int(truth == right), "right": int(right), "at": NOW + timedelta(minutes=unit)}
            row |= {"order": (0, 1) if unit % 2 else (1, 0), "choice": chance.randrange(2), "spans": [(start, start + 60)], "length": 500}
            for name, value in row.items():
                found[name].append(value)
    return found


def functions() -> list[dict[str, Any]]:
    """Return what each function costs per row."""
    chance = random.Random(1)
    rows = labels_of(chance)
    n, two = len(rows["unit"]), [place for place, rater in enumerate(rows["rater"]) if rater < 2]
    pair = {name: [rows[name][place] for place in two] for name in ("unit", "rater", "value")}
    scores = [chance.random() for _ in range(n)]
    drawn = [0.1 + 0.8 * score for score in scores]
    labels = [float(chance.random() < score) if chance.random() < p else None for score, p in zip(scores, drawn, strict=True)]
    by_slice = statistics.by_slice(statistics.hajek, [place % 50 for place in range(n)], {"values": labels, "probabilities": drawn})
    cases: list[tuple[str, int, Callable[[], Any]]] = [
        ("cohen_kappa", len(two), lambda: statistics.cohen_kappa(pair["unit"], pair["rater"], pair["value"])),
        ("preference_agreement", n, lambda: statistics.preference_agreement(rows["unit"], rows["rater"], rows["choice"], rows["order"])),
        ("position_bias", n, lambda: statistics.position_bias(rows["unit"], rows["choice"])),
        ("span_alpha", n, lambda: statistics.span_alpha(rows["unit"], rows["rater"], rows["spans"], rows["length"])),
        ("span_f1", n, lambda: statistics.span_f1(rows["unit"], rows["rater"], rows["spans"])),
        ("dawid_skene", n, lambda: statistics.dawid_skene(rows["unit"], rows["rater"], rows["value"])),
        ("reliability", n, lambda: statistics.reliability(rows["right"], rows["at"], 90.0)),
        ("gold_accuracy", n, lambda: statistics.gold_accuracy(rows["right"])),
        ("shared_errors", n, lambda: statistics.shared_errors(rows["unit"], rows["rater"], rows["value"])),
        ("hajek", n, lambda: statistics.hajek(labels, drawn)),
        ("aipw", n, lambda: statistics.aipw(labels, drawn, scores)),
        ("prediction_powered_mean", n, lambda: statistics.prediction_powered_mean(labels, scores, drawn)),
        ("pearson_correlation", n, lambda: statistics.pearson_correlation(labels, scores, drawn)),
        ("calibration_curve", n, lambda: statistics.calibration_curve(labels, scores, drawn)),
        ("partial_pooling, per slice", len(by_slice), lambda: statistics.partial_pooling(by_slice)),
    ]
    return [{"statistic": name, "rows": size, "us_per_row": round(1e6 * cpu(act) / size, 2)} for name, size, act in cases]


def context() -> Context:
    """A governed application with one dimension, a judge of it, and windows that hold everything."""
    dimension = {"name": "tone", "description": "Kind.", "scale": {"min": 0, "max": 1}}
    rubric = Rubric.model_validate({"id": "bench", "version": 1, "title": "Benchmark", "statement": "Good or bad.", "dimensions": [dimension]})
    content = {"id": "bench", "version": 1, "application": "bench", "rubric": {"id": "bench", "version": 1}, "sampling": {"rate": 1.0}}
    content |= {"gate": {"dimensions": [{"dimension": "tone", "evaluator": "check:tone"}]}, "estimates": {"judge": {"tone": "judge"}}}
    policy = Policy.model_validate(content)
    stamp = {"occurred_at": NOW - timedelta(days=9), "application": "bench", "version": 1, "content_hash": "x"}
    rubrics = [RubricPublished(event_id="r", rubric_id="bench", document=rubric.model_dump_json(), **stamp)]
    return Context(Governance(rubrics, [PolicyPublished(event_id="p", policy_id="bench", document=policy.model_dump_json(), **stamp)]))


def task(number: int) -> ReviewTask:
    """A task with one candidate."""
    return ReviewTask(
        event_id=f"task-{number}", occurred_at=NOW, task_id=f"task-{number}", trace_id=f"trace-{number}", form=ReviewForm.RATING, rubric_hash="hash",
        policy_id="bench", policy_version=1, policy_hash="hash", sampling_prob=0.5, stratum="all", reasons=[SamplingReason.UNIFORM],
        prompt_hash=f"prompt-{number}", split=Split.TRAIN, trainable=True, labels_needed=LABELS, pool="default", due_at=NOW,
        messages=[Message(role=Role.USER, content="What is it?")], candidates=[Candidate(candidate_id="a", completion="It is that.")], **NAMES,
    )  # fmt: skip


def label(number: int, rater: int, value: int, minute: int) -> Label:
    """What a reviewer says of a task, so many minutes after the first."""
    said = [Rating(candidate_id="a", dimension="tone", value=value)]
    at = NOW - timedelta(days=8) + timedelta(minutes=minute)
    return Label(event_id=f"label-{number}-{rater}-{minute}", occurred_at=at, task_id=f"task-{number}", reviewer_id=f"r{rater}", ratings=said, **NAMES)


def reviewing(number: int, chance: random.Random) -> list[Event]:
    """A task, LABELS labels of it, and for one in ten the known answer."""
    truth = int(chance.random() < 0.5)
    raters = chance.sample(range(RATERS), LABELS)
    labels = [label(number, rater, truth if chance.random() < 0.85 else 1 - truth, number) for rater in raters]
    known = [Rating(candidate_id="a", dimension="tone", value=truth)]
    gold = [GoldAnswer(event_id=f"gold-{number}", occurred_at=NOW, task_id=f"task-{number}", ratings=known, **NAMES)] if number % 10 == 0 else []
    return [task(number), *labels, *gold]


def truth(number: int, mean: float, revision: int) -> ItemTruth:
    """What the labels of a task come to."""
    unit = UnitTruth(dimension="tone", candidate_id="a", categories=[0, 1], probabilities=[1.0 - mean, mean], mean=mean, n_labels=2)
    return ItemTruth(event_id=f"truth-{number}-{revision}", occurred_at=NOW, task_id=f"task-{number}", units=[unit], **NAMES)


def estimating(number: int, chance: random.Random) -> list[Event]:
    """A trace that was drawn, and what its labels come to."""
    names = NAMES | {"policy_id": "bench", "policy_version": 1}
    drawn = ReviewedTrace(
        event_id=f"drawn-{number}", occurred_at=NOW - timedelta(minutes=number % 1440), task_id=f"task-{number}", trace_id=f"trace-{number}",
        stratum="all", sampling_prob=0.5, served="a", scores={"judge": chance.random()}, **names,
    )  # fmt: skip
    return [drawn, truth(number, float(chance.random() < 0.7), 0)]


def rolling(
    name: str, processor: Processor, unit: Callable[[int, random.Random], list[Event]], again: Callable[[int, int], Event], labels: int
) -> list[dict[str, Any]]:
    """Return what a unit costs while SIZES of them come in, and what a further label costs then, BATCH at once."""
    rows, chance, worker, number, revision = [], random.Random(2), Worker(processor, context(), NOW), 0, 0
    for size in SIZES:
        begun, first = time.process_time(), number
        while number < size:
            batch = [event for each in range(number, min(number + BATCH, size)) for event in unit(each, chance)]
            number += BATCH
            worker.take(batch)
        filled = (time.process_time() - begun) / (size - first)
        begun = time.process_time()
        for _ in range(0, MORE, BATCH):
            revision += 1
            worker.take([again(chance.randrange(size), revision) for _ in range(BATCH)])
        further = (time.process_time() - begun) / MORE
        stored = median(len(processor.dump(state)) for state in list(worker.states.values())[:1000])
        found = {"worker": name, "units": size, "us_per_label_filling": 1e6 * filled / labels, "us_per_further_label": 1e6 * further}
        rows.append({key: round(value, 1) if isinstance(value, float) else value for key, value in found.items()} | {"bytes_per_task": round(stored)})
    return rows


def main() -> None:
    """Measure, print, write."""
    kept = rolling(
        "reviewers", reviewers.PROCESSOR, reviewing, lambda number, revision: label(number, revision % RATERS, revision % 2, SIZES[-1] + revision), LABELS
    )
    kept += rolling("estimates", estimates.PROCESSOR, estimating, lambda number, revision: truth(number, revision % 2, revision), 1)
    found = {"machine": machine(), "functions": functions(), "workers": kept}
    lines = [
        "# Statistics of labels",
        "",
        found["machine"],
        "",
        f"Functions over columns, CPU time per row, median of {ROUNDS}: {UNITS:,} units, {LABELS} labels each, {RATERS} reviewers.",
        "",
        "| function | rows | µs per row |",
        "|---|---|---|",
        *(f"| {row['statistic']} | {row['rows']:,} | {row['us_per_row']:,} |" for row in found["functions"]),
        "",
        f"Workers, without decoding and storing, {BATCH} tasks at once, everything that was touched told after each batch. `reviewers`: tasks with their",
        "labels, one task in ten has a known answer; Dawid and Skene's model is fitted anew every so many labels, which is in the figures. `estimates`: what",
        "the labels of a task come to, and the trace that it is of.",
        "",
        "| worker | tasks | µs per label, filling | µs per further label | bytes of a task, stored |",
        "|---|---|---|---|---|",
        *(
            f"| {row['worker']} | {row['units']:,} | {row['us_per_label_filling']:,} | {row['us_per_further_label']:,} | {row['bytes_per_task']:,} |"
            for row in found["workers"]
        ),
    ]
    print("\n".join(lines))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "label_statistics.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (RESULTS / "label_statistics.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
