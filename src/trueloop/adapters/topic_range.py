"""A range of one partition, from its first record to a given offset: what a dataset version names."""

from collections.abc import Iterator

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from trueloop.adapters.kafka import TIMEOUT_S, client_config, physical_name
from trueloop.codec import Codec
from trueloop.config import KafkaSettings
from trueloop.errors import DecodeError, IntegrityError, UnavailableError
from trueloop.events import Event
from trueloop.topics import Topic


def read_range(kafka: KafkaSettings, codec: Codec, topic: Topic, end_offset: int | None = None, partition: int = 0) -> Iterator[tuple[int, Event]]:
    """Yield (offset, event) of a partition in order, up to but without `end_offset`; None stands for the end as it is now.

    Joins no group and commits nothing. Tombstones and bad records are passed over: whoever consumes the topic in a group dead-letters them.

    Raises:
        UnavailableError: the broker does not answer, or the topic does not exist.
        IntegrityError: the partition ends before `end_offset`, so this is not the log that the range was taken from.
    """
    physical = physical_name(kafka, topic.name)
    consumer = Consumer(
        client_config(kafka) | {"group.id": "trueloop-reader", "enable.auto.commit": False, "auto.offset.reset": "earliest", "enable.partition.eof": True}
    )
    try:
        end = _end(consumer, physical, partition, end_offset, kafka)
        if end == 0:
            return
        consumer.assign([TopicPartition(physical, partition, OFFSET_BEGINNING)])
        while True:
            # poll, not consume: that one waits for a full batch, or for its timeout, even when the end has been reached.
            message = consumer.poll(TIMEOUT_S)
            if message is None:
                raise UnavailableError(f"topic {physical!r} did not answer within {TIMEOUT_S:g} s; is the broker up?")
            error, offset = message.error(), message.offset()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                raise UnavailableError(f"reading {physical!r}: {error.str()}")
            # Compaction leaves gaps: the record before `end` may be gone, but then the partition's end or a later record shows up.
            if error is not None or offset is None or offset >= end:
                return
            event = _event(codec, topic, message.value())
            if event is not None:
                yield offset, event
            if offset == end - 1:
                return
    finally:
        consumer.close()


def _end(consumer: Consumer, physical: str, partition: int, wanted: int | None, kafka: KafkaSettings) -> int:
    try:
        low, high = consumer.get_watermark_offsets(TopicPartition(physical, partition), timeout=TIMEOUT_S)
    except KafkaException as error:
        raise UnavailableError(f"topic {physical!r} cannot be read at {kafka.bootstrap_servers!r}: {error.args[0].str()}; see `trueloop doctor`") from None
    if wanted is not None and wanted > high:
        raise IntegrityError(f"topic {physical!r} ends at offset {high}; expected at least {wanted}: is this the cluster that the dataset was frozen on?")
    # A topic that holds no record any more has nothing to wait for.
    return 0 if low == high else high if wanted is None else wanted


def _event(codec: Codec, topic: Topic, value: bytes | None) -> Event | None:
    try:
        return codec.decode(topic, value)
    except DecodeError:
        return None
