"""The columns of a table: how each Avro type of an event is stored, and how it travels there as Arrow."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from trueloop.events.avro import schema_file
from trueloop.schemas import schema_text
from trueloop.topics import Topic

if TYPE_CHECKING:
    import pyarrow as pa

LOW_CARDINALITY = frozenset({
    "application", "model", "checkpoint", "error_class", "embedding_model", "rubric_id", "rubric_hash", "policy_id", "policy_hash", "stratum",
    "pool", "dimension", "slice", "principle", "metric", "detector", "method", "dataset", "evaluator", "topic", "name", "content_hash",
    "baseline", "baseline_checkpoint", "base_checkpoint", "previous",
})  # fmt: skip
"""Text fields with few distinct values: a dictionary makes them small and fast to group by."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name, its ClickHouse type, the Avro type it holds, and what it means."""

    name: str
    type: str
    avro: Any
    comment: str


@cache
def columns_of(topic: Topic) -> tuple[Column, ...]:
    """Return the columns of a topic's table that hold the fields of its event, in the order of the schema."""
    schema = json.loads(schema_text(schema_file(topic.event)))
    named: dict[str, Any] = {}
    fields = [(field["name"], _resolve(field["type"], named), field["doc"]) for field in schema["fields"]]
    return tuple(Column(name, _clickhouse(avro, name), avro, _comment(avro, doc)) for name, avro, doc in fields)


def _resolve(avro: Any, named: dict[str, Any]) -> Any:
    """Replace each reference to a named type by the type, so that nothing after this has to look names up."""
    if isinstance(avro, str):
        return named.get(avro, avro)
    if isinstance(avro, list):
        return [_resolve(branch, named) for branch in avro]
    resolved = dict(avro)
    if avro["type"] == "record":
        resolved["fields"] = [field | {"type": _resolve(field["type"], named)} for field in avro["fields"]]
    elif avro["type"] == "array":
        resolved["items"] = _resolve(avro["items"], named)
    elif avro["type"] == "map":
        resolved["values"] = _resolve(avro["values"], named)
    if "name" in avro:
        named[f"{avro.get('namespace', 'trueloop')}.{avro['name']}"] = resolved
    return resolved


def _comment(avro: Any, doc: str) -> str:
    """Say in the column's comment how null is stored where ClickHouse has no null."""
    if isinstance(avro, list) and kind_of(avro[1]) == "fixed":
        return doc + " Stored as an array; null is the empty array."
    if isinstance(avro, list) and kind_of(avro[1]) == "record":
        return doc + " Stored as a tuple; null is a tuple of nulls."
    return doc


def kind_of(avro: Any) -> str:
    """Return what an Avro type is: its logical type when it has one.

    >>> kind_of("string"), kind_of({"type": "long", "logicalType": "timestamp-micros"}), kind_of({"type": "array", "items": "long"})
    ('string', 'timestamp-micros', 'array')
    """
    if isinstance(avro, str):
        return avro
    return str(avro.get("logicalType") or avro["type"])


_SCALARS = {"string": "String", "bytes": "String", "long": "Int64", "double": "Float64", "boolean": "Bool", "timestamp-micros": "DateTime64(6, 'UTC')"}


def _clickhouse(avro: Any, name: str, nullable: bool = False) -> str:
    if isinstance(avro, list):
        return _clickhouse(avro[1], name, nullable=True)
    kind = kind_of(avro)
    if kind == "enum" or (kind == "string" and name in LOW_CARDINALITY):
        return "LowCardinality(Nullable(String))" if nullable else "LowCardinality(String)"
    if kind in _SCALARS:
        return f"Nullable({_SCALARS[kind]})" if nullable else _SCALARS[kind]
    if kind == "fixed":
        return "Array(Float32)"
    if kind in ("array", "map"):
        return f"Array({_clickhouse(avro['items'], name)})" if kind == "array" else f"Map(LowCardinality(String), {_clickhouse(avro['values'], '')})"
    if kind == "record":
        # ClickHouse has no stable nullable tuple: the members of an absent record are null instead.
        members = (f"{field['name']} {_clickhouse(field['type'], field['name'], nullable)}" for field in avro["fields"])
        return f"Tuple({', '.join(members)})"
    raise TypeError(f"field {name!r}: Avro type {kind!r} has no ClickHouse type here; add one to {__name__}")


def arrow_type(avro: Any) -> "pa.DataType":
    """Return the Arrow type in which a value of this Avro type is sent."""
    import pyarrow as pa

    if isinstance(avro, list):
        return arrow_type(avro[1])
    kind = kind_of(avro)
    simple = {
        "string": pa.string(), "bytes": pa.binary(), "enum": pa.string(), "long": pa.int64(), "double": pa.float64(), "boolean": pa.bool_(),
        "timestamp-micros": pa.timestamp("us", "UTC"), "fixed": pa.list_(pa.float32()),
    }  # fmt: skip
    if kind in simple:
        return simple[kind]
    if kind == "array":
        return pa.list_(arrow_type(avro["items"]))
    if kind == "map":
        return pa.map_(pa.string(), arrow_type(avro["values"]))
    return pa.struct([pa.field(field["name"], arrow_type(field["type"])) for field in avro["fields"]])


def arrow_column(column: Column, values: Sequence[Any]) -> "pa.Array":
    """Return the values of a column, as `Codec.decode_record` gives them, as Arrow.

    Raises pyarrow.ArrowException, TypeError, ValueError or OverflowError for a value that does not fit its type.
    """
    import pyarrow as pa

    inner = column.avro[1] if isinstance(column.avro, list) else column.avro
    kind = kind_of(inner)
    if kind == "fixed":
        return _floats(values)
    if kind == "map":
        return pa.array([list(value.items()) for value in values], arrow_type(inner))
    if kind == "record":
        # The struct itself is never null (its members are): ClickHouse would take a null struct for default values.
        return pa.array([{} if value is None else value for value in values], arrow_type(inner))
    return pa.array(values, arrow_type(inner))


def _floats(values: Sequence[bytes | None]) -> "pa.Array":
    import numpy as np
    import pyarrow as pa

    present = [value or b"" for value in values]
    offsets = np.zeros(len(present) + 1, dtype=np.int32)
    np.cumsum([len(value) // 4 for value in present], out=offsets[1:])
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.frombuffer(b"".join(present), dtype="<f4")))
