"""Answers that nobody here wrote as traffic through the drift workers: AlpacaEval's models and judge, and PandaLM's annotators.

`python -m tests.processors.real_traffic bench/results/real_drift.md` writes what came of it. The data is not in the repository; TRUELOOP_TEST_DATA
names its folder.
"""

import gzip
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from trueloop.drift.detector import NAME
from trueloop.events import (
    DriftFamily,
    DriftObservations,
    DriftSignal,
    DriftState,
    DriftValues,
    Event,
    ReviewTask,
    Trace,
)
from trueloop.processors import collection, distributions, drift, families, profiles, sampling
from trueloop.processors.processor import Context
from trueloop.replay import alpaca_eval, pandalm
from trueloop.replay.item import Target
from trueloop.replay.labels import labels_for
from trueloop.rubrics import Governance, Policy, Rubric
from trueloop.rubrics.documents import parse_document
from trueloop.rubrics.publication import policy_event, rubric_event
from trueloop.sampling.profile_rows import rows_of_events
from trueloop.testing import ProcessorDriver

DATA = Path(os.environ.get("TRUELOOP_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
LLAMA, ALPACA, GPT4, VERBOSE = "Meta-Llama-3-8B-Instruct", "alpaca-7b", "gpt4_1106_preview", "gpt4_1106_preview_verbose"
MODELS = (LLAMA, ALPACA, GPT4, VERBOSE)
JUDGED = "alpaca_eval_judge.alpaca-7b_vs_gpt4_1106_preview"
START = datetime(2026, 3, 1, tzinfo=UTC)
SWITCH = 400
"""Traces before the switch: a reference of 300 and a window."""
BATCH = 20


@dataclass
class Found:
    """What the workers said of some traffic. Numbers of traces are since the switch; below 1 is before it."""

    signals: list[tuple[int, DriftSignal]] = field(default_factory=list)
    families: list[tuple[int, DriftFamily]] = field(default_factory=list)

    def alarms(self) -> dict[tuple[str, str], int]:
        """When each series alarmed first, soonest first."""
        return self._first(lambda signal: signal.state is DriftState.ALARM)

    def warnings(self) -> dict[tuple[str, str], int]:
        """When each statistic of a distribution over all traces left its band first: metric and statistic."""
        found: dict[tuple[str, str], int] = {}
        for number, signal in self.signals:
            if signal.detector != NAME and signal.slice == "all" and signal.state is DriftState.WARNING:
                found.setdefault((signal.metric, signal.detector), number)
        return found

    def together(self) -> set[tuple[str, str]]:
        """The series that were told to have drifted together at any time."""
        return {(each.metric, each.slice) for _, family in self.families for each in family.rejected}

    def _first(self, wanted: Any) -> dict[tuple[str, str], int]:
        found: dict[tuple[str, str], int] = {}
        for number, signal in self.signals:
            if wanted(signal):
                found.setdefault((signal.metric, signal.slice), number)
        return found


class Workers:
    """The drift workers of one application, each driven as its shell does."""

    def __init__(self, name: str) -> None:
        library = files("trueloop.rubrics") / "library"
        self.policy = parse_document(Policy, (library / "policies" / f"{name}.toml").read_text(), name)
        rubric = parse_document(Rubric, (library / "rubrics" / f"{name}.toml").read_text(), name)
        before = START - timedelta(days=1)
        self.context = Context(Governance([rubric_event(rubric, before)], [policy_event(self.policy, before)]), "key")
        self._drivers = {
            DriftObservations: ProcessorDriver(drift.PROCESSOR, self.context),
            DriftValues: ProcessorDriver(distributions.PROCESSOR, self.context),
            DriftSignal: ProcessorDriver(families.PROCESSOR, self.context),
        }
        self.found = Found()

    def take(self, events: Iterable[Event], number: int) -> None:
        """Feed what other workers told, and what follows from it."""
        for event in events:
            driver = self._drivers.get(type(event))
            if isinstance(event, DriftSignal):
                self.found.signals.append((number, event))
            if isinstance(event, DriftFamily):
                self.found.families.append((number, event))
            if driver is not None:
                mark = len(driver.out)
                driver.send(event)
                self.take(driver.out[mark:], number)


@cache
def rows_of(name: str) -> tuple[dict[str, Any], ...]:
    """The rows of a file, in an order that is the same for all models and has nothing to do with the file."""
    with gzip.open(DATA / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return tuple(sorted(rows, key=lambda row: hashlib.sha256(row["instruction"].encode()).digest()))


def embedded(text: str) -> bytes:
    """Signed counts of hashed words: there are no embeddings in the data, so this stands for one."""
    row = np.zeros(384, np.float32)
    for word in text.lower().split():
        code = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")
        row[code % 384] += 1 if code >> 63 else -1
    return row.tobytes()


def switched(before: str, after: str) -> Iterator[Trace]:
    """Traffic that one model answers, and then another one."""
    for number, (was, serves) in enumerate(zip(rows_of(f"alpaca_eval_outputs.{before}"), rows_of(f"alpaca_eval_outputs.{after}"), strict=True)):
        row = was if number < SWITCH else serves
        trace = alpaca_eval.parse_row(row, Target("alpaca-eval", START + timedelta(minutes=number))).trace
        yield trace.model_copy(update={"checkpoint": row["generator"], "embedding": embedded(row["instruction"]), "embedding_model": "hashed words"})


def judged(switch: int | None) -> Iterator[Trace]:
    """Traffic that gpt4 answers, and from `switch` on alpaca-7b, with the score of an LLM judge beside the other one."""
    for number, row in enumerate(rows_of(JUDGED)):
        serves = row
        if switch is not None and number >= switch:
            names = {f"{name}_{one}": row[f"{name}_{other}"] for name in ("output", "generator") for one, other in ((1, 2), (2, 1))}
            serves = row | names | {"preference": 3.0 - row["preference"]}
        trace = alpaca_eval.parse_row(serves, Target("alpaca-eval", START + timedelta(minutes=number))).trace
        yield trace.model_copy(update={"checkpoint": serves["generator_1"]})


def followed(traces: Iterable[Trace], switch: int = SWITCH) -> Found:
    """What the workers say of traces, a batch at a time."""
    workers, every = Workers("alpaca-eval"), list(traces)
    for start in range(0, len(every), BATCH):
        batch = every[start : start + BATCH]
        offsets, places = np.arange(start, start + len(batch)), list(range(len(batch)))
        for worker, rows in ((profiles, rows_of_events(batch, places)), (sampling, sampling.rows_of_events(batch, places))):
            told = worker.screen(rows, context=workers.context, source="traces/0", offsets=offsets)
            workers.take(told.out, start + len(batch) - switch)
    return workers.found


def annotated(random_from: int | None) -> Found:
    """What the workers say of PandaLM's three annotators; from a task on, one of them answers at random."""
    workers = Workers("pandalm")
    queue, collect = ProcessorDriver(sampling.PROCESSOR, workers.context), ProcessorDriver(collection.PROCESSOR, workers.context)
    for number, row in enumerate(rows_of("pandalm_3_annotators.a")):
        by_chance = hashlib.sha256(row["instruction"].encode()).digest()[0] % 3
        given = row | {"annotator3": by_chance} if random_from is not None and number >= random_from else row
        item = pandalm.parse_row(given, Target("pandalm", START + timedelta(minutes=number)))
        mark = len(queue.out)
        queue.send(item.trace)
        for task in (event for event in queue.out[mark:] if isinstance(event, ReviewTask)):
            collect.send(task)
            said = len(collect.out)
            for label in labels_for(task, item, task.occurred_at):
                collect.send(label)
            workers.take(collect.out[said:], number + 1 - (random_from or 0))
    return workers.found


def main(path: Path) -> None:
    """Write what came of everything."""
    lines = ["# Drift on real data", "", *INTRODUCTION, "", *table(), ""]
    path.write_text("\n".join(lines))


INTRODUCTION = (
    "Printed by `python -m tests.processors.real_traffic bench/results/real_drift.md`: the traffic goes through the processors of the workers (profiles,",
    "sampling, collection, drift, distributions, families) under the shipped policies, in batches of 20. AlpacaEval: 805 prompts in an order that has",
    f"nothing to do with the file, of which the first {SWITCH} are answered by one model and the others by another; the reference is the first 300. Numbers",
    "are traces after the switch; a batch is told at its end, and 0 is the switch itself. Losses alarm: refusals, errors, and the limits of the policy",
    "(an answer below 500 or above 3,000 characters). Distributions warn: each of three statistics per window of 100 once in a hundred by chance. The data",
    "has no latency, no tokens, no rubric scores and no embeddings (hashed words of the prompt stand for them), so nothing is said of those; the judge's",
    "score is of the second file only. No slice has as many traces as a reference takes. PandaLM's series is 1 - observed agreement; numbers are tasks.",
)


def table() -> Iterator[str]:
    """Yield a row per kind of traffic."""
    yield "| traffic | alarms (all traces) | alarms in slices | warnings of distributions (all traces) | drifted together (e-BH, 10 %) |"
    yield "|---|---|---|---|---|"
    kinds = {f"{model} only": lambda model=model: followed(switched(model, model)) for model in MODELS}
    kinds |= {
        f"{LLAMA} to {ALPACA}": lambda: followed(switched(LLAMA, ALPACA)),
        f"{GPT4} to {VERBOSE}": lambda: followed(switched(GPT4, VERBOSE)),
        "judge: gpt4 only": lambda: followed(judged(None)),
        "judge: gpt4 to alpaca-7b": lambda: followed(judged(SWITCH)),
        "PandaLM, three annotators": lambda: annotated(None),
        "PandaLM, one answers at random from task 300": lambda: annotated(300),
    }
    for name, run in kinds.items():
        found = run()
        alarms = {series: at for series, at in found.alarms().items() if series[1] == "all"}
        cells = (
            "; ".join(f"{metric} at {at}" for (metric, _), at in alarms.items()),
            "; ".join(f"{metric} {name} at {at}" for (metric, name), at in found.alarms().items() if name != "all"),
            "; ".join(f"{metric}: {statistic} at {at}" for (metric, statistic), at in found.warnings().items()),
            "; ".join(f"{metric} {name}" for metric, name in sorted(found.together())),
        )
        yield f"| {name} | " + " | ".join(cell.replace("|", "/") or "none" for cell in cells) + " |"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
