"""What a topic holds now, for a job that reads the log beside its own events."""

from collections.abc import Iterator

from trueloop.trainers.job_context import JobContext

from trueloop.adapters.kafka import read_to_end
from trueloop.errors import DecodeError
from trueloop.events import Event
from trueloop.topics import Topic


def events_of(context: JobContext, topic: Topic) -> Iterator[Event]:
    """Yield what a topic holds; bad records are passed over: whoever consumes it in a group dead-letters them. Raises UnavailableError."""
    for message in read_to_end(context.settings.kafka, topic.name):
        try:
            yield context.codec.decode(topic, message.value())
        except DecodeError:
            continue
