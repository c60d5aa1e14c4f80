"""The table of `trueloop top`."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.console import Group, RenderableType
from rich.text import Text

from trueloop.adapters.metrics.scrape import ProcessorReading
from trueloop.commands.output import printable
from trueloop.commands.top_rows import Spread, TopicRow, WorkerRow, loop_order

_GAP = "  "


class _Column(NamedTuple):
    """`spare` columns are left out of a narrow terminal, the highest first; 0 never is."""

    over: str
    heading: str
    spare: int = 0


_COLUMNS = (
    _Column("", "processor"),
    _Column("", "topic"),
    _Column("", "events/s"),
    _Column("", "lag"),
    _Column("batch", "p50", 1),
    _Column("batch", "p99", 2),
    _Column("end to", "end p50"),
    _Column("end to", "end p99"),
    _Column("dead", "letters"),
    _Column("rebal-", "ances", 3),
    _Column("", "state", 4),
)
_NAMES = 2
"""Columns that stand to the left; the others are figures."""
_DROPS = {
    "expired": "deleted by retention before they were read",
    "gap": "deleted by retention before they were read, or left by transactions",
}
_Cells = tuple[str, ...]


def render(workers: Sequence[WorkerRow], silent: Sequence[str], period: str, width: int, *, hint: bool) -> RenderableType:
    """Return the view, `width` characters wide. What must not be missed stands at the top: a short terminal shows no more.

    Args:
        workers: Those that answer.
        silent: What should answer and does not.
        period: What the quantiles are over.
        width: Columns that do not fit are left out.
        hint: Whether to name the key that leaves.
    """
    blocks = [(worker, [*_rows(worker)]) for worker in loop_order(workers, _first_processor)]
    heads = [tuple(column.over for column in _COLUMNS), tuple(column.heading for column in _COLUMNS)]
    widths = [max(map(len, cells)) for cells in zip(*heads, *(cells for _, rows in blocks for cells in rows), strict=True)]
    kept = _fitting(widths, width)
    lines = [_text(_title(workers, period, hint=hint), "dim")]
    lines += [_text(note, "yellow") for note in (*(f"{name} does not answer" for name in silent), *_notes(workers))]
    lines += [_line(cells, widths, kept, "bold") for cells in heads]
    for worker, rows in blocks:
        lines.append(_text(_worker(worker), "bold cyan"))
        lines += [_line(cells, widths, kept) for cells in rows]
    return Group(*lines)


def _title(workers: Sequence[WorkerRow], period: str, *, hint: bool) -> str:
    quiet = sum(row.is_quiet for worker in workers for row in worker.topics)
    parts = ["Ctrl-C leaves"] if hint else []
    parts += [f"quantiles {period}", "end to end: upper bounds"]
    return "; ".join([*parts, f"{quiet} quiet topics not shown"] if quiet else parts)


def _text(text: str, style: str) -> Text:
    return Text(printable(text), style=style, no_wrap=True, overflow="ellipsis")


def _fitting(widths: Sequence[int], width: int) -> list[int]:
    """Return the columns that fit, of those that may be left out the most important ones."""
    kept = list(range(len(widths)))
    while sum(widths[place] for place in kept) + len(_GAP) * (len(kept) - 1) > width:
        spare = max(kept, key=lambda place: _COLUMNS[place].spare)
        if not _COLUMNS[spare].spare:
            break
        kept.remove(spare)
    return kept


def _line(cells: _Cells, widths: Sequence[int], kept: Sequence[int], style: str = "") -> Text:
    aligned = (cells[place].ljust(widths[place]) if place < _NAMES else cells[place].rjust(widths[place]) for place in kept)
    return _text(_GAP.join(aligned).rstrip(), style)


def _first_processor(worker: WorkerRow) -> str:
    return next(iter(loop_order([*worker.processors, *(row.processor for row in worker.topics)], str)), "")


def _rows(worker: WorkerRow) -> Iterator[_Cells]:
    """Yield the lines of a worker: what is told of a processor as a whole stands in its first line only."""
    shown = [row for row in worker.topics if not row.is_quiet]
    for name in loop_order(dict.fromkeys([*(row.processor for row in shown), *worker.processors]), str):
        reading = worker.processors.get(name)
        whole = (name, _rebalances(reading), _state(reading))
        rows: list[TopicRow | None] = [row for row in shown if row.processor == name]
        for row in rows or [None]:
            processor, rebalances, state = whole
            yield (printable(processor), printable(row.topic) if row is not None else "", *_figures(row), rebalances, state)
            whole = ("", "", "")


def _worker(worker: WorkerRow) -> str:
    told = [worker.worker]
    if worker.cpu_share is not None:
        told.append(f"{worker.cpu_share:.0%} of a core")
    if worker.memory_bytes is not None:
        told.append(format_size(worker.memory_bytes))
    return _GAP.join(told)


def _figures(row: TopicRow | None) -> _Cells:
    if row is None:
        return ("",) * 7
    letters = sum(row.dead_letters.values())
    lag = "-" if row.lag is None else f"{row.lag:,}"
    return (format_rate(row.events_per_s), lag, *_spread(row.processing_s), *_spread(row.end_to_end_s), f"{letters:,}")


def _spread(spread: Spread) -> tuple[str, str]:
    if not spread.count:
        return "-", "-"
    over = "-" if spread.limit_s is None else f">{spread.limit_s:.0f} s"
    p50, p99 = (over if value is None else format_seconds(value) for value in (spread.p50, spread.p99))
    return p50, p99


def _rebalances(reading: ProcessorReading | None) -> str:
    return "-" if reading is None or reading.rebalances is None else f"{reading.rebalances:,}"


def _state(reading: ProcessorReading | None) -> str:
    if reading is None or reading.state_keys is None or reading.state_bytes is None:
        return "-"
    return f"{reading.state_keys:,} keys {format_size(reading.state_bytes)}"


def _notes(workers: Sequence[WorkerRow]) -> Iterator[str]:
    for worker in workers:
        for row in worker.topics:
            for reason, count in row.dropped.items():
                yield f"{row.processor} never saw {count:,} offsets of {row.topic}: {_DROPS.get(reason, reason)}"
        for name, reading in worker.processors.items():
            if reading.retries:
                yield f"{name} had to try {reading.retries:,} times more, because a service did not answer; see the log"


def format_rate(rate: float | None) -> str:
    """Return events per second.

    >>> format_rate(None), format_rate(0.25), format_rate(1234.5)
    ('-', '0.2', '1,234')
    """
    return "-" if rate is None else f"{rate:,.1f}" if rate < 100 else f"{rate:,.0f}"


def format_seconds(seconds: float) -> str:
    """Return a duration with the digits that its buckets can hold.

    >>> format_seconds(0.0046), format_seconds(0.143), format_seconds(1.648), format_seconds(31.2)
    ('4.6 ms', '143 ms', '1.6 s', '31 s')
    """
    if seconds < 1:
        return f"{seconds * 1000:.1f} ms" if seconds < 0.01 else f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def format_size(count: int) -> str:
    """Return a number of bytes.

    >>> format_size(0), format_size(900), format_size(3 * 1024**2 + 200_000)
    ('0 B', '900 B', '3.2 MiB')
    """
    size, units = float(count), ["B", "KiB", "MiB", "GiB"]
    while size >= 1024 and len(units) > 1:
        size /= 1024
        units.pop(0)
    return f"{size:.0f} {units[0]}" if units[0] == "B" else f"{size:.1f} {units[0]}"
