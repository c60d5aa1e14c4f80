"""The table of faults: printed at the end of a run, and written with machine and versions."""

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.faults.reconciler import Reconciliation

PACKAGES = ("trueloop", "faust-streaming", "aiokafka", "confluent-kafka", "fastavro", "chdb")
HEAD = ("fault", "events in", "rows once", "dead letters", "lost", "double", "other", "recovery s", "on", "notes")


@dataclass
class Row:
    """A fault. `recovery_s` are the seconds from its end until all that the brokers held then was processed and in ClickHouse; `on` is the day."""

    fault: str
    events_in: int
    rows_once: int
    dead_letters: int
    lost: int
    double: int
    other: int
    recovery_s: float | None
    on: str
    notes: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)


class Table:
    """The faults of a run."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def add(self, fault: str, found: Reconciliation, recovery_s: float | None, notes: str = "", **figures: Any) -> None:
        """Add a fault, and hold it to the promise: nothing lost, nothing doubled, nothing else amiss."""
        recovery = None if recovery_s is None else round(recovery_s, 1)
        counted = (found.events_in, found.rows_once, found.dead_letters, found.lost, found.double, found.wrong)
        self.rows.append(Row(fault, *counted, recovery, datetime.now(UTC).date().isoformat(), notes, figures))
        assert found.events_in > 0, "nothing was sent, so nothing was tested"
        assert found.clean, "\n".join(found.findings)

    def _kept(self, path: Path) -> list[Row]:
        before = json.loads(path.read_text(encoding="utf-8"))["faults"] if path.is_file() else []
        fresh = {row.fault for row in self.rows}
        return [Row(**row) for row in before if row["fault"] not in fresh]

    def lines(self) -> list[str]:
        """Return the table as Markdown."""
        cells = [
            (r.fault, f"{r.events_in:,}", f"{r.rows_once:,}", f"{r.dead_letters:,}", str(r.lost), str(r.double), str(r.other),
             "-" if r.recovery_s is None else f"{r.recovery_s:.1f}", r.on, r.notes)
            for r in self.rows
        ]  # fmt: skip
        widths = [max(len(row[column]) for row in (HEAD, *cells)) for column in range(len(HEAD))]
        aligned = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:-1]), "-" * widths[-1]]

        def line(row: tuple[str, ...]) -> str:
            middle = [cell.rjust(width) for cell, width in zip(row[1:-1], widths[1:-1], strict=True)]
            return "| " + " | ".join([row[0].ljust(widths[0]), *middle, row[-1].ljust(widths[-1])]) + " |"

        return [line(HEAD), "| " + " | ".join(aligned) + " |", *map(line, cells)]

    def write(self, directory: Path) -> None:
        """Write faults.json and faults.md. A fault that was not run this time keeps the row of the time before: the whole takes some 40 minutes."""
        self.rows = [*self._kept(directory / "faults.json"), *self.rows]
        machine = {"cpus": os.cpu_count(), "platform": platform.platform(), "python": platform.python_version()}
        versions = {name: version(name) for name in PACKAGES}
        directory.mkdir(parents=True, exist_ok=True)
        content = {"machine": machine, "versions": versions, "faults": [asdict(row) for row in self.rows]}
        (directory / "faults.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        about = ", ".join(f"{name} {number}" for name, number in versions.items())
        text = [
            "# Faults", "", "Written by `make test-faults`. Events in: source records of the run that the brokers hold, good and bad. Rows once: rows that the",
            "events call for, over all derived topics, tables and views, that are there exactly once. Dead letters: refused records that are",
            "there exactly once. Other: values that differ, and rows that nothing calls for. Recovery: seconds from the end of the fault (of the",
            "last one, where there are many) until all that the brokers held then was processed and in ClickHouse.", "",
            *self.lines(), "", f"{machine['cpus']} cores, {machine['platform']}, Python {machine['python']}; {about}.", "",
        ]  # fmt: skip
        (directory / "faults.md").write_text("\n".join(text), encoding="utf-8")
