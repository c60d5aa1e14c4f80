"""How an event's fields lie in Avro."""

import sys
from collections.abc import Mapping
from enum import IntEnum
from typing import Any

Node = tuple[int, bool, Any]
"""A kind, whether null may stand in its place, and what the kind needs: the bytes of a fixed, the place of each symbol of an enum and the symbols in
their places, the node of the elements of a list or map, name and node of each field of a record."""


class Kind(IntEnum):
    """What is written and read. The compiled writer and reader know the kinds by these numbers."""

    TEXT = 1
    LONG = 2
    DOUBLE = 3
    BOOLEAN = 4
    BYTES = 5
    FIXED = 6
    ENUM = 7
    MOMENT = 8
    LIST = 9
    MAP = 10
    RECORD = 11


_PRIMITIVES = {"string": Kind.TEXT, "long": Kind.LONG, "double": Kind.DOUBLE, "boolean": Kind.BOOLEAN, "bytes": Kind.BYTES}


def plan_of(schema: Mapping[str, Any]) -> Node:
    """Return how to write and read the records of one of our own schemas.

    Raises TypeError when it holds what none of them does.

    >>> plan_of({"type": "record", "name": "R", "fields": [{"name": "a", "type": ["null", "string"]}]})
    (11, False, (('a', (1, True, None)),))
    """
    return _node(schema, {})


def _node(avro: Any, named: dict[str, Node]) -> Node:
    if isinstance(avro, str):
        if avro not in _PRIMITIVES and avro not in named:
            raise TypeError(f"{avro!r} is in no event of ours")
        return (int(_PRIMITIVES[avro]), False, None) if avro in _PRIMITIVES else named[avro]
    if isinstance(avro, list):
        if len(avro) != 2 or avro[0] != "null":
            raise TypeError(f"union of {len(avro)} types; expected null and one more")
        kind, _, more = _node(avro[1], named)
        return kind, True, more
    match avro["type"]:
        case "record":
            found: Node = int(Kind.RECORD), False, tuple((sys.intern(field["name"]), _node(field["type"], named)) for field in avro["fields"])
        case "enum":
            found = int(Kind.ENUM), False, ({symbol: place for place, symbol in enumerate(avro["symbols"])}, tuple(avro["symbols"]))
        case "fixed":
            found = int(Kind.FIXED), False, avro["size"]
        case "array":
            return int(Kind.LIST), False, _node(avro["items"], named)
        case "map":
            return int(Kind.MAP), False, _node(avro["values"], named)
        case "long" if avro.get("logicalType") == "timestamp-micros":
            return int(Kind.MOMENT), False, None
        case other:
            raise TypeError(f"{other!r} is in no event of ours")
    # Types are named once and used by their full name after that.
    named[avro["name"] if "." in avro["name"] else f"{avro.get('namespace', '')}.{avro['name']}"] = found
    return found
