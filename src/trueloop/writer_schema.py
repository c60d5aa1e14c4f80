"""Schemas of other writers, read from the registry: trusted to describe records, not to be harmless."""

import json
from typing import Any

import fastavro


def parse_writer_schema(text: str) -> Any:
    """Return the schema in `text`, parsed for fastavro.

    Whoever may register a schema chooses how readers walk the bytes. Two kinds of schema let a short record do harm, and no event of ours
    needs either: one that contains itself (fastavro recurses in C, so a long chain overflows the stack: the process dies, and dies again
    when it re-reads the record), and one with values that take no bytes in number (ten bytes say that an array has 2**62 of them).

    Raises ValueError when the text is no Avro schema, or is one of those; the message does not quote it.

    >>> parse_writer_schema('"string"')
    'string'
    >>> parse_writer_schema('{"type": "array", "items": "null"}')
    Traceback (most recent call last):
    ValueError: items of an array take no bytes
    """
    try:
        parsed = fastavro.parse_schema(json.loads(text), named_schemas={})
    except Exception as error:  # fastavro raises many types on malformed schemas
        raise ValueError(f"not an Avro schema ({type(error).__name__})") from None
    try:
        _least_bytes(parsed, {}, frozenset())
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return parsed


def _least_bytes(schema: Any, known: dict[str, int], inside: frozenset[str]) -> int:
    """Return how many bytes a value takes at least. `known` has the named types met so far, `inside` the records that the walk is in."""
    if isinstance(schema, list):
        size = 1 + min((_least_bytes(branch, known, inside) for branch in schema), default=0)
    elif isinstance(schema, str):
        if schema in inside:
            raise ValueError("a record contains itself")
        size = 0 if schema == "null" else known.get(schema, 1)
    elif schema["type"] in ("record", "error"):
        fields = schema["fields"]
        size = sum(_least_bytes(field["type"], known, inside | {schema["name"]}) for field in fields)
        # Records of such records double at every level: sixty levels would be 2**60 fields.
        if fields and size == 0:
            raise ValueError("a record takes no bytes")
    elif schema["type"] == "array":
        if _least_bytes(schema["items"], known, inside) == 0:
            raise ValueError("items of an array take no bytes")
        size = 1
    elif schema["type"] == "map":
        _least_bytes(schema["values"], known, inside)
        size = 1
    elif schema["type"] == "fixed":
        size = max(0, schema["size"])
    else:
        size = 1 if schema["type"] == "enum" else _least_bytes(schema["type"], known, inside)
    if isinstance(schema, dict) and "name" in schema:
        known[schema["name"]] = size
    return size
