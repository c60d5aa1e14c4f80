"""Quix Streams, in an environment of its own. Mode `identity` passes bytes on to nobody; `sampling` decodes, draws and produces what was drawn."""

import io
import json
import sys
import uuid

import fastavro
from meter import BOOTSTRAP, HEADER, SCHEMA, TOPIC, Meter
from quixstreams import Application
from quixstreams.models import TopicConfig
from rule import drawn


def main(mode: str) -> None:
    """Run the application until enough was read."""
    with open(SCHEMA) as file:
        schema = fastavro.parse_schema(json.load(file))
    application = Application(
        broker_address=BOOTSTRAP, consumer_group=uuid.uuid4().hex, auto_offset_reset="earliest", loglevel="WARNING", auto_create_topics=True,
        consumer_extra_config={"auto.offset.reset": "earliest"},
    )  # fmt: skip
    source = application.topic(TOPIC, key_deserializer="bytes", value_deserializer="bytes")
    meter = Meter()

    def counted(value: bytes) -> bytes:
        if meter.add(1):
            meter.end()
        return value

    def chosen(value: bytes) -> bool:
        buffer = io.BytesIO(value)
        buffer.seek(HEADER)
        return drawn(fastavro.schemaless_reader(buffer, schema, None)["trace_id"])

    frame = application.dataframe(source).apply(counted)
    if mode == "sampling":
        config = TopicConfig(num_partitions=4, replication_factor=1)
        target = application.topic(f"{TOPIC}-quix", key_serializer="bytes", value_serializer="bytes", config=config)
        frame.filter(chosen).to_topic(target)
    application.run()


main(sys.argv[1])
