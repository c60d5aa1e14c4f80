"""The metrics of a run by step, as JSON lines: written while it trains, read for plots."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

POINTS = 2000
"""Points of the longest curve: a run of more steps leaves steps out, evenly."""


class CurveWriter:
    """Appends to the curve of one attempt. A run that resumes writes the steps anew; readers take what was written last."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, step: int, total_steps: int, metrics: Mapping[str, float], seconds: float) -> None:
        """Write a step, unless it is one that is left out or has no metrics. A number that is not finite is written as null."""
        if not metrics or (step % max(1, -(-total_steps // POINTS)) and step != total_steps):
            return
        values = {name: float(value) if math.isfinite(value) else None for name, value in metrics.items()}
        with self._path.open("a", encoding="utf-8") as writer:
            writer.write(json.dumps({"step": step, "total_steps": total_steps, "seconds": round(seconds, 3), "metrics": values}) + "\n")


def read_curve(path: Path) -> list[dict[str, Any]]:
    """Return the points by step; none when there is no file. A line that was cut by kill -9 is passed over."""
    points: dict[int, dict[str, Any]] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    for line in lines:
        try:
            point = json.loads(line)
            points[int(point["step"])] = point
        except (ValueError, KeyError, TypeError):
            continue
    return [points[step] for step in sorted(points)]
