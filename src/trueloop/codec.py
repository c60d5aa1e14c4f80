"""Bytes <-> events: Confluent wire format (magic byte 0, schema id, Avro), schemas from a registry."""

import io
import json
import struct
from typing import Any, Protocol, TypeVar

import fastavro
from pydantic import ValidationError

from trueloop.columns.columns import Columns
from trueloop.columns.packed import Packed
from trueloop.columns.plan import Plan, plan_of
from trueloop.columns.reading import read_columns
from trueloop.errors import DecodeError
from trueloop.events import Event
from trueloop.events.avro import schema_file
from trueloop.reading.event import Reader
from trueloop.rejection import RejectReason
from trueloop.schemas import schema_text
from trueloop.topics import Topic
from trueloop.writer_schema import parse_writer_schema
from trueloop.writing.event import Writer

MAGIC = 0
_HEADER = struct.Struct(">bI")
HEADER_BYTES = _HEADER.size

E = TypeVar("E", bound=Event)


class SchemaRegistry(Protocol):
    """What the codec asks of a schema registry."""

    def register(self, subject: str, schema: str) -> int:
        """Return the id of `schema` under `subject`, registering it if it is new. Raises UnavailableError."""
        ...

    def schema(self, schema_id: int) -> str:
        """Return the text of a schema. Raises UnknownSchemaError when the registry has none, UnavailableError when it does not answer."""
        ...


class _WatchedBytes(io.BytesIO):
    """Bytes that remember whether more was asked of them than they had."""

    ran_short = False

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.ran_short = self.ran_short or (size is not None and len(data) < size)
        return data


class Codec:
    """Encodes events for their topics and decodes what is read from them. Looks a schema up once per id; safe to share within a thread."""

    def __init__(self, registry: SchemaRegistry) -> None:
        self._registry = registry
        self._headers: dict[str, bytes] = {}
        self._ours: dict[str, Any] = {}
        self._event_writers: dict[str, Writer] = {}
        self._event_readers: dict[str, Reader] = {}
        self._writers: dict[int, Any] = {}
        self._as_ours: dict[tuple[int, str], bool] = {}
        self._plans: dict[tuple[int, tuple[str, ...]], Plan | None] = {}

    def encode(self, topic: Topic, event: Event) -> bytes:
        """Return the event in wire format. Raises TypeError when the event is not the topic's, UnavailableError without a registry."""
        if type(event) is not topic.event:
            raise TypeError(f"topic {topic.name!r} takes {topic.event.__name__}, not {type(event).__name__}")
        header = self._headers.get(topic.name)
        if header is None:
            schema_id = self._registry.register(topic.subject, schema_text(schema_file(topic.event)))
            header = self._headers[topic.name] = _HEADER.pack(MAGIC, schema_id)
        writer = self._event_writers.get(topic.name)
        if writer is None:
            writer = self._event_writers[topic.name] = Writer(self._reader(topic))
        return writer.write(event, header)

    def decode(self, topic: Topic, data: bytes | None) -> Event:
        """Return the event in `data`.

        Raises DecodeError (with the class of the dead letter) when the bytes are not an event of the topic, UnavailableError when the
        registry does not answer: that is no fault of the bytes, so the caller must try again and not reject them.
        """
        record = self.decode_record(topic, data)
        try:
            return topic.event.model_validate(record)
        except ValidationError as error:
            raise DecodeError(RejectReason.INVALID_EVENT, _describe(topic, error)) from None

    def decode_record(self, topic: Topic, data: bytes | None) -> dict[str, Any]:
        """Return the Avro record in `data`, resolved to our schema but not validated. Raises as `decode` does."""
        if data is None or len(data) < _HEADER.size:
            size = 0 if data is None else len(data)
            raise DecodeError(RejectReason.TRUNCATED, f"{size} bytes on {topic.name!r}; expected a 5-byte header and an Avro record")
        magic, schema_id = _HEADER.unpack_from(data)
        if magic != MAGIC:
            raise DecodeError(
                RejectReason.WRONG_MAGIC, f"magic byte {magic} on {topic.name!r}; expected 0: produce in Confluent wire format, through the registry"
            )
        writer = self._writer(schema_id)
        ours = self._is_ours(topic, schema_id, writer)
        if ours and (read := self._event_reader(topic).read(data, _HEADER.size)) is not None:
            return read
        buffer = io.BytesIO(data)
        buffer.seek(_HEADER.size)
        try:
            record = fastavro.schemaless_reader(buffer, writer, None if ours else self._reader(topic))
        except Exception as error:  # fastavro raises many types on hostile bytes: IndexError, UnicodeDecodeError, OverflowError, SchemaResolutionError
            if self._ends_inside(topic, writer, data):
                raise DecodeError(RejectReason.TRUNCATED, f"{len(data)} bytes on {topic.name!r} end inside the record") from None
            raise DecodeError(RejectReason.SCHEMA_MISMATCH, f"record on {topic.name!r} does not match schema id {schema_id}: {type(error).__name__}") from None
        if buffer.tell() != len(data):
            raise DecodeError(RejectReason.SCHEMA_MISMATCH, f"{len(data) - buffer.tell()} bytes left over after the record on {topic.name!r}")
        if not isinstance(record, dict):
            raise DecodeError(RejectReason.SCHEMA_MISMATCH, f"schema id {schema_id} on {topic.name!r} is not a record")
        return record

    def columns(self, values: Packed, fields: tuple[str, ...]) -> Columns | None:
        """Return some fields of many records as columns, or None when they cannot be read that way: then `decode` each.

        Rows that are not `regular` are to be decoded singly too; so are those of another schema than the first record's. Nothing is said of
        the fields after the last one that is asked for. Raises UnavailableError when the registry does not answer.
        """
        header = values.head(_HEADER.size)
        if len(header) < _HEADER.size or header[0] != MAGIC:
            return None
        schema_id = _HEADER.unpack(header)[1]
        if (schema_id, fields) not in self._plans:
            try:
                self._plans[schema_id, fields] = plan_of(self._writer(schema_id), fields)
            except DecodeError:
                return None
        plan = self._plans[schema_id, fields]
        if plan is None:
            return None
        return read_columns(plan, values, header)

    def writer_schema(self, header: bytes) -> Any:
        """Return the schema that a record's first five bytes name, as fastavro parsed it.

        Raises DecodeError when they name none that can be read, UnavailableError when the registry does not answer.
        """
        if len(header) < _HEADER.size or header[0] != MAGIC:
            raise DecodeError(RejectReason.WRONG_MAGIC, "no header of a schema; expected the byte 0 and a schema id")
        return self._writer(_HEADER.unpack_from(header)[1])

    def _is_ours(self, topic: Topic, schema_id: int, writer: Any) -> bool:
        """Return whether the writer's schema is the topic's own: then nothing has to be resolved, which takes a third of the time."""
        known = self._as_ours.get((schema_id, topic.name))
        if known is None:
            known = self._as_ours[schema_id, topic.name] = writer == self._reader(topic)
        return known

    def _ends_inside(self, topic: Topic, writer: Any, data: bytes) -> bool:
        """Read bad bytes once more, to see whether they failed for want of more: fastavro's exception does not tell."""
        buffer = _WatchedBytes(data)
        buffer.seek(_HEADER.size)
        try:
            fastavro.schemaless_reader(buffer, writer, self._reader(topic))
        except Exception:
            return buffer.ran_short
        return False

    def _event_reader(self, topic: Topic) -> Reader:
        reader = self._event_readers.get(topic.name)
        if reader is None:
            reader = self._event_readers[topic.name] = Reader(self._reader(topic))
        return reader

    def _reader(self, topic: Topic) -> Any:
        schema = self._ours.get(topic.name)
        if schema is None:
            schema = self._ours[topic.name] = fastavro.parse_schema(json.loads(schema_text(schema_file(topic.event))))
        return schema

    def _writer(self, schema_id: int) -> Any:
        schema = self._writers.get(schema_id)
        if schema is None:
            text = self._registry.schema(schema_id)
            try:
                schema = self._writers[schema_id] = parse_writer_schema(text)
            except ValueError as error:
                raise DecodeError(RejectReason.SCHEMA_MISMATCH, f"schema id {schema_id} cannot be read by: {error}") from None
        return schema


def _describe(topic: Topic, error: ValidationError) -> str:
    """Name the fields that are wrong and the rule they break; never their values, which may be human text."""
    faults = "; ".join(f"{'.'.join(str(part) for part in fault['loc']) or 'event'}: {fault['type']}" for fault in error.errors()[:5])
    return f"{topic.event.__name__} on {topic.name!r} breaks its own rules: {faults}"
