"""A foreign producer: confluent-kafka, fastavro and the registry, nothing of Trueloop. It can send what our own client would refuse to."""

import io
import json
import struct
import threading
import urllib.request
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import fastavro
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from tests.faults.reading import Places

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Foreign:
    """Sends records and notes what the brokers said of each."""

    def __init__(self, places: Places, **options: Any) -> None:
        self._places = places
        self._schemas: dict[str, tuple[int, Any]] = {}
        self._noting = threading.Lock()
        self.acknowledged: set[str] = set()
        self.refused: dict[str, str] = {}
        self._producer = Producer(
            {
                "bootstrap.servers": places.kafka,
                "acks": "all",
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "linger.ms": 5,
                "message.max.bytes": 8 * 2**20,  # more than the brokers take: it is for them to refuse it
                "log_level": 2,
            }
            | options
        )

    def schema(self, topic: str) -> dict[str, Any]:
        """Return the oldest schema of a topic, which every consumer knows."""
        with _OPENER.open(f"{self._places.registry}/subjects/{topic}-value/versions/1", timeout=20) as answer:
            return dict(json.loads(json.load(answer)["schema"]))

    def register(self, topic: str, schema: Mapping[str, Any]) -> None:
        """Register a schema, and write events of the topic by it from now on."""
        body = json.dumps({"schema": json.dumps(schema), "schemaType": "AVRO"}).encode()
        request = urllib.request.Request(f"{self._places.registry}/subjects/{topic}-value/versions", body, {"Content-Type": "application/json"})
        with _OPENER.open(request, timeout=20) as answer:
            self._schemas[topic] = int(json.load(answer)["id"]), fastavro.parse_schema(dict(schema))

    def encode(self, topic: str, event: Mapping[str, Any]) -> bytes:
        """Return an event in wire format. Fields that it lacks have their defaults; no rule is checked."""
        header, schema = self.header(topic)
        buffer = io.BytesIO()
        buffer.write(header)
        fastavro.schemaless_writer(buffer, schema, dict(event))
        return buffer.getvalue()

    def header(self, topic: str) -> tuple[bytes, Any]:
        """Return what stands before each event of a topic, and the schema that it names."""
        if topic not in self._schemas:
            self.register(topic, self.schema(topic))
        number, schema = self._schemas[topic]
        return struct.pack(">bI", 0, number), schema

    def send(self, topic: str, key: str, value: bytes | None, name: str, partition: int = -1, headers: Mapping[str, object] | None = None) -> None:
        """Send a record; what becomes of it is noted under `name`."""

        def delivered(error: KafkaError | None, _message: Message) -> None:
            with self._noting:
                if error is None:
                    self.acknowledged.add(name)
                else:
                    self.refused[name] = error.name()

        texts = [(name, str(text).encode()) for name, text in (headers or {}).items()]
        while True:
            try:
                self._producer.produce(self._places.prefix + topic, value, key.encode(), partition, delivered, headers=texts)
                self._producer.poll(0)
                return
            except BufferError:
                self._producer.poll(0.1)
            except KafkaException as error:
                delivered(error.args[0], None)  # type: ignore[arg-type]
                return

    def flush(self, timeout_s: float = 60.0) -> None:
        """Wait until the brokers have said something of every record."""
        assert self._producer.flush(timeout_s) == 0, "the brokers do not answer"


def trace_event(fields: Mapping[str, Any], application: str, occurred_at: datetime) -> dict[str, Any]:
    """Return a trace as Avro has it, from the arguments that the client would get."""
    absent = ("checkpoint", "error", "latency_ms", "prompt_tokens", "completion_tokens", "subject_id", "embedding", "embedding_model")
    return {
        **dict.fromkeys(absent),
        **fields,
        "event_id": f"event-{fields['trace_id']}",
        "occurred_at": occurred_at,
        "application": application,
        "consent": fields["consent"].upper(),
        "messages": [{"role": message["role"].upper(), "content": message["content"]} for message in fields["messages"]],
        "alternatives": [{"checkpoint": None} | alternative for alternative in fields["alternatives"]],
    }


def label_event(application: str, label_id: str, task_id: str, reviewer: str, occurred_at: datetime, **said: Any) -> dict[str, Any]:
    """Return a label as Avro has it; what is said as `trueloop.Client.label` would be told."""
    absent = ("rewrite", "seconds_spent", "supersedes", "retracts")
    ratings = said.pop("ratings", {})
    preferences = said.pop("preferences", {})
    return {
        **dict.fromkeys(absent),
        "event_id": label_id, "application": application, "occurred_at": occurred_at, "task_id": task_id, "reviewer_id": reviewer,
        "rubric_id": "faults", "rubric_version": 1, "spans": [], "critiques": [],
        "ratings": [{"candidate_id": c, "dimension": d, "value": v} for c, values in ratings.items() for d, v in values.items()],
        "preferences": [{"dimension": None if name == "overall" else name, "preferred": better} for name, better in preferences.items()],
        **said,
    }  # fmt: skip
