"""Rubrics and policies from TOML text, with errors that name the key, what was given and what is allowed."""

import difflib
import json
import re
import tomllib
from collections.abc import Sequence
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from trueloop.errors import ConfigurationError

_SHOWN_CHARS = 60

D = TypeVar("D", bound=BaseModel)


def parse_document(document: type[D], text: str, source: str) -> D:
    """Return the Rubric or Policy in a TOML text.

    Raises:
        ConfigurationError: Naming `source` and every wrong key: what was given, what is allowed, and the key that was probably meant.
    """
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{source} is not TOML: {error}. Correct that line; strings need quotes, tables are [name] or [[name]]") from None
    try:
        # By way of JSON, because that is how the published document will be read: what passes here passes there.
        return document.model_validate_json(json.dumps(content, default=str))
    except ValidationError as error:
        faults = [_describe(document, fault) for fault in _own(error.errors(include_url=False))]
        noun = document.__name__.lower()
        raise ConfigurationError(f"{source} is no {noun}:\n  " + "\n  ".join(faults)) from None


def _own(faults: Sequence[Any]) -> list[Any]:
    """Leave out faults of a whole whose parts are at fault themselves, such as a list that is too short because its items were refused."""
    places = [fault["loc"] for fault in faults]
    return [fault for fault in faults if not any(len(place) > len(fault["loc"]) and place[: len(fault["loc"])] == fault["loc"] for place in places)]


def _describe(document: type[BaseModel], fault: Any) -> str:
    key = _key(fault["loc"])
    if fault["type"] == "missing":
        return f"{key} is missing{_purpose(document, fault['loc'])}"
    if fault["type"] == "extra_forbidden":
        known = sorted(_model_at(document, fault["loc"][:-1]).model_fields)
        near = difflib.get_close_matches(str(fault["loc"][-1]), known, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        return f"{key} is no key here; known keys: {', '.join(known)}.{hint}"
    message = str(fault["msg"]).removeprefix("Value error, ").replace("Input should", "it should").replace("String should", "it should")
    message = re.sub(r"<\w+\.\w+: ('\w+')>", r"\1", message)  # an enum member reads as its value
    if fault["type"] == "value_error":
        return f"{key}: {message}"
    return f"{key} = {_shown(fault['input'])}: {message}"


def _key(location: tuple[int | str, ...]) -> str:
    """Return a location as it reads in the file; list items count from 1, as people do.

    >>> _key(("dimensions", 0, "scale", "max"))
    'dimensions[1].scale.max'
    """
    text = ""
    for part in location:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "the document"


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 1] + "…"


def _purpose(document: type[BaseModel], location: tuple[int | str, ...]) -> str:
    field = _model_at(document, location[:-1]).model_fields.get(str(location[-1]))
    return f" ({field.description.rstrip('.')})" if field is not None and field.description else ""


def _model_at(document: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel]:
    model = document
    for part in location:
        if isinstance(part, str) and part in model.model_fields:
            model = _model_in(model.model_fields[part].annotation) or model
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the document class inside an annotation such as `tuple[Dimension, ...]` or `Scale | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Annotated, Union, UnionType, tuple, list):
        return next((found for part in get_args(annotation) if (found := _model_in(part)) is not None), None)
    return None
