"""Recorded events: bytes that a release wrote, which every later release must be able to read.

`python -m tests.contract.golden write` records version VERSION and refuses to touch what is there. Before a version is released, when its
schemas may still change, `python -m tests.contract.golden rewrite-unreleased` records it anew. After a release, raise VERSION and write.

Per event: the schema (.avsc), the records in Confluent wire format with schema id 1, one after the other behind a 4-byte length (.bin),
and what they mean (.json).
"""

import json
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trueloop.schemas import schema_text

from tests.factories import examples
from trueloop import topics
from trueloop.codec import Codec
from trueloop.events.avro import schema_file
from trueloop.testing import MemoryRegistry
from trueloop.topics import Topic

VERSION = 1
FOLDER = Path(__file__).with_name("golden")
_LENGTH = struct.Struct(">I")


@dataclass(frozen=True)
class Recorded:
    """What one version wrote on one topic: its schema, records in wire format, and the events they stand for."""

    version: int
    topic: Topic
    schema: str
    records: tuple[bytes, ...]
    events: tuple[dict[str, Any], ...]


def recorded() -> Iterator[Recorded]:
    """Yield what every version wrote on every topic of today that it knew."""
    for folder in sorted(FOLDER.glob("v*"), key=lambda path: int(path.name[1:])):
        for topic in topics.ALL:
            stem = folder / schema_file(topic.event).removesuffix(".avsc")
            if stem.with_suffix(".avsc").exists():
                yield Recorded(
                    int(folder.name[1:]),
                    topic,
                    stem.with_suffix(".avsc").read_text(encoding="utf-8"),
                    tuple(_split(stem.with_suffix(".bin").read_bytes())),
                    tuple(json.loads(stem.with_suffix(".json").read_text(encoding="utf-8"))),
                )


def _split(data: bytes) -> Iterator[bytes]:
    position = 0
    while position < len(data):
        (length,) = _LENGTH.unpack_from(data, position)
        position += _LENGTH.size + length
        yield data[position - length : position]


def write(folder: Path) -> None:
    """Record the examples of every event."""
    folder.mkdir(parents=True, exist_ok=True)
    for topic in topics.ALL:
        stem = folder / schema_file(topic.event).removesuffix(".avsc")
        codec = Codec(MemoryRegistry())
        events = examples(topic.event)
        payloads = [codec.encode(topic, event) for event in events]
        stem.with_suffix(".avsc").write_text(schema_text(schema_file(topic.event)), encoding="utf-8")
        stem.with_suffix(".bin").write_bytes(b"".join(_LENGTH.pack(len(payload)) + payload for payload in payloads))
        meaning = [plain(event.model_dump()) for event in events]
        stem.with_suffix(".json").write_text(json.dumps(meaning, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def plain(value: Any) -> Any:
    """Return an event's content as JSON can hold it: bytes in hex, moments in ISO 8601. Floats keep their exact value."""
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, bytes):
        return value.hex()
    return value.isoformat() if hasattr(value, "isoformat") else value


def main(arguments: list[str]) -> None:
    """Write the records of VERSION."""
    if arguments not in (["write"], ["rewrite-unreleased"]):
        sys.exit(f"expected `write` or `rewrite-unreleased`, got {arguments!r}")
    folder = FOLDER / f"v{VERSION}"
    if folder.exists() and arguments == ["write"]:
        sys.exit(f"{folder} is there already: what a release wrote does not change. Raise VERSION, or `rewrite-unreleased` if it never left this machine")
    for stale in folder.glob("*"):
        stale.unlink()
    write(folder)


if __name__ == "__main__":
    main(sys.argv[1:])
