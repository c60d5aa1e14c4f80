"""Rubric and policy files: yours, or those that are shipped in `trueloop/rubrics/library`."""

import difflib
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

import trueloop.rubrics
from trueloop.errors import ConfigurationError
from trueloop.rubrics.documents import parse_document
from trueloop.rubrics.policy import Policy
from trueloop.rubrics.rubric import Rubric

LIBRARY = Path(trueloop.rubrics.__file__).with_name("library")
_FOLDERS: dict[type[BaseModel], str] = {Rubric: "rubrics", Policy: "policies"}

D = TypeVar("D", bound=BaseModel)


def load_rubric(source: str | Path) -> Rubric:
    """Return the rubric in a TOML file, or the shipped one of that name. Raises ConfigurationError naming each wrong key."""
    return _load(source, Rubric)


def load_policy(source: str | Path) -> Policy:
    """Return the policy in a TOML file, or the shipped one of that name. Raises ConfigurationError naming each wrong key."""
    return _load(source, Policy)


def source_text(source: str | Path, document: type[BaseModel]) -> str:
    """Return the text of a TOML file, or of the shipped document of that name. Raises ConfigurationError."""
    return _read(_locate(source, document))


def shipped(document: type[BaseModel]) -> tuple[str, ...]:
    """Return the names of the shipped documents of a type.

    >>> "billing-support" in shipped(Rubric)
    True
    """
    return tuple(sorted(path.stem for path in (LIBRARY / _FOLDERS[document]).glob("*.toml")))


def _load(source: str | Path, document: type[D]) -> D:
    path = _locate(source, document)
    return parse_document(document, _read(path), str(path))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8: byte {error.start}; save it as UTF-8") from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None


def _locate(source: str | Path, document: type[BaseModel]) -> Path:
    path = Path(source)
    if path.exists():
        return path
    own = LIBRARY / _FOLDERS[document] / f"{source}.toml"
    if path.name == str(source) and own.exists():
        return own
    names = shipped(document)
    near = difflib.get_close_matches(path.stem, names, 1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ConfigurationError(f"there is no file {str(source)!r} and no shipped {document.__name__.lower()} of that name; shipped: {', '.join(names)}.{hint}")
