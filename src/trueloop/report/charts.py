"""Charts as SVG inside the page: drawn by hand, so that the page needs no library, no font and no network. Colours are those of the page's style."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape
from math import ceil, floor, log10

from trueloop.report.wording import moment

_WIDTH, _HEIGHT = 380, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 10, 10, 26
_SIDESTEP = 4.0
"""Pixels between lines that have points at the same time."""
_LABELS, _ROW = 210, 24


@dataclass(frozen=True, slots=True)
class Point:
    """An estimate at a time. Without a value it is drawn as a cross at the bottom; `says` is shown to who points at it."""

    at: datetime
    value: float | None
    low: float | None
    high: float | None
    says: str
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """Points of one statistic, by time; `style` is its class in the page's style."""

    name: str
    style: str
    points: Sequence[Point]


@dataclass(frozen=True, slots=True)
class Bar:
    """An estimate with its bounds in a row of its own; `mark` is what it is held against. `says` stands at its end."""

    label: str
    value: float | None
    low: float | None
    high: float | None
    says: str
    tone: str = ""
    mark: float | None = None


def over_time(title: str, lines: Sequence[Line], *, bounds: tuple[float, float], threshold: float | None = None) -> str:
    """Return a chart of lines over time with their intervals.

    Args:
        title: What it shows, for who cannot see it.
        lines: At least one with at least one point.
        bounds: The values that must be visible; the axis reaches further where an estimate does.
        threshold: Where a dashed line is drawn.
    """
    values = [value for line in lines for point in line.points for value in (point.value, point.low, point.high) if value is not None]
    values += [*bounds, *([] if threshold is None else [threshold])]
    vertical = _Axis.of(min(values), max(values), _HEIGHT - _BOTTOM, _TOP)
    times = [point.at for line in lines for point in line.points]
    first, last = min(times), max(times)
    # A point at the very edge would be cut, and a single one has no width to be drawn over.
    margin = max((last - first) * 0.04, timedelta(minutes=1))
    horizontal = _Axis((first - margin).timestamp(), (last + margin).timestamp(), _LEFT, _WIDTH - _RIGHT)
    parts = [*_grid(vertical), *_times(first, last, horizontal)]
    if threshold is not None:
        y = vertical.place(threshold)
        parts.append(f'<line class="threshold" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
    for number, line in enumerate(lines):
        shift = (number - (len(lines) - 1) / 2) * _SIDESTEP
        parts += _line(line, horizontal, vertical, shift)
    return _svg(title, _WIDTH, _HEIGHT, parts)


def forest(title: str, bars: Sequence[Bar], *, bounds: tuple[float, float] = (0.0, 1.0)) -> str:
    """Return estimates with their bounds, a row each, on one axis."""
    values = [value for bar in bars for value in (bar.value, bar.low, bar.high, bar.mark) if value is not None]
    width, height = 2 * _WIDTH, _ROW * len(bars) + _BOTTOM + 6
    axis = _Axis.of(min([*values, bounds[0]]), max([*values, bounds[1]]), _LABELS + 10, width - _LABELS)
    parts = []
    for tick in axis.ticks():
        x = axis.place(tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="2" y2="{height - _BOTTOM}"/>')
        parts.append(f'<text class="tick" text-anchor="middle" x="{x:.1f}" y="{height - 9}">{tick:g}</text>')
    for number, bar in enumerate(bars):
        parts += _bar(bar, axis, 4 + _ROW * (number + 0.5), width)
    return _svg(title, width, height, parts)


@dataclass(frozen=True, slots=True)
class _Axis:
    """An axis from one value to another, at pixels."""

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def of(cls, low: float, high: float, start: float, end: float) -> "_Axis":
        """Return an axis that begins and ends with a tick."""
        step = _step(low, high)
        return cls(floor(low / step + 1e-9) * step, max(ceil(high / step - 1e-9), floor(low / step + 1e-9) + 1) * step, start, end)

    def place(self, value: float) -> float:
        """Return the pixel of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self) -> Iterator[float]:
        """Yield round values from one end to the other."""
        step = _step(self.low, self.high)
        for number in range(round((self.high - self.low) / step) + 1):
            yield round(self.low + number * step, 9)


def _step(low: float, high: float) -> float:
    """Return a round step that cuts a range into two to five parts, roughly.

    >>> _step(0.0, 1.0), _step(-0.07, 1.0), _step(0.0, 13.0)
    (0.25, 0.25, 5.0)
    """
    rough = max(high - low, 1e-6) / 5
    power = 10.0 ** floor(log10(rough))
    return float(next(step * power for step in (1, 2.5, 5, 10) if step * power >= rough * (1 - 1e-9)))


def _grid(vertical: _Axis) -> Iterator[str]:
    for tick in vertical.ticks():
        y = vertical.place(tick)
        yield f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text class="tick" text-anchor="end" x="{_LEFT - 5}" y="{y + 3.5:.1f}">{tick:g}</text>'


def _times(first: datetime, last: datetime, horizontal: _Axis) -> Iterator[str]:
    y = _HEIGHT - 8
    if last - first < timedelta(minutes=1):
        yield f'<text class="tick" text-anchor="middle" x="{horizontal.place(first.timestamp()):.1f}" y="{y}">{moment(first)}</text>'
        return
    short = last - first < timedelta(days=2)
    for at, anchor, x in ((first, "start", _LEFT), (last, "end", _WIDTH - _RIGHT)):
        text = moment(at)
        yield f'<text class="tick" text-anchor="{anchor}" x="{x}" y="{y}">{text if short else text[:10]}</text>'


def _line(line: Line, horizontal: _Axis, vertical: _Axis, shift: float) -> Iterator[str]:
    yield f'<g class="{line.style}">'
    run: list[str] = []
    for point in [*line.points, None]:
        if point is None or point.value is None:
            if len(run) > 1:
                yield f'<polyline points="{" ".join(run)}"/>'
            run = []
        else:
            run.append(f"{horizontal.place(point.at.timestamp()) + shift:.1f},{vertical.place(point.value):.1f}")
    for point in line.points:
        x = horizontal.place(point.at.timestamp()) + shift
        yield f'<g class="{point.tone}"><title>{escape(point.says)}</title>' if point.tone else f"<g><title>{escape(point.says)}</title>"
        if point.value is None:
            yield f'<path class="none" d="M{x - 3:.1f} {_HEIGHT - _BOTTOM - 7} l6 6 m0 -6 l-6 6"/>'
        else:
            if point.low is not None and point.high is not None:
                top, bottom = vertical.place(point.high), vertical.place(point.low)
                yield f'<path class="interval" d="M{x:.1f} {top:.1f} V{bottom:.1f} M{x - 3:.1f} {top:.1f} h6 M{x - 3:.1f} {bottom:.1f} h6"/>'
            yield f'<circle cx="{x:.1f}" cy="{vertical.place(point.value):.1f}" r="2.6"/>'
        yield "</g>"
    yield "</g>"


def _bar(bar: Bar, axis: _Axis, y: float, width: int) -> Iterator[str]:
    label, says = (text if len(text) <= most else f"{text[: most - 1]}…" for text, most in ((bar.label, 34), (bar.says, 36)))
    yield f'<g class="{bar.tone or "plain"}"><title>{escape(f"{bar.label}: {bar.says}")}</title>'
    yield f'<text class="label" text-anchor="end" x="{_LABELS}" y="{y + 4:.1f}">{escape(label)}</text>'
    yield f'<text class="{"says" if bar.value is not None else "says none"}" x="{width - _LABELS + 12}" y="{y + 4:.1f}">{escape(says)}</text>'
    if bar.mark is not None:
        x = axis.place(bar.mark)
        yield f'<line class="threshold" x1="{x:.1f}" x2="{x:.1f}" y1="{y - 9:.1f}" y2="{y + 9:.1f}"/>'
    if bar.value is not None:
        if bar.low is not None and bar.high is not None:
            left, right = axis.place(bar.low), axis.place(bar.high)
            yield f'<path class="interval" d="M{left:.1f} {y:.1f} H{right:.1f} M{left:.1f} {y - 4:.1f} v8 M{right:.1f} {y - 4:.1f} v8"/>'
        yield f'<circle cx="{axis.place(bar.value):.1f}" cy="{y:.1f}" r="3.6"/>'
    yield "</g>"


def _svg(title: str, width: int, height: int, parts: Sequence[str]) -> str:
    return f'<svg role="img" viewBox="0 0 {width} {height}" aria-label="{escape(title)}">{"".join(parts)}</svg>'
