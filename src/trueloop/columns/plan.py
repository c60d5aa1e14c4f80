"""How to walk the first fields of a writer's records."""

from array import array
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from functools import lru_cache
from typing import Any


class Kind(Enum):
    """What a field holds, as far as the walk has to know. The compiled walk knows the kinds by these numbers."""

    TEXT = auto()
    LONG = auto()
    DOUBLE = auto()
    BOOLEAN = auto()
    ENUM = auto()
    TEXT_MAP = auto()
    DOUBLE_MAP = auto()
    FIXED = auto()
    RECORDS = auto()
    """A list of records of plain fields: it is stepped over, to what lies behind it."""


@dataclass(frozen=True, slots=True)
class FieldPlan:
    """One field. `null_branch` is the place of null in its union, None when it cannot be null; `symbols` those of an enum, `size` the bytes of a
    fixed one, `items` the fields of the records of a list."""

    name: str
    kind: Kind
    null_branch: int | None = None
    symbols: tuple[str, ...] = ()
    size: int = 0
    items: "tuple[FieldPlan, ...]" = ()


Plan = tuple[FieldPlan, ...]
"""The fields to walk, in the writer's order, up to the last one that is wanted."""

_PRIMITIVES = {"string": Kind.TEXT, "int": Kind.LONG, "long": Kind.LONG, "double": Kind.DOUBLE, "boolean": Kind.BOOLEAN}
_MAPS = {"string": Kind.TEXT_MAP, "double": Kind.DOUBLE_MAP}


@lru_cache(maxsize=64)
def encoded(plan: Plan) -> tuple[bytes, int]:
    """Return a plan as the compiled walk takes it, and of how many fields it is: four numbers for each field, and behind them for each item of lists.

    >>> numbers, fields = encoded((FieldPlan("l", Kind.RECORDS, items=(FieldPlan("t", Kind.TEXT, 0),)),))
    >>> array("q", numbers).tolist(), fields
    ([9, -1, 1, 1, 1, 0, 0, 0], 1)
    """
    numbers, items = array("q"), array("q")
    for each in plan:
        numbers.extend((*_numbers(each), len(plan) + len(items) // 4))
        for item in each.items:
            items.extend((*_numbers(item), 0))
    return (numbers + items).tobytes(), len(plan)


def _numbers(each: FieldPlan) -> tuple[int, int, int]:
    size = len(each.symbols) or len(each.items) or each.size
    return each.kind.value, -1 if each.null_branch is None else each.null_branch, size


def plan_of(writer: Any, wanted: Collection[str]) -> Plan | None:
    """Return how to reach the wanted fields of a writer's records, or None when they cannot be reached by this walk.

    Args:
        writer: The writer's schema, as JSON or as fastavro parsed it.
        wanted: Names of fields.

    >>> schema = {"type": "record", "name": "R", "fields": [{"name": "a", "type": "string"}, {"name": "b", "type": ["null", "long"]},
    ...                                                     {"name": "c", "type": "bytes"}]}
    >>> [(field.name, field.kind.name, field.null_branch) for field in plan_of(schema, {"b"})]
    [('a', 'TEXT', None), ('b', 'LONG', 0)]
    >>> plan_of(schema, {"c"}) is None
    True
    """
    return _fields(writer, set(wanted))


def _fields(writer: Any, missing: set[str]) -> Plan | None:
    if not isinstance(writer, Mapping) or writer.get("type") != "record":
        return None
    fields: list[FieldPlan] = []
    for field in writer["fields"]:
        if not missing:
            break
        planned = _field(field["name"], field["type"])
        if planned is None:
            return None
        fields.append(planned)
        missing.discard(field["name"])
    return None if missing else tuple(fields)


def _field(name: str, avro: Any) -> FieldPlan | None:
    null_branch = None
    if isinstance(avro, list):
        if len(avro) != 2 or "null" not in avro:
            return None
        null_branch = avro.index("null")
        avro = avro[1 - null_branch]
    plain = _plain(name, avro)
    return None if plain is None else replace(plain, null_branch=null_branch)


def _plain(name: str, avro: Any) -> FieldPlan | None:
    kind: Kind | None
    if isinstance(avro, str):
        kind = _PRIMITIVES.get(avro)
    elif avro["type"] == "enum":
        return FieldPlan(name, Kind.ENUM, symbols=tuple(avro["symbols"]))
    elif avro["type"] == "fixed":
        return FieldPlan(name, Kind.FIXED, size=avro["size"])
    elif avro["type"] == "map":
        kind = _MAPS.get(avro["values"]) if isinstance(avro["values"], str) else None
    elif avro["type"] == "array":
        items = _items(avro["items"])
        return None if items is None else FieldPlan(name, Kind.RECORDS, items=items)
    else:
        # A logical type is walked as what it annotates.
        kind = _PRIMITIVES.get(avro["type"]) if isinstance(avro["type"], str) else None
    return None if kind is None else FieldPlan(name, kind)


def _items(writer: Any) -> Plan | None:
    """Return how to step over the records of a list; None when they hold more than plain fields."""
    names = {field["name"] for field in writer["fields"]} if isinstance(writer, Mapping) and writer.get("type") == "record" else set()
    items = _fields(writer, names)
    return None if items is None or any(item.kind in (Kind.TEXT_MAP, Kind.DOUBLE_MAP, Kind.RECORDS) for item in items) else items
