"""Poison pills: records that no consumer can use, one of each kind."""

import math
import os
import random
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from tests.faults.foreign import Foreign, label_event, trace_event
from tests.faults.load import LONGEST_TEXT, POLICY, REVIEWERS, trace_fields, verdict
from tests.faults.rules import draw

RAW_TOPICS = (
    "traces", "labels", "review-queue", "agreement-units", "drift-observations", "preference-pairs", "agreement", "releases", "gates", "training-results",
    "evaluations", "appeals", "gold", "drift", "training-requests", "erasures",
)  # fmt: skip
"""Topics that bytes are thrown at which are no event."""
LARGE = 1_900_000
"""Bytes that the brokers still take, and that are too many for a dead letter with its headers to copy beside them."""
TOO_LARGE = 3_000_000


def of_another_topic(foreign: Foreign, topic: str) -> bytes:
    """Return an event that belongs on another topic."""
    common = {"event_id": "elsewhere", "occurred_at": datetime.now(UTC), "application": "elsewhere"}
    if topic == "appeals":
        return foreign.encode("erasures", common | {"subject_id": "s", "reason": ""})
    return foreign.encode("appeals", common | {"trace_id": "t", "subject_id": None, "dimension": None, "text": ""})


def bytes_that_are_no_event(foreign: Foreign, topic: str, seed: int = 0) -> dict[str, bytes | None]:
    """Return values by kind: the reason with which they have to be refused, or "any" where several would be right."""
    number, _ = foreign.header(topic)
    chance = random.Random(seed)
    return {
        "TRUNCATED no value": None,
        "TRUNCATED empty": b"",
        "TRUNCATED header": number[:3],
        "TRUNCATED header alone": number,
        "TRUNCATED first field": number + b"\x7e" + b"only a part",
        "WRONG_MAGIC json": b'{"trace_id": "and long enough"}',
        "WRONG_MAGIC seven": b"\x07" + number[1:] + chance.randbytes(40),
        "UNKNOWN_SCHEMA": b"\x00\x7f\xff\xff\xff" + chance.randbytes(60),
        "SCHEMA_MISMATCH of another topic": of_another_topic(foreign, topic),
        "SCHEMA_MISMATCH length below zero": number + b"\xff" * 60,
        "any random bytes": b"\x01" + chance.randbytes(200),
        "any random bytes behind the header": number + b"\xff" + chance.randbytes(200),
    }


def invalid_traces(application: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield traces that are Avro events and break the documented ranges."""
    good = trace_event(trace_fields(application, 3) | {"error": None, "consent": "training"}, application, datetime.now(UTC))
    broken: Mapping[str, dict[str, Any]] = {
        "score above 1": {"scores": {"judge": 1.5}},
        "score that is no number": {"scores": {"judge": math.nan}},
        "endless score": {"scores": {"judge": math.inf}},
        "latency below 0": {"latency_ms": -1.0},
        "tokens below 0": {"prompt_tokens": -1},
        "no messages": {"messages": []},
        "long id": {"trace_id": "x" * 300},
    }
    for name, change in broken.items():
        identity = f"{application}-{name}".replace(" ", "-")
        yield name, good | {"event_id": identity, "trace_id": identity} | change


def traces_cut_short(foreign: Foreign, application: str, number: int) -> Iterator[tuple[str, bytes]]:
    """Yield traces whose leading fields are whole and whose texts are not; some of them are drawn."""
    for place in range(12):
        fields = trace_fields(application, number * 100 + place) | {"trace_id": f"{application}-cut-{number}-{place}"}
        whole = foreign.encode("traces", trace_event(fields, application, datetime.now(UTC)))
        yield ("any cut", whole[:-20]) if place % 2 else ("any longer", whole + b"more")


def too_long_trace(application: str) -> dict[str, Any]:
    """Return a trace that is drawn and holds more text than the policy lets people read."""
    number = next(n for n in range(10_000) if draw(f"{application}-long-{n}", "1") < POLICY["sampling"]["rate"])
    fields = trace_fields(application, number) | {"trace_id": f"{application}-long-{number}", "error": None, "consent": "training"}
    return trace_event(fields | {"completion": "x" * (LONGEST_TEXT + 1)}, application, datetime.now(UTC))


def faulty_labels(application: str, task_id: str, candidates: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield labels that cannot count, by the reason with which they have to be refused. Their reviewer has no other label."""
    good = verdict(task_id, REVIEWERS[0], candidates)
    first = sorted(candidates)[0]
    said: Mapping[str, dict[str, Any]] = {
        "UNKNOWN_TASK": {"task_id": "task-that-never-was", **good},
        "UNKNOWN_CANDIDATE": {"ratings": {"nobody": {"tone": 3}}},
        "UNKNOWN_DIMENSION": {"ratings": {first: {"beauty": 3}}},
        "OFF_SCALE": {"ratings": {first: {"tone": 6}}},
        "EMPTY_LABEL": {},
        "RUBRIC_MISMATCH": {**good, "rubric_version": 9},
        "UNKNOWN_LABEL": {**good, "supersedes": "label-that-never-was"},
    }
    for reason, change in said.items():
        task = change.pop("task_id", task_id)
        yield reason, label_event(application, f"{application}-{reason}-{task_id[:8]}", task, "mallory", datetime.now(UTC), **change)
    twice = label_event(application, f"{application}-twice-{task_id[:8]}", task_id, "mallory", datetime.now(UTC), **good)
    yield "INVALID_EVENT", twice | {"ratings": [*twice["ratings"], *twice["ratings"]]}


def random_bytes(size: int) -> bytes:
    """Return bytes that do not compress, behind a wrong magic byte."""
    return b"\x09" + os.urandom(size - 1)
