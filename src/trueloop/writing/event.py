"""Writes an event: compiled where that was possible, by fastavro where it was not. Both come to the same."""

import io
from typing import Any

import fastavro
from pydantic import BaseModel

from trueloop.avro_plan import Node, plan_of
from trueloop.compiled import compiled

_COMPILED = compiled("writing.compiled")


class Writer:
    """Writes the events of one schema of ours."""

    def __init__(self, schema: Any) -> None:
        """`schema` is as fastavro parsed it. Raises TypeError when it holds what no schema of ours does."""
        self._schema = schema
        self._plan: Node = plan_of(schema)

    def write(self, event: BaseModel, header: bytes) -> bytes:
        """Return the header, and the event's Avro behind it. Raises what fastavro does when it cannot be written."""
        if _COMPILED is not None:
            found: bytes | None = _COMPILED.written(self._plan, event, header)
            if found is not None:
                return found
        buffer = io.BytesIO()
        buffer.write(header)
        fastavro.schemaless_writer(buffer, self._schema, event.model_dump())
        return buffer.getvalue()
