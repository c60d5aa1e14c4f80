"""What a trace costs in the workers of drift: CPU time in profiles, drift and distributions, bytes that they write, and bytes of state per series.

`python bench/drift_workers.py`; prints, and writes bench/results/drift_workers.md. No broker: bytes of traces in, events out, as in the workers.
"""

import struct
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from machine import machine
from trueloop.streams.screening import screened

from trueloop.codec import Codec
from trueloop.events import Consent, DriftObservations, DriftValues, Event, Message, Role, Trace
from trueloop.processors import distributions, drift, profiles, sampling
from trueloop.processors.processor import Context, Processor, Source
from trueloop.rubrics import Governance, Policy, Rubric
from trueloop.rubrics.publication import policy_event, rubric_event
from trueloop.testing import MemoryRegistry
from trueloop.topics import TRACES, topic_of

START = datetime(2026, 1, 1, tzinfo=UTC)
N, BATCH, REPEATS = 12_000, 1000, 2
DIMENSION = {"name": "tone", "description": "-", "scale": {"min": 1, "max": 5}}
RUBRIC = {"id": "bench", "version": 1, "title": "Bench", "statement": "-", "dimensions": [DIMENSION]}
CODEC = Codec(MemoryRegistry())


def main() -> None:
    """Measure and print."""
    lines = ["# Drift in the workers", "", machine(), ""]
    lines += [
        f"{N:,} traces, one partition, batches of {BATCH:,}; one slice of two values; CPU time per trace, the best of {REPEATS}. Windows of 500.", "",
        "| share | embedding | bytes of a trace | sampling (for comparison), us | profiles, us | drift (errors, one limit, one score), us | distributions, us "
        "| bytes out per trace | state per series: losses, numbers, embeddings |",
        "|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for share in (0.0, 0.1, 1.0):
        for embedded in (False, True):
            lines.append(row(share, embedded))
            print(lines[-1], flush=True)
    Path("bench/results/drift_workers.md").write_text("\n".join(lines) + "\n")


def row(share: float, embedded: bool) -> str:
    """Return a line of the table."""
    values, context = [CODEC.encode(TRACES, trace) for trace in traces(embedded)], governed(share)
    (sampled, told), (profiled, described) = (screen_all(each, values, context) for each in (sampling.PROCESSOR, profiles.PROCESSOR))
    losses, numbers = ([event for event in (*told, *described) if isinstance(event, kind)] for kind in (DriftObservations, DriftValues))
    (counted, loss_states), (compared, value_states) = step_all(drift.PROCESSOR, losses, context), step_all(distributions.PROCESSOR, numbers, context)
    out = sum(len(CODEC.encode(topic_of(event), event)) for event in described) / N
    metric = {event.series_id: event.metric for event in numbers}
    sizes = [loss_states.values(), *([size for key, size in value_states.items() if (metric[key] == "embedding") is wanted] for wanted in (False, True))]
    shown = ", ".join(f"{max(size):,}" if size else "-" for size in map(list, sizes))
    times = " | ".join(f"{seconds / N * 1e6:.1f}" for seconds in (sampled, profiled, counted, compared))
    return f"| {share:g} | {'yes' if embedded else 'no'} | {sum(map(len, values)) / N:,.0f} | {times} | {out:,.0f} | {shown} |"


def traces(embedded: bool) -> list[Trace]:
    """Return traces of one application whose numbers scatter as they do in production."""
    rng = np.random.default_rng(1)
    latency, tokens, words = rng.lognormal(6, 0.5, N), rng.integers(1, 300, N), rng.integers(5, 120, N)
    return [
        Trace(
            event_id=f"e{number}", occurred_at=START + timedelta(seconds=number), application="bench", trace_id=f"trace-{number}", model="m", checkpoint="v1",
            slices={"locale": "de" if number % 2 else "en"}, latency_ms=float(latency[number]), prompt_tokens=100, completion_tokens=int(tokens[number]),
            scores={"judge": 0.5}, consent=Consent.TRAINING, messages=[Message(role=Role.USER, content="What do I owe? " * 10)],
            completion="answer " * int(words[number]), embedding=struct.pack("<384f", *rng.normal(size=384)) if embedded else None,
            embedding_model="e" if embedded else None,
        )
        for number in range(N)
    ]  # fmt: skip


def governed(share: float) -> Context:
    """Return what is in force."""
    policy = {
        "id": "bench", "version": 1, "application": "bench", "rubric": {"id": "bench", "version": 1}, "sampling": {"rate": 0.02},
        "drift": {"slices": ["locale"], "limits": [{"metric": "latency_ms", "above": 2000}], "profiles": {"share": share}},
        "gate": {"dimensions": [{"dimension": "tone", "evaluator": "check:bench"}]},
    }  # fmt: skip
    before = START - timedelta(days=1)
    return Context(Governance([rubric_event(Rubric.model_validate(RUBRIC), before)], [policy_event(Policy.model_validate(policy), before)]), "key")


def screen_all(processor: Processor, values: list[bytes], context: Context) -> tuple[float, list[Event]]:
    """Return CPU seconds of screening everything, and the events that came of it."""

    def run() -> list[Event]:
        out: list[Event] = []
        for first in range(0, N, BATCH):
            records: Any = [SimpleNamespace(value=value, offset=first + place) for place, value in enumerate(values[first : first + BATCH])]
            batch: Any = SimpleNamespace(records=records, partition=0)
            out += screened(processor.screen, CODEC, TRACES, batch, context=context, decode=lambda _: None)[0].out  # type: ignore[arg-type]
        return out

    return best(run)


def step_all(processor: Processor, events: list[Any], context: Context) -> tuple[float, dict[str, int]]:
    """Return CPU seconds of stepping through events, states dumped once per batch as the shell does, and the sizes of the states."""

    def run() -> dict[str, int]:
        states: dict[str, Any] = {}
        sizes: dict[str, int] = {}
        for offset, event in enumerate(events):
            step = processor.step(states.get(event.series_id), event, source=Source("bench", 0, offset), now=START, final=False, context=context)
            states[event.series_id] = step.state
            sizes[event.series_id] = len(processor.dump(step.state))
        return sizes

    return best(run)


def best(run: Callable[[], Any]) -> tuple[float, Any]:
    """Return the least CPU seconds of some runs, and what the last one gave."""
    seconds = []
    for _ in range(REPEATS):
        begun = time.process_time()
        found = run()
        seconds.append(time.process_time() - begun)
    return min(seconds), found


if __name__ == "__main__":
    main()
