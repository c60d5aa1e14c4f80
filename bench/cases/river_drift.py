"""river's drift detectors on given losses, in an environment of their own: called by bench/drift.py, prints JSON.

Each detector has one parameter, which is searched so that on control losses an alarm comes as often as asked for; everything else is river's
default, but for one-sidedness where it is offered. KSWIN is left out: at a third of a millisecond per loss it cannot be calibrated in
reasonable time, and it is made for continuous values. EDDM has no parameter that reaches a run length of thousands.
"""

import json
import sys
import time
from collections.abc import Callable
from math import exp, log
from typing import Any

import numpy as np
from river import drift
from river.drift import binary

Make = Callable[[float], Any]
DETECTORS: dict[str, tuple[Make, float, float]] = {
    "ADWIN (delta)": (lambda value: drift.ADWIN(delta=value), 1e-12, 0.9),
    "Page-Hinkley (threshold)": (lambda value: drift.PageHinkley(threshold=1.0 / value, mode="up"), 1e-4, 1.0),
    "HDDM-A (drift confidence)": (lambda value: binary.HDDMA(drift_confidence=value), 1e-12, 0.9),
    "HDDM-W (drift confidence)": (lambda value: binary.HDDMW(drift_confidence=value), 1e-12, 0.9),
    "DDM (drift threshold)": (lambda value: binary.DDM(drift_threshold=1.0 / value), 0.05, 1.0),
    "FHDDM (confidence level)": (lambda value: binary.FHDDM(confidence_level=value), 1e-12, 0.9),
}
"""How to make each from a value that alarms the more often the larger it is, and the least and largest value to search."""
STEPS = 14


def first_alarms(make: Make, value: float, rows: Any) -> list[int | None]:
    """Return, per row of losses, which loss raised the first alarm, from 1; None when none did."""
    found: list[int | None] = []
    for row in rows:
        detector, at = make(value), None
        for count, loss in enumerate(row.tolist(), 1):
            detector.update(loss)
            if detector.drift_detected:
                at = count
                break
        found.append(at)
    return found


def run_length(alarms: list[int | None], length: int) -> float:
    """Return losses per alarm: the average run length of runs that are cut at `length`, when alarms come at any time alike."""
    return sum(at or length for at in alarms) / max(sum(at is not None for at in alarms), 1)


def calibrated(make: Make, low: float, high: float, rows: Any, target: float) -> float:
    """Return the value whose run length is the target, by bisection on its logarithm."""
    for _ in range(STEPS):
        middle = exp((log(low) + log(high)) / 2)
        if run_length(first_alarms(make, middle, rows), rows.shape[1]) < target:
            high = middle
        else:
            low = middle
    return low


def main(path: str, target: float) -> None:
    """Calibrate each detector on 'control 0.1' and print what it does on all rows of the file."""
    rows = np.load(path)
    answers = {}
    for name, (make, low, high) in DETECTORS.items():
        value = calibrated(make, low, high, rows["control 0.1"], target)
        started = time.process_time()
        alarms = {key: first_alarms(make, value, rows[key]) for key in rows.files}
        losses = sum(at or rows[key].shape[1] for key, found in alarms.items() for at in found)
        shown = 1.0 / value if "threshold" in name else value
        answers[name] = {"parameter": shown, "alarms": alarms, "us_per_loss": (time.process_time() - started) / losses * 1e6}
    print(json.dumps(answers))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
