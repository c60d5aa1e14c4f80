"""Avro schemas of the events, one .avsc per event, as they are registered."""

from functools import cache
from importlib.resources import files


@cache
def schema_text(file_name: str) -> str:
    """Return the text of a schema file, such as 'trace.avsc'."""
    return (files(__name__) / file_name).read_text(encoding="utf-8")
