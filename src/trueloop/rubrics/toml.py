"""Documents as TOML text."""

import json
from collections.abc import Iterator, Mapping
from typing import Any


def toml_text(document: Mapping[str, Any]) -> str:
    """Return a document of tables, lists, strings, numbers and truth values as TOML; reading it gives the same document.

    >>> print(toml_text({"id": "a", "gate": {"slices": ["x"], "dimensions": [{"dimension": "tone"}]}}))
    id = "a"
    <BLANKLINE>
    [gate]
    slices = ["x"]
    <BLANKLINE>
    [[gate.dimensions]]
    dimension = "tone"
    <BLANKLINE>
    """
    return "\n".join(_lines(document, ())).lstrip("\n") + "\n"


def _lines(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    later: list[tuple[str, Any]] = []
    for key, value in table.items():
        if isinstance(value, Mapping) or _is_tables(value):
            later.append((key, value))
        else:
            yield f"{_key(key)} = {_value(value)}"
    for key, value in later:
        name = ".".join(map(_key, (*path, key)))
        for each in value if isinstance(value, list) else [value]:
            yield from ("", f"[[{name}]]" if isinstance(value, list) else f"[{name}]")
            yield from _lines(each, (*path, key))


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, Mapping) for each in value)


def _key(key: str) -> str:
    return key if key and key.isascii() and key.replace("_", "").replace("-", "").isalnum() else _value(key)


def _value(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(key)} = {_value(each)}" for key, each in value.items()) + "}"
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value)
