"""Reads an event that one of our own wrote: compiled where that was possible. What is not read here is for fastavro to read, or to refuse."""

from typing import Any

from trueloop.avro_plan import Node, plan_of
from trueloop.compiled import compiled

_COMPILED = compiled("reading.compiled")


class Reader:
    """Reads the events of one schema of ours."""

    def __init__(self, schema: Any) -> None:
        """`schema` is as fastavro parsed it. One that holds what no schema of ours does is left to fastavro, with all that was written by it."""
        self._plan: Node | None
        try:
            self._plan = plan_of(schema)
        except TypeError:
            self._plan = None

    def read(self, data: bytes, start: int) -> dict[str, Any] | None:
        """Return the record that lies from byte `start` to the end, as fastavro reads it; None when it is for fastavro to say what is there."""
        if _COMPILED is None or self._plan is None:
            return None
        record: dict[str, Any] | None = _COMPILED.read(self._plan, data, start)
        return record
