"""Columns as people have them: a list, an array, a series, or the name of a column in a data frame."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

Column = Iterable[Any] | str
"""Values, or the name of a column of `data`. A data frame is whatever gives a column for its name: pandas, polars, pyarrow, a dictionary of lists."""

_NO_VALUE = frozenset({"NAType", "NaTType"})
"""Names of the types by which data frames mark a missing value; named, because the core imports no data frame."""


def cells(column: Column, data: Any = None) -> list[Any]:
    """Return the values of a column; None where one is missing.

    Raises:
        ValueError: The column is a name, but `data` has no such column or is not given.

    >>> cells("score", {"score": [1, None, float("nan")]})
    [1, None, None]
    """
    if isinstance(column, str):
        if data is None:
            raise ValueError(f"column {column!r} is a name, but data is not given: give data, or the values themselves")
        try:
            column = data[column]
        except KeyError:
            raise ValueError(f"data has no column {column!r}") from None
    for method in ("to_pylist", "tolist", "to_list"):
        if hasattr(column, method):
            column = getattr(column, method)()
            break
    return [None if _missing(value) else value for value in column]


def rating_columns(units: Any, raters: Column | None, values: Column | None, data: Any) -> dict[str, list[Any]]:
    """Return the cells of 'units', 'raters' and 'values'; `units` may be a data frame with the columns 'unit', 'rater' and 'value' instead.

    Raises:
        ValueError: Raters or values are missing.

    >>> rating_columns({"unit": [1], "rater": ["ada"], "value": [5]}, None, None, None)
    {'units': [1], 'raters': ['ada'], 'values': [5]}
    """
    if raters is None and values is None and data is None:
        units, raters, values, data = "unit", "rater", "value", units
    if raters is None or values is None:
        raise ValueError("raters and values are not both given; give three columns, or a data frame with the columns 'unit', 'rater' and 'value'")
    return {"units": cells(units, data), "raters": cells(raters, data), "values": cells(values, data)}


def numbers(column: Column, data: Any = None, *, name: str) -> list[float | None]:
    """Return a column of numbers; None where one is missing.

    Raises:
        ValueError: A value is no finite number. Names the column and the row, counted from 0, but not the value, which may be human text.

    >>> numbers([True, 0.5, None], name="values")
    [1.0, 0.5, None]
    """
    found: list[float | None] = []
    for row, value in enumerate(cells(column, data)):
        number = None
        if value is not None:
            number = math.inf if isinstance(value, str | bytes) else _float(value)
            if not math.isfinite(number):
                raise ValueError(f"{name}[{row}] is a {type(value).__name__} that is no finite number; expected one, or nothing (None, NaN)")
        found.append(number)
    return found


def aligned(**columns: Sequence[Any]) -> int:
    """Return the common length of columns. Raises ValueError, naming them, when their lengths differ.

    >>> aligned(values=[1, 2], probabilities=[0.5, 0.5])
    2
    """
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns differ in length: {lengths}; expected one row per unit in each")
    return next(iter(lengths.values()), 0)


def _float(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.inf


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value)) or type(value).__name__ in _NO_VALUE
