"""Values for tests: records of any Avro schema, and variations of our own events."""

from collections.abc import Callable
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from hypothesis import strategies as st
from pydantic import ValidationError

from tests.factories import example
from trueloop.events import Event

LONGS = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, 1, -1, 2**31, 2**63 - 1, -(2**63)])
DOUBLES = st.floats(allow_nan=False, allow_infinity=False)
MOMENTS = st.datetimes(timezones=st.just(UTC))
TEXTS = st.text(max_size=20) | st.sampled_from(["", "\0", "\U0010ffff", "ü漢🙂\r\n", "x" * 300])
_SIMPLE: dict[str, st.SearchStrategy[Any]] = {
    "null": st.none(),
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": LONGS,
    "float": st.floats(width=32, allow_nan=False, allow_infinity=False),
    "double": DOUBLES,
    "string": TEXTS,
    "bytes": st.binary(max_size=20),
}


def records(schema: Any, named: dict[str, st.SearchStrategy[Any]] | None = None) -> st.SearchStrategy[Any]:
    """Return a strategy of values that a writer of this schema could write."""
    named = {} if named is None else named
    if isinstance(schema, list):
        return st.one_of([records(branch, named) for branch in schema])
    if isinstance(schema, str):
        return _SIMPLE[schema] if schema in _SIMPLE else named[schema]
    kind = schema["type"]
    if schema.get("logicalType") == "timestamp-micros":
        return MOMENTS
    makers: dict[str, Callable[[], st.SearchStrategy[Any]]] = {
        "array": lambda: st.lists(records(schema["items"], named), max_size=2),
        "map": lambda: st.dictionaries(TEXTS, records(schema["values"], named), max_size=2),
        "enum": lambda: st.sampled_from(schema["symbols"]),
        "fixed": lambda: st.binary(min_size=8, max_size=8).map(lambda part: (part * schema["size"])[: schema["size"]]),
        "record": lambda: st.fixed_dictionaries({field["name"]: records(field["type"], named) for field in schema["fields"]}),
    }
    made = makers[kind]() if kind in makers else records(kind, named)
    if "name" in schema:
        named[f"{schema['namespace']}.{schema['name']}" if "namespace" in schema else schema["name"]] = made
    return made


@st.composite
def variations(draw: st.DrawFn, event_type: type[Event]) -> Event:
    """Draw a valid event: the full example, in which any value may have been changed for another that its model takes."""
    content = example(event_type).model_dump()
    for path in list(_paths(content)):
        if draw(st.booleans()):
            continue
        changed = _with(content, path, draw(_another(_at(content, path))))
        try:
            event_type.model_validate(changed)
        except ValidationError:
            continue
        content = changed
    return event_type.model_validate(content)


def _another(value: Any) -> st.SearchStrategy[Any]:
    # Order matters: a bool is an int, an enum member is a str.
    kinds: list[tuple[type, st.SearchStrategy[Any]]] = [
        (Enum, st.sampled_from(list(type(value)))) if isinstance(value, Enum) else (Enum, st.nothing()),
        (bool, st.booleans()),
        (int, LONGS),
        (float, DOUBLES | st.floats(0, 1)),
        (str, TEXTS),
        (datetime, MOMENTS),
        (bytes, st.binary(min_size=4, max_size=4).map(lambda part: part * (len(value) // 4))),
        (list, st.just([])),
        (dict, st.just({}) | st.dictionaries(TEXTS, TEXTS, max_size=3)),
    ]
    return st.none() | next((strategy for kind, strategy in kinds if isinstance(value, kind)), st.nothing())


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the places in nested dictionaries and lists, inner ones first, so that an inner change is not lost to an outer one."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, part in inner for place in (*_paths(part, (*path, key)), (*path, key))]


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def _with(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    key, *rest = path
    changed = dict(value) if isinstance(value, dict) else list(value)
    changed[key] = _with(value[key], tuple(rest), new)
    return changed
