"""Bytes that releases wrote: today's codec reads them, and their readers can read what today's codec writes."""

import io
import json
import subprocess
import sys
from pathlib import Path

import fastavro
import pytest

from tests.contract.golden import FOLDER, VERSION, Recorded, plain, recorded
from tests.factories import examples
from trueloop.codec import Codec
from trueloop.testing import MemoryRegistry

EVERY_RECORDED = pytest.mark.parametrize("old", list(recorded()), ids=lambda old: f"{old.topic.name}-v{old.version}")


@EVERY_RECORDED
def test_recorded_bytes_still_mean_what_they_meant(old: Recorded) -> None:
    registry = MemoryRegistry()
    assert registry.register(old.topic.subject, old.schema) == 1  # the id in the recorded header
    codec = Codec(registry)
    assert len(old.records) == len(old.events) >= 2
    for payload, meaning in zip(old.records, old.events, strict=True):
        event = plain(codec.decode(old.topic, payload).model_dump())
        # What the old version did not know has its default, and is compared with nothing.
        assert event | meaning == event


@EVERY_RECORDED
def test_a_reader_of_that_release_reads_what_is_written_today(old: Recorded) -> None:
    registry = MemoryRegistry()
    codec = Codec(registry)
    reader = fastavro.parse_schema(json.loads(old.schema))
    for event in examples(old.topic.event):
        payload = codec.encode(old.topic, event)
        read = fastavro.schemaless_reader(io.BytesIO(payload[5:]), fastavro.parse_schema(json.loads(registry.schema(1))), reader)
        now = plain(event.model_dump())
        for name, value in plain(read).items():
            # Inside nested records an old reader sees fewer fields; those of the event itself are as they are.
            if name in now and not isinstance(value, dict | list):
                assert value == now[name], name


def test_the_values_in_the_files_are_compared(tmp_path: Path) -> None:
    old = next(iter(recorded()))
    codec = Codec(MemoryRegistry())
    codec._registry.register(old.topic.subject, old.schema)
    event = plain(codec.decode(old.topic, old.records[0]).model_dump())
    wrong = old.events[0] | {"event_id": "another"}
    assert event | wrong != event


def test_what_a_release_wrote_is_not_overwritten() -> None:
    before = {path: path.read_bytes() for path in FOLDER.rglob("*") if path.is_file()}
    refused = subprocess.run([sys.executable, "-m", "tests.contract.golden", "write"], cwd=FOLDER.parents[2], capture_output=True, text=True, check=False)
    assert refused.returncode != 0
    assert f"v{VERSION} is there already" in refused.stderr
    assert {path: path.read_bytes() for path in FOLDER.rglob("*") if path.is_file()} == before
