"""One estimate per slice."""

from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

from trueloop.estimates.frame import Column, aligned, cells

R = TypeVar("R")


def by_slice(estimator: Callable[..., R], slices: Column, columns: Mapping[str, Column], *, data: Any = None, **options: Any) -> dict[Hashable, R]:
    """Return an estimate per slice, in the order in which slices are first seen.

    Args:
        estimator: A function of this room, such as `hajek`.
        slices: Slice of each unit; units without one are left out.
        columns: The estimator's columns by the name of its argument.
        data: Data frame; then columns may be given by name.
        options: What else the estimator takes, such as `scale`.

    Raises:
        ValueError: As the estimator does, and when columns differ in length.

    >>> from trueloop.estimates import hajek
    >>> found = by_slice(hajek, ["de", "fr", "de"], {"values": [1, 0, 0], "probabilities": [1, 1, 1]})
    >>> {name: estimate.value for name, estimate in found.items()}
    {'de': 0.5, 'fr': 0.0}
    """
    names = cells(slices, data)
    values = {argument: cells(column, data) for argument, column in columns.items()}
    aligned(slices=names, **values)
    rows: dict[Hashable, list[int]] = {}
    for row, name in enumerate(names):
        if name is not None:
            rows.setdefault(name, []).append(row)
    return {name: estimator(**{argument: [column[row] for row in chosen] for argument, column in values.items()}, **options) for name, chosen in rows.items()}
