"""What lies in the topics and in ClickHouse, read with plain clients: confluent-kafka, fastavro, HTTP. Nothing of Trueloop is imported here."""

import io
import json
import struct
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import fastavro
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

ANSWER_S = 20.0
LEADERLESS_S = 60.0
"""How long a cluster may take to agree on its leaders."""
HEAD_ENDS_WITH = "consent"
"""The last of the leading fields of a trace: those that stand before its texts. Sampling reads no more of most traces."""
Place = tuple[str, int]
"""A topic, without the deployment's prefix, and a partition."""


@dataclass(frozen=True)
class Places:
    """Where a deployment is, and the key that blinds its candidates."""

    kafka: str
    registry: str
    clickhouse: str
    prefix: str = ""
    database: str = "trueloop"
    blinding_key: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """A record. `event` is None when its bytes are no event of the topic; `fault` then says why, or is None for a deletion.

    `head` holds the leading fields of a trace whose later ones cannot be read.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, str] = field(default_factory=dict)
    event: Mapping[str, Any] | None = None
    fault: str | None = None
    head: Mapping[str, Any] | None = None

    @property
    def at(self) -> tuple[str, int, int]:
        """Topic, partition and offset."""
        return self.topic, self.partition, self.offset


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _get(url: str, body: bytes | None = None) -> bytes:
    with _OPENER.open(urllib.request.Request(url, data=body), timeout=ANSWER_S) as answer:
        return bytes(answer.read())


class Schemas:
    """Schemas by id, and by topic."""

    def __init__(self, registry: str) -> None:
        self._registry = registry
        self._by_id: dict[int, Any] = {}
        self._names: dict[str, str] = {}

    def by_id(self, number: int) -> Any:
        """Return the parsed schema of that id, None when there is none."""
        if number not in self._by_id:
            try:
                text = json.loads(_get(f"{self._registry}/schemas/ids/{number}"))["schema"]
            except urllib.error.HTTPError as error:
                if error.code != 404:
                    raise
                return None
            self._by_id[number] = fastavro.parse_schema(json.loads(text))
        return self._by_id[number]

    def name_on(self, topic: str) -> str:
        """Return the name of the record type that belongs on a topic."""
        if topic not in self._names:
            text = json.loads(_get(f"{self._registry}/subjects/{topic}-value/versions/latest"))["schema"]
            self._names[topic] = fastavro.parse_schema(json.loads(text))["name"]
        return self._names[topic]

    def read(self, topic: str, value: bytes | None) -> tuple[dict[str, Any] | None, str | None]:
        """Return the event in a record's value, or why there is none."""
        if value is None or len(value) < 5:
            return None, "too short for a header"
        magic, number = struct.unpack_from(">bI", value)
        if magic != 0:
            return None, "not in Confluent wire format"
        schema = self.by_id(number)
        if schema is None:
            return None, "schema id that the registry does not have"
        if schema["name"] != self.name_on(topic):
            return None, "event of another topic"
        buffer = io.BytesIO(value)
        buffer.seek(5)
        try:
            event = fastavro.schemaless_reader(buffer, schema, None)
        except Exception as error:
            return None, f"no such event: {type(error).__name__}"
        if buffer.tell() != len(value):
            return None, "bytes left over"
        return dict(event), None  # type: ignore[arg-type]

    def head(self, value: bytes | None) -> dict[str, Any] | None:
        """Return the leading fields of what was meant to be a trace; None when they cannot be read either."""
        schema = self.by_id(struct.unpack_from(">I", value, 1)[0]) if value is not None and len(value) >= 5 and value[0] == 0 else None
        if schema is None or schema["name"] != self.name_on("traces"):
            return None
        names = [each["name"] for each in schema["fields"]]
        fields = schema["fields"][: names.index(HEAD_ENDS_WITH) + 1]
        try:
            return dict(fastavro.schemaless_reader(io.BytesIO(value[5:]), {**schema, "fields": fields}, None))  # type: ignore[index, arg-type]
        except Exception:  # whatever fastavro makes of it: it is no head
            return None


class Topics:
    """Reads whole topics, without joining a group."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._admin: AdminClient | None = None
        self.schemas = Schemas(places.registry)

    def _consumer(self) -> Consumer:
        return Consumer(
            {
                "bootstrap.servers": self._places.kafka,
                "group.id": "reconciler",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 10,
                "log_level": 2,
            }
        )

    def names(self) -> dict[str, int]:
        """Return partitions by topic of this deployment."""
        found = self._client().list_topics(timeout=ANSWER_S).topics
        prefix = self._places.prefix
        return {name.removeprefix(prefix): len(t.partitions) for name, t in found.items() if name.startswith(prefix) and not name.startswith("__")}

    def _client(self) -> AdminClient:
        if self._admin is None:
            self._admin = AdminClient({"bootstrap.servers": self._places.kafka, "log_level": 0})
        return self._admin

    def ends(self, topics: Iterable[str] | None = None) -> dict[Place, int]:
        """Return where each partition ends. A cluster whose leaders are changing says so: it is asked again, by a new client, until it answers."""
        asked = time.monotonic()
        while True:
            try:
                return self._ends(topics)
            except KafkaException:
                self._admin = None
                if time.monotonic() - asked > LEADERLESS_S:
                    raise

    def _ends(self, topics: Iterable[str] | None) -> dict[Place, int]:
        names = self.names()
        places = [(name, number) for name in (names if topics is None else topics) for number in range(names[name])]
        # One request per broker: a hundred partitions asked one by one are most of what a test that waits would do.
        wanted = {TopicPartition(self._places.prefix + name, number): OffsetSpec.latest() for name, number in places}
        answers = self._client().list_offsets(wanted, request_timeout=ANSWER_S)
        found = {(at.topic.removeprefix(self._places.prefix), at.partition): int(answer.result().offset) for at, answer in answers.items()}
        if any(end < 0 for end in found.values()):
            raise KafkaException(KafkaError(KafkaError.LEADER_NOT_AVAILABLE))
        return found

    def raw(self, names: Mapping[str, int], since: Mapping[Place, int] | None = None) -> Iterator[Record]:
        """Yield every record that these topics hold now, from the given offsets on, undecoded; each partition in its order."""
        starts = since or {}
        prefix = self._places.prefix
        wanted = [TopicPartition(prefix + name, number, starts.get((name, number), OFFSET_BEGINNING)) for name in names for number in range(names[name])]
        if not wanted:
            return
        consumer = self._consumer()
        try:
            consumer.assign(wanted)
            waiting, patience = {(place.topic, place.partition) for place in wanted}, time.monotonic() + ANSWER_S
            while waiting:
                messages = consumer.consume(2000, 0.05)
                patience = time.monotonic() + ANSWER_S if messages else patience
                if time.monotonic() > patience:
                    raise TimeoutError(f"{len(waiting)} partitions did not tell their end within {ANSWER_S:g} s")
                for message in messages:
                    error = message.error()
                    if error is not None and error.name() != "_PARTITION_EOF":
                        raise KafkaException(error)
                    if error is not None:
                        waiting.discard((str(message.topic()), int(message.partition() or 0)))
                        continue
                    headers = {name: data.decode("utf-8", "replace") for name, data in message.headers() or ()}  # type: ignore[union-attr]
                    name = str(message.topic()).removeprefix(prefix)
                    yield Record(name, int(message.partition() or 0), int(message.offset() or 0), message.key(), message.value(), headers)
        finally:
            consumer.close()

    def events(self, names: Mapping[str, int], compacted: Iterable[str], since: Mapping[Place, int] | None = None) -> Iterator[Record]:
        """Yield the same, decoded."""
        keeps_newest = set(compacted)
        for record in self.raw(names, since):
            if record.value is None and record.topic in keeps_newest:
                yield record
                continue
            event, fault = self.schemas.read(record.topic, record.value)
            yield replace(record, event=event, fault=fault, head=self.schemas.head(record.value) if fault and record.topic == "traces" else event)


class Tables:
    """Asks ClickHouse over HTTP. Which tables there are is asked once: they are made before it answers."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._holding: list[str] = []

    def rows(self, sql: str) -> list[list[Any]]:
        """Return the rows of a query; whole numbers as numbers."""
        settings = {"database": self._places.database, "query": f"{sql} FORMAT JSONCompactEachRow"}
        answer = _get(f"{self._places.clickhouse}/?{urllib.parse.urlencode(settings)}", b"")
        return [json.loads(line) for line in answer.splitlines()]

    def holding_records(self) -> list[str]:
        """Return the tables whose rows say where they were read."""
        found = self.rows("SELECT table FROM system.columns WHERE database = currentDatabase() AND name = '_offset' ORDER BY table")
        views = {row[0] for row in self.rows("SELECT name FROM system.tables WHERE database = currentDatabase() AND engine = 'View'")}
        return [row[0] for row in found if row[0] not in views]

    def positions(self) -> dict[Place, int]:
        """Return the offset after the newest record that the tables hold, per partition."""
        self._holding = self._holding or self.holding_records()
        each = " UNION ALL ".join(f"SELECT _topic, _partition, max(_offset) AS newest FROM {table} GROUP BY ALL" for table in self._holding)
        return {
            (topic, int(number)): int(newest) + 1 for topic, number, newest in self.rows(f"SELECT _topic, _partition, max(newest) FROM ({each}) GROUP BY ALL")
        }
