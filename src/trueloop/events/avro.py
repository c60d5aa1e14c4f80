"""Avro schemas of the event models: the .avsc files in `schemas/` are written from here, and a contract test compares them.

`python -m trueloop.events.avro schemas/` writes them.
"""

import json
import re
import sys
from collections.abc import Iterable
from datetime import datetime
from enum import EnumType, StrEnum
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Union, cast, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from trueloop.events.trace import EMBEDDING_BYTES

NAMESPACE = "trueloop"


def avro_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the Avro record schema of an event model. Raises TypeError for a field type that has no Avro form here."""
    return _record(model, set())


def schema_file(model: type[BaseModel]) -> str:
    """Return the file name of a model's schema.

    >>> from trueloop.events import PreferencePair
    >>> schema_file(PreferencePair)
    'preference_pair.avsc'
    """
    return re.sub(r"(?<!^)(?=[A-Z])", "_", model.__name__).lower() + ".avsc"


def _record(model: type[BaseModel], seen: set[str]) -> dict[str, Any]:
    seen.add(model.__name__)
    return {
        "type": "record",
        "name": model.__name__,
        "namespace": NAMESPACE,
        "doc": " ".join((model.__doc__ or "").split()),
        "fields": [_field(name, info, seen) for name, info in model.model_fields.items()],
    }


def _field(name: str, info: FieldInfo, seen: set[str]) -> dict[str, Any]:
    if not info.description:
        raise TypeError(f"field {name!r} has no description; say what it is, with unit and range")
    field: dict[str, Any] = {"name": name, "type": _type(info.annotation, seen), "doc": info.description}
    if not info.is_required():
        default = info.get_default(call_default_factory=True)
        # Avro writes bytes in JSON as text of the code points 0 to 255.
        field["default"] = default.decode("latin-1") if isinstance(default, bytes) else default
    if isinstance(field["type"], list) and "default" not in field:
        field["default"] = None  # a nullable field without a default could never be added or dropped under FULL_TRANSITIVE
    return field


def _type(annotation: Any, seen: set[str]) -> Any:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated and args[0] is bytes:
        # Bytes with a rule are an embedding, the only ones of a fixed length.
        return {"type": "fixed", "name": "Embedding384", "namespace": NAMESPACE, "size": EMBEDDING_BYTES}
    if origin is Annotated:
        return _type(args[0], seen)
    if origin in (Union, UnionType):
        inner = [arg for arg in args if arg is not NoneType]
        if len(inner) != 1 or len(inner) == len(args):
            raise TypeError(f"{annotation!r}: only `T | None` is allowed")
        return ["null", _type(inner[0], seen)]
    if origin is list:
        return {"type": "array", "items": _type(args[0], seen)}
    if origin is dict:
        return {"type": "map", "values": _type(args[1], seen)}
    return _scalar(annotation, seen)


def _scalar(annotation: Any, seen: set[str]) -> Any:
    simple = {str: "string", int: "long", float: "double", bool: "boolean", bytes: "bytes"}
    if annotation in simple:
        return simple[annotation]
    if annotation is datetime:
        return {"type": "long", "logicalType": "timestamp-micros"}
    if annotation.__name__ in seen:
        return f"{NAMESPACE}.{annotation.__name__}"
    if isinstance(annotation, EnumType):
        seen.add(annotation.__name__)
        symbols = [str(member) for member in cast(Iterable[StrEnum], annotation)]
        # The default lets an old reader take a symbol that it does not know.
        return {"type": "enum", "name": annotation.__name__, "namespace": NAMESPACE, "symbols": symbols, "default": "UNKNOWN"}
    if issubclass(annotation, BaseModel):
        return _record(annotation, seen)
    raise TypeError(f"{annotation!r} has no Avro form here")


def schema_text(model: type[BaseModel]) -> str:
    """Return the text of the model's .avsc file."""
    return json.dumps(avro_schema(model), indent=2) + "\n"


def main(folder: Path) -> None:
    """Write the schema of every topic's event into `folder`."""
    from trueloop import topics

    for topic in topics.ALL:
        (folder / schema_file(topic.event)).write_text(schema_text(topic.event))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
