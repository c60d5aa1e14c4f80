"""A curve as lines of text, for terminals and logs."""

from collections.abc import Sequence


def text_plot(points: Sequence[tuple[float, float]], width: int = 60, height: int = 8) -> list[str]:
    """Return a plot of (x, y) points, x ascending; several in one column are averaged. Empty without two different x.

    >>> for line in text_plot([(1, 4.0), (2, 2.0), (3, 1.0), (4, 0.0)], width=4, height=3): print(line)
           4 |*
             | *
           0 |  **
             +----
              1  4
    """
    if len({x for x, _ in points}) < 2:
        return []
    low, high = points[0][0], points[-1][0]
    columns: dict[int, list[float]] = {}
    for x, y in points:
        columns.setdefault(round((x - low) / (high - low) * (width - 1)), []).append(y)
    means = {column: sum(found) / len(found) for column, found in columns.items()}
    bottom, top = min(means.values()), max(means.values())
    span = top - bottom or 1.0
    rows = {column: round((top - mean) / span * (height - 1)) for column, mean in means.items()}
    labels = {0: f"{top:.3g}", height - 1: f"{bottom:.3g}"}
    wide = max(8, *map(len, labels.values()))
    lines = [f"{labels.get(row, ''):>{wide}} |" + "".join("*" if rows.get(column) == row else " " for column in range(width)).rstrip() for row in range(height)]
    first, last = f"{low:g}", f"{high:g}"
    return [*lines, " " * wide + " +" + "-" * width, " " * (wide + 2) + first + last.rjust(width - len(first))]
