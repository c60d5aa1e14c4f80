"""What agreement costs: CPU per update and bytes per key of every statistic, and per label of the processor as units grow to 100,000.

`python bench/agreement.py` prints the tables and writes bench/results/agreement.md and agreement.json. CPU time, median of five.
"""

import json
import random
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from in_memory import ROUNDS, Worker, cpu  # the script runs from this folder
from machine import machine

from trueloop.agreement import Evidence, Moments, Replicates, fleiss_kappa, gwet_ac1, gwet_ac2, krippendorff_alpha, observed_agreement
from trueloop.agreement.coincidences import Coincidences
from trueloop.agreement.pattern import Members, pattern_of
from trueloop.codec import Codec
from trueloop.events import AgreementEstimate, AgreementUnits, PolicyPublished, RubricPublished, UnitCounts
from trueloop.events.agreement_units import UnitKind
from trueloop.processors.agreement import PROCESSOR
from trueloop.processors.processor import Context, Source
from trueloop.rubrics import Governance, Policy, Rubric
from trueloop.testing import MemoryRegistry
from trueloop.topics import AGREEMENT

RESULTS = Path(__file__).parent / "results"
UNITS = 20_000
LABELS = 5
SIZES = (1_000, 10_000, 100_000)
UPDATES, BATCH = 2_000, 20
NOW = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)


def ratings(chance: random.Random, labels: int = LABELS) -> dict[int, int]:
    """Ratings of one unit on a scale of five: raters agree more often than not."""
    truth = chance.randrange(1, 6)
    return dict(Counter(truth if chance.random() < 0.6 else chance.randrange(1, 6) for _ in range(labels)))


def statistics() -> list[dict[str, Any]]:
    """Return what counting a unit costs per statistic, what its state weighs, and what an estimate costs."""
    chance = random.Random(1)
    units: list[tuple[str, Members]] = [(f"task-{number}", ((pattern_of(ratings(chance)), 1),)) for number in range(UNITS)]
    rows: list[dict[str, Any]] = []

    def row(name: str, count: Callable[[], Any], estimate: Callable[[Any], Any], size: Callable[[Any], int]) -> None:
        state = count()
        rows.append(
            {
                "statistic": name,
                "us_per_unit": round(1e6 * cpu(count) / UNITS, 2),
                "state_bytes": size(state),
                "us_per_estimate": round(1e6 * cpu(lambda: [estimate(state) for _ in range(20)]) / 20, 1),
            }
        )

    def evidence(moments: Moments | None, replicates: Replicates | None) -> Callable[[], Evidence]:
        def count() -> Evidence:
            found = Evidence(
                Coincidences(), None if moments is None else Moments(moments.weights), None if replicates is None else Replicates(replicates.level)
            )
            for name, members in units:
                found.add(name, members)
            return found

        return count

    def counts(found: Evidence) -> int:
        return len(found.canonical())

    def sums(found: Evidence) -> int:
        return len(found.canonical()) + (found.replicates.nbytes if found.replicates else 0)

    plain, weighted = evidence(Moments(), None), evidence(Moments("ordinal"), None)
    row("observed agreement, with interval", plain, observed_agreement, counts)
    row("Fleiss' kappa, with interval", plain, fleiss_kappa, counts)
    row("AC1, with interval", plain, gwet_ac1, counts)
    row("AC2 (ordinal), with interval", weighted, gwet_ac2, counts)
    for level in ("nominal", "ordinal", "interval", "ratio"):
        row(f"alpha ({level}), no interval", evidence(None, None), lambda state, level=level: krippendorff_alpha(state, level=level), counts)
        row(f"alpha ({level}), with interval", evidence(None, Replicates(level)), lambda state, level=level: krippendorff_alpha(state, level=level), sums)
    return rows


def context() -> Context:
    """A governed application with one ordinal dimension and a window that holds everything."""
    rubric = Rubric.model_validate(
        {
            "id": "bench",
            "version": 1,
            "title": "Benchmark",
            "statement": "Good or bad.",
            "dimensions": [{"name": "tone", "description": "Kind.", "scale": {"min": 1, "max": 5}}],
        }
    )
    policy = Policy.model_validate(
        {
            "id": "bench",
            "version": 1,
            "application": "bench",
            "rubric": {"id": "bench", "version": 1},
            "sampling": {"rate": 1.0},
            "gate": {"dimensions": [{"dimension": "tone", "evaluator": "check:tone"}]},
        }
    )
    stamp = {"occurred_at": NOW - timedelta(days=9), "application": "bench", "version": 1, "content_hash": "x"}
    rubrics = [RubricPublished(event_id="r", rubric_id="bench", document=rubric.model_dump_json(), **stamp)]
    return Context(Governance(rubrics, [PolicyPublished(event_id="p", policy_id="bench", document=policy.model_dump_json(), **stamp)]))


def contribution(number: int, counts: dict[int, int], revision: int) -> AgreementUnits:
    """What one task contributes, spread over the window's 24 panes."""
    values = sorted(counts)
    return AgreementUnits.model_construct(
        event_id=f"{number}-{revision}",
        occurred_at=NOW,
        application="bench",
        series_id="series",
        dimension="tone",
        slice="all",
        rubric_id="bench",
        rubric_version=1,
        kind=UnitKind.RATING,
        task_id=f"task-{number:06}",
        task_at=NOW - timedelta(minutes=number % 1440),
        revision=revision,
        units=[UnitCounts.model_construct(unit_id="c", values=values, counts=[counts[value] for value in values], repeats=1, shown=None, shown_first=None)],
    )


def processor() -> list[dict[str, Any]]:
    """Return what a further label costs when the window already holds so many units of five labels."""
    rows, chance = [], random.Random(2)
    for size in SIZES:
        worker = Worker(PROCESSOR, context(), NOW)
        begun = time.process_time()
        worker.take([contribution(number, ratings(chance), LABELS) for number in range(size)])
        filled = time.process_time() - begun
        revision = [LABELS]

        def more(worker: Worker = worker, size: int = size, revision: list[int] = revision) -> None:
            revision[0] += 1
            for start in range(0, UPDATES, BATCH):
                worker.take([contribution(chance.randrange(size), ratings(chance), revision[0]) for _ in range(start, start + BATCH)])

        rows.append(
            {"units": size, "us_per_unit_filled": round(1e6 * filled / size, 1), f"us_per_label_in_batches_of_{BATCH}": round(1e6 * cpu(more) / UPDATES, 1)}
        )
    return rows


def bytes_per_key() -> dict[str, int]:
    """Return what a task and its series weigh, stored and in memory, and what an estimate weighs on the topic."""
    chance, size = random.Random(3), 20_000
    events = [contribution(number, ratings(chance), LABELS) for number in range(size)]
    worker = Worker(PROCESSOR, context(), NOW)
    worker.take(events[:100])
    stored = [PROCESSOR.dump(state) for state in worker.states.values()]
    tracemalloc.start()
    full = Worker(PROCESSOR, context(), NOW)
    before = tracemalloc.get_traced_memory()[0]
    for event in events:
        key = PROCESSOR.key(event)  # type: ignore[misc]
        state = PROCESSOR.step(None, event, source=Source("agreement-units", 0, 0), now=NOW, final=False, context=full.context).state
        full.view.fold(key, None, state)
    view = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    codec = Codec(MemoryRegistry())
    sizes: dict[str, list[int]] = {"PANE": [], "ROLLING": []}
    for estimate in worker.out:
        if isinstance(estimate, AgreementEstimate):
            sizes[estimate.window_kind.value].append(len(codec.encode(AGREEMENT, estimate)))
    return {
        "state of a task in a series, stored": round(median(map(len, stored))),
        "task in the view, in memory": round(view / size),
        "estimate of a window, on the topic": round(median(sizes["ROLLING"])),
        "estimate of a pane with its statistics, on the topic": round(median(sizes["PANE"])),
        "tasks of which the stored size is taken": len(stored),
    }


def main() -> None:
    """Measure, print, write."""
    found = {"machine": machine(), "statistics": statistics(), "processor": processor(), "bytes": bytes_per_key()}
    label = f"us_per_label_in_batches_of_{BATCH}"
    lines = [
        "# Agreement",
        "",
        found["machine"],
        "",
        f"CPU time, median of {ROUNDS}. A unit has {LABELS} labels on a scale of 5. State: counts as text, and the sums of the bootstrap.",
        "",
        "| statistic | µs per unit | bytes of state | µs per estimate |",
        "|---|---|---|---|",
        *(f"| {r['statistic']} | {r['us_per_unit']} | {r['state_bytes']:,} | {r['us_per_estimate']:,} |" for r in found["statistics"]),
        "",
        f"The processor, without decoding and storing: one series, 24 panes, everything estimated once per batch of {BATCH} labels (up to {BATCH} panes",
        "and the window). A label replaces what its task contributed.",
        "",
        "| units in the window | µs per unit, filling it | µs per further label |",
        "|---|---|---|",
        *(f"| {r['units']:,} | {r['us_per_unit_filled']:,} | {r[label]:,} |" for r in found["processor"]),
        "",
        "| bytes | |",
        "|---|---|",
        *(f"| {name} | {size:,} |" for name, size in found["bytes"].items()),
    ]
    print("\n".join(lines))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "agreement.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (RESULTS / "agreement.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
