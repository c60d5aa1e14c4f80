"""Reads Avro records of one writer's schema as Arrow columns, all records of a batch together: no Python object per value.

fastavro and Arrow together take some 40 microseconds for a trace, this takes two. Records that are not ordinary are left to the codec, which
knows all of Avro and says what is wrong with them; so are those of a schema that differs from ours in more than fields that come or go.
"""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from trueloop.adapters.clickhouse.columns import Column, arrow_column, columns_of, kind_of
from trueloop.adapters.clickhouse.fields import Constant, Field, Floats, Kind, List, Map, Number, Optional, Raw, Struct, Symbol, Text
from trueloop.adapters.clickhouse.nested_walk import NestedWalk
from trueloop.columns.packed import packed
from trueloop.columns.walk import Flags
from trueloop.events.avro import schema_file
from trueloop.schemas import schema_text
from trueloop.topics import Topic

if TYPE_CHECKING:
    import pyarrow as pa

_NUMBERS = {"long": Kind.LONG, "int": Kind.LONG, "double": Kind.DOUBLE, "boolean": Kind.BOOLEAN, "timestamp-micros": Kind.MOMENT}
_SAME_BYTES = {("long", "int")}
"""Types of ours and of a writer that differ in name only."""


class UnlikeError(Exception):
    """A writer's schema is not one that can be read in columns."""


class RecordReader:
    """Reads records of one writer's schema into the columns of a topic's table."""

    def __init__(self, topic: Topic, writer: Any) -> None:
        """Plan how to read.

        Args:
            topic: Whose event the records are.
            writer: The writer's schema, as fastavro parsed it.

        Raises UnlikeError when the schema has to be resolved by fastavro, record by record.
        """
        fields = [{"name": column.name, "type": column.avro} | _default(topic, column.name) for column in columns_of(topic)]
        ours = {"type": "record", "name": topic.event.__name__, "fields": fields}
        self._record = _struct(ours, writer, {})

    def read(self, values: Sequence[bytes], skip: int) -> "tuple[pa.Table, Flags]":
        """Return a row per record, and which rows are right; of the others nothing is known but that they are not ordinary.

        Args:
            values: Records, each `skip` bytes into its value.
            skip: Bytes before each record.
        """
        import pyarrow as pa

        walk = NestedWalk(packed(values), skip)
        arrays = self._record.columns(walk, self._record.step(walk, None), None)
        walk.irregular(walk.position != walk.end)
        return pa.table(arrays), walk.regular


def _default(topic: Topic, name: str) -> dict[str, Any]:
    schema = json.loads(schema_text(schema_file(topic.event)))
    field = next(field for field in schema["fields"] if field["name"] == name)
    return {"default": field["default"]} if "default" in field else {}


def _struct(ours: Any, writer: Any, known: dict[str, Any]) -> Struct:
    """Return how to read our record from the writer's. `known` has the writer's named types met so far."""
    if not isinstance(writer, dict) or writer.get("type") != "record" or not _same_name(ours, writer):
        raise UnlikeError
    wanted = {field["name"]: field for field in ours["fields"]}
    steps: list[Field] = []
    members: dict[str, int] = {}
    for place, field in enumerate(writer["fields"]):
        our = wanted.get(field["name"])
        steps.append(_passed(field["type"], known) if our is None else _field(our["type"], field["type"], known))
        members[field["name"]] = place
    for name, our in wanted.items():
        if name not in members:
            members[name] = len(steps)
            steps.append(_constant(our))
    return Struct(steps, {name: members[name] for name in wanted})


def _constant(our: dict[str, Any]) -> Constant:
    if "default" not in our:
        raise UnlikeError
    default = our["default"]
    # In JSON, bytes are text of the code points 0 to 255.
    value = default.encode("latin-1") if our["type"] == "bytes" else default
    return Constant(arrow_column(Column(our["name"], "", our["type"], ""), [value]))


def _field(ours: Any, writer: Any, known: dict[str, Any]) -> Field:
    """Return how to read a field of ours from the writer's field."""
    if isinstance(writer, list):
        if not isinstance(ours, list) or len(writer) != 2 or "null" not in writer:
            raise UnlikeError
        null_branch = writer.index("null")
        inner = _field(ours[1], writer[1 - null_branch], known)
        if isinstance(inner, List | Map) or (isinstance(inner, Struct) and any(isinstance(step, List | Map | Constant) for step in inner.steps)):
            raise UnlikeError  # they have no null
        return Optional(inner, null_branch)
    return _plain(ours[1] if isinstance(ours, list) else ours, known.get(writer, writer) if isinstance(writer, str) else writer, known)


def _plain(ours: Any, writer: Any, known: dict[str, Any]) -> Field:
    if isinstance(writer, dict) and "name" in writer:
        known[writer["name"]] = writer
    kind, theirs = kind_of(ours), kind_of(writer)
    if kind != theirs and (kind, theirs) not in _SAME_BYTES:
        raise UnlikeError
    plain: Field
    match kind:
        case "string":
            plain = Text()
        case "bytes":
            plain = Raw()
        case "enum":
            plain = _symbol(ours, writer)
        case "fixed" if ours["size"] == writer["size"] and _same_name(ours, writer):
            plain = Floats(ours["size"])
        case "record":
            plain = _struct(ours, writer, known)
        case "array":
            plain = List(_field(ours["items"], writer["items"], known))
        case "map":
            plain = Map(List(Struct((Text(), _field(ours["values"], writer["values"], known)), {"key": 0, "value": 1})))
        case _ if kind in _NUMBERS:
            plain = Number(_NUMBERS[kind])
        case _:
            raise UnlikeError
    return plain


def _same_name(ours: Any, writer: Any) -> bool:
    """Return whether two named types are called the same, whatever their namespaces: Avro takes others for different types."""
    return bool(ours["name"].rpartition(".")[2] == writer["name"].rpartition(".")[2])


def _symbol(ours: Any, writer: Any) -> Symbol:
    unknown = [symbol for symbol in writer["symbols"] if symbol not in ours["symbols"]]
    if not _same_name(ours, writer) or (unknown and "default" not in ours):
        raise UnlikeError
    return Symbol(tuple(symbol if symbol in ours["symbols"] else ours["default"] for symbol in writer["symbols"]))


def _passed(writer: Any, known: dict[str, Any]) -> Field:
    """Return how to step over a field that we do not know. Records are not stepped over: who knows how large they grow when written out."""
    if isinstance(writer, list):
        if len(writer) != 2 or "null" not in writer:
            raise UnlikeError
        null_branch = writer.index("null")
        return Optional(_passed(writer[1 - null_branch], known), null_branch)
    base = writer if isinstance(writer, str) else writer["type"]
    if isinstance(writer, dict) and "name" in writer:
        known[writer["name"]] = writer
    simple: dict[Any, Field] = {"string": Text(), "bytes": Raw(), "float": Floats(4), **{name: Number(kind) for name, kind in _NUMBERS.items()}}
    if isinstance(base, str) and base in simple:
        return simple[base]
    if base == "enum":
        return Symbol(tuple(writer["symbols"]))
    if base == "fixed":
        return Floats(writer["size"])
    raise UnlikeError
