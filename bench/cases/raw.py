"""The client by itself: confluent-kafka in batches. Mode `bytes` decodes nothing and is the limit; `decode` decodes with fastavro."""

import io
import json
import sys
import uuid

import fastavro
from confluent_kafka import Consumer
from meter import BOOTSTRAP, HEADER, SCHEMA, TOPIC, Meter


def main(mode: str) -> None:
    """Read until enough."""
    with open(SCHEMA) as file:
        schema = fastavro.parse_schema(json.load(file))
    consumer = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": uuid.uuid4().hex, "auto.offset.reset": "earliest", "enable.auto.commit": False})
    consumer.subscribe([TOPIC])
    meter = Meter()
    over = False
    while not over:
        messages = consumer.consume(1000, 0.1)
        if mode == "decode":
            for message in messages:
                buffer = io.BytesIO(message.value())
                buffer.seek(HEADER)
                fastavro.schemaless_reader(buffer, schema, None)
        over = bool(messages) and meter.add(len(messages))
        if messages:
            consumer.commit(asynchronous=True)
    meter.tell()
    consumer.close()


main(sys.argv[1])
