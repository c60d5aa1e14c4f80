"""Delivery: a send returns when its own records are durable, whatever becomes of those of others."""

import asyncio
import threading
import time

import pytest

from tests.integration.sink_house import House
from trueloop.adapters.delivery import MISSING_TOPIC_MS, Delivery, Outgoing
from trueloop.adapters.kafka import physical_name, read_to_end
from trueloop.errors import UnavailableError
from trueloop.topics import GATES, LABELS


def test_a_send_returns_when_its_records_can_be_read(house: House):
    topic = physical_name(house.kafka, LABELS.name)
    records = [Outgoing(topic, b"key-%d" % number, b"value-%d" % number) for number in range(500)]
    asyncio.run(Delivery(house.kafka).send(records))
    found = sorted((message.key(), message.value()) for message in read_to_end(house.kafka, LABELS.name))
    assert found == sorted((record.key, record.value) for record in records)


def test_a_send_is_not_held_up_by_one_that_cannot_be_delivered(house: House):
    delivery = Delivery(house.kafka)
    finished: list[str] = []

    async def failing() -> None:
        with pytest.raises(UnavailableError, match=r"not all of 2 records for .*no-such-topic.* doctor"):
            await delivery.send([Outgoing(physical_name(house.kafka, name), b"key", b"value") for name in ("no-such-topic", GATES.name)])
        finished.append("failing")

    async def both() -> None:
        waiting = asyncio.create_task(failing())
        await asyncio.sleep(0)
        begun = time.monotonic()
        for _ in range(20):
            await delivery.send([Outgoing(physical_name(house.kafka, GATES.name), b"key", b"value")])
        finished.append("others")
        assert time.monotonic() - begun < MISSING_TOPIC_MS / 1000, "the sends waited for a topic that is none of theirs"
        await waiting

    asyncio.run(both())
    assert finished == ["others", "failing"]
    assert len(list(read_to_end(house.kafka, GATES.name))) == 21


def test_it_can_be_used_again_after_a_while_without_records(house: House):
    """The thread that hears of deliveries ends when there is nothing to hear, and the next send has one again."""
    delivery, record = Delivery(house.kafka), Outgoing(physical_name(house.kafka, GATES.name), b"key", b"value")

    async def twice() -> None:
        await delivery.send([record])
        end = time.monotonic() + 10
        while any(thread.name == "delivery-reports" for thread in threading.enumerate()):
            assert time.monotonic() < end, "the thread goes on with nothing to wait for"
            await asyncio.sleep(0.02)
        await delivery.send([record])

    asyncio.run(twice())
    assert len(list(read_to_end(house.kafka, GATES.name))) == 2
