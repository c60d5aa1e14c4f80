"""`make bench-drift`: what the statistics of drift cost, and how soon the e-detector finds a change beside river's detectors.

Delays: every detector, ours too, is calibrated on the same coins (losses of 0 and 1, one in ten a 1) to the same average run length, and then
measured on coins of other shares, where a declared rate should hold, and on changes after 500 losses. Ours is also shown as it is declared,
which needs no calibration: a contract, where the others have a parameter. Cost: CPU time per update and bytes of state per key.
Prints, and writes bench/results/drift.{md,json}.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from machine import machine
from pydantic import TypeAdapter

from trueloop import drift
from trueloop.drift.embedding_window import add as add_embeddings
from trueloop.drift.histogram import add as add_values
from trueloop.drift.loss_window import extend
from trueloop.events import DriftState

HERE = Path(__file__).parent
RUNS, WARM, AFTER, CONTROL = 100, 500, 3000, 6000
CONTROLS = (0.05, 0.1, 0.3, 0.5)
CHANGES = ((0.1, 0.2), (0.1, 0.3), (0.3, 0.5))


@dataclass(frozen=True)
class Asked:
    """What our detector is asked for."""

    arl_target: float
    reference_size: int = 200
    tolerance: float = 0.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--river", type=Path, default=Path("build/river/bin/python"), help="Python of the environment that has river")
    parser.add_argument("--run-length", type=float, default=2000.0, help="average run length to which all are calibrated")
    parser.add_argument("--out", type=Path, default=Path("bench/results/drift"))
    options = parser.parse_args()
    rows = streams()
    found = ours(rows, options.run_length)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "losses.npz"
        np.savez(path, **rows)
        command = [str(options.river), str(HERE / "cases" / "river_drift.py"), str(path), str(options.run_length)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    found |= json.loads(done.stdout)
    write({name: row(answer) for name, answer in found.items()}, costs(), options.run_length, options.out)


def streams() -> dict[str, Any]:
    """Return losses, (runs, length), by name."""
    rng = np.random.default_rng(1)
    rows: dict[str, Any] = {f"control {share}": (rng.random((RUNS, CONTROL)) < share).astype(np.uint8) for share in CONTROLS}
    for before, after in CHANGES:
        level = np.concatenate((np.full(WARM, before), np.full(AFTER, after)))
        rows[f"{before} to {after}"] = (rng.random((RUNS, WARM + AFTER)) < level).astype(np.uint8)
    return rows


def first_alarms(rows: Any, asked: Asked) -> list[int | None]:
    """Return which loss of each row raised our first alarm, from 1; None when none did."""
    found: list[int | None] = []
    for losses in rows.astype(float):
        _, changes = drift.update_batch(drift.Detector(), losses, None, asked)
        found.append(next((change.count for change in changes if change.detector.state is DriftState.ALARM), None))
    return found


def run_length(alarms: list[int | None], length: int) -> float:
    """Return losses per alarm."""
    return sum(at or length for at in alarms) / max(sum(at is not None for at in alarms), 1)


def ours(rows: dict[str, Any], target: float) -> dict[str, Any]:
    """Return what our detector does: as declared, and calibrated like the others, with references of 200 and of 400 losses."""
    answers = {f"e-detector, declared {target:,.0f}": answer(rows, Asked(target))}
    for size in (200, 400):
        low, high = 1.5, target
        for _ in range(12):
            middle = (low * high) ** 0.5
            alarms = first_alarms(rows["control 0.1"], Asked(middle, size))
            low, high = (middle, high) if run_length(alarms, CONTROL) < target else (low, middle)
        answers[f"e-detector, reference of {size} (declared run length)"] = answer(rows, Asked(high, size))
    return answers


def answer(rows: dict[str, Any], asked: Asked) -> dict[str, Any]:
    """Return the alarms of one setting, and the CPU time per loss."""
    started = time.process_time()
    alarms = {name: first_alarms(losses, asked) for name, losses in rows.items()}
    return {"parameter": asked.arl_target, "alarms": alarms, "us_per_loss": (time.process_time() - started) / sum(map(np.size, rows.values())) * 1e6}


def row(answer: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of a detector: run lengths in control, and of each change the median delay and the share that was found."""
    figures: dict[str, Any] = {"parameter": answer["parameter"], "us_per_loss": answer["us_per_loss"]}
    for share in CONTROLS:
        alarms = answer["alarms"][f"control {share}"]
        figures[f"run length at {share}"] = run_length(alarms, CONTROL) if any(alarms) else None
    for before, after in CHANGES:
        delays = [None if at is None else at - WARM for at in answer["alarms"][f"{before} to {after}"] if at is None or at > WARM]
        seen = sorted(delay if delay is not None else AFTER + 1 for delay in delays)
        middle = seen[len(seen) // 2] if seen else AFTER + 1
        figures[f"{before} to {after}"] = {
            "median_delay": middle if middle <= AFTER else None,
            "found": sum(d is not None for d in delays) / max(len(delays), 1),
        }
    return figures


def cpu_us(call: Callable[[], Any], units: int) -> float:
    """Return the median of five CPU times per unit, in microseconds."""
    times = []
    for _ in range(5):
        started = time.process_time()
        call()
        times.append((time.process_time() - started) / units * 1e6)
    return statistics.median(times)


def costs() -> list[dict[str, Any]]:
    """Return what each statistic costs: microseconds per unit, and bytes of state as it is stored."""
    rng = np.random.default_rng(2)
    coins, asked = (rng.random(20_000) < 0.1).astype(float), Asked(10_000.0)
    scores, values = rng.random(20_000), rng.lognormal(6, 1, 20_000)
    matrix = rng.normal(size=(2000, 384)).astype(np.float32)
    detector = drift.update_batch(drift.Detector(), coins[:5000], "v1", asked)[0]
    smooth = drift.update_batch(drift.Detector(), scores[:5000], "v1", asked)[0]
    histogram, window = add_values(drift.Histogram(), values), add_embeddings(drift.EmbeddingWindow(), matrix)
    reference = add_embeddings(drift.reference_window(), matrix)

    def singly() -> None:
        state = detector
        for loss in coins[:2000].tolist():
            state = drift.update(state, loss, "v1", asked)

    pair = extend(drift.LossWindow(), coins[:500].tolist()), extend(drift.LossWindow(), coins[500:1000].tolist())
    cases: list[tuple[str, str, Callable[[], Any], int, Any]] = [
        ("e-detector, one loss at a time", "loss", singly, 2000, detector),
        ("e-detector, batches of 20 000 coins", "loss", lambda: drift.update_batch(detector, coins, "v1", asked), 20_000, detector),
        ("e-detector, batches of 20 000 scores", "loss", lambda: drift.update_batch(smooth, scores, "v1", asked), 20_000, smooth),
        ("histogram, batches of 20 000", "value", lambda: add_values(histogram, values), 20_000, histogram),
        ("embedding window, batches of 2 000", "embedding", lambda: add_embeddings(window, matrix), 2000, window),
        ("embedding reference, batches of 2 000", "embedding", lambda: add_embeddings(reference, matrix), 2000, reference),
        ("population_stability_index with band", "comparison", lambda: drift.population_stability_index(histogram, histogram), 1, None),
        ("jensen_shannon_divergence with band", "comparison", lambda: drift.jensen_shannon_divergence(histogram, histogram), 1, None),
        ("wasserstein_distance with band", "comparison", lambda: drift.wasserstein_distance(histogram, histogram), 1, None),
        ("maximum_mean_discrepancy with band", "comparison", lambda: drift.maximum_mean_discrepancy(reference, window), 1, None),
        ("two_sample_e_value", "comparison", lambda: drift.two_sample_e_value(*pair), 1, None),
        ("e_benjamini_hochberg of 1 000", "e-value", lambda: drift.e_benjamini_hochberg(scores[:1000].tolist()), 1000, None),
        ("betting_confidence_sequence", "value", lambda: drift.betting_confidence_sequence(coins[:2000]), 2000, None),
    ]
    for _, _, call, _, _ in cases:
        call()  # features and random numbers are hashed once per process
    return [
        {"statistic": name, "unit": unit, "cpu_us": cpu_us(call, units), "bytes": None if state is None else len(TypeAdapter(type(state)).dump_json(state))}
        for name, unit, call, units, state in cases
    ]


def write(detectors: dict[str, Any], cost: list[dict[str, Any]], target: float, out: Path) -> None:
    """Print the tables and write them."""
    changes = [f"{before} to {after}" for before, after in CHANGES]
    lines = [
        f"# Drift\n\n{machine()}\n",
        f"## Detection delay at equal run length\n\nCalibrated to {target:,.0f} losses per alarm on coins of 0.1; {RUNS} runs, cut at {CONTROL:,}. "
        f"Delay: median losses after the change, with the share of runs in which it was found within {AFTER:,}; runs that alarmed before it do not count.\n",
        "| detector | parameter | µs/loss | " + " | ".join(f"run length at {share}" for share in CONTROLS) + " | " + " | ".join(changes) + " |",
        "|---" * (3 + len(CONTROLS) + len(changes)) + "|",
    ]
    for name, figures in detectors.items():
        lengths = [f"{figures[f'run length at {share}']:,.0f}" if figures[f"run length at {share}"] else f"> {RUNS * CONTROL:,}" for share in CONTROLS]
        delays = [
            f"{'> ' + str(AFTER) if figures[change]['median_delay'] is None else figures[change]['median_delay']} ({figures[change]['found']:.0%})"
            for change in changes
        ]
        lines.append(f"| {name} | {figures['parameter']:.3g} | {figures['us_per_loss']:.2f} | {' | '.join(lengths)} | {' | '.join(delays)} |")
    lines += ["\n## Cost\n\nCPU time, median of five; state as JSON.\n", "| statistic | CPU | bytes per key |", "|---|---|---|"]
    lines += [f"| {each['statistic']} | {each['cpu_us']:,.2f} µs per {each['unit']} | {each['bytes'] or ''} |" for each in cost]
    text = "\n".join(lines) + "\n"
    print(text)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".md").write_text(text)
    out.with_suffix(".json").write_text(json.dumps({"machine": machine(), "run_length": target, "detectors": detectors, "cost": cost}, indent=1) + "\n")


if __name__ == "__main__":
    main()
