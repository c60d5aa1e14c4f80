"""The first look at a batch: what most records are done with."""

from collections.abc import Callable

import numpy as np

from trueloop.adapters.faust_batch import Batch
from trueloop.adapters.faust_batch.records import offsets_of, values_of
from trueloop.codec import Codec
from trueloop.errors import DecodeError
from trueloop.events import Event
from trueloop.processors.processor import Context, Screen, Screened
from trueloop.topics import Topic

Decoded = Event | DecodeError | None
"""What a record is: an event, not an event, or a deletion."""


def screened(
    screen: Screen, codec: Codec, topic: Topic, batch: Batch, *, context: Context, decode: Callable[[int], Decoded]
) -> tuple[Screened, dict[int, Decoded]]:
    """Screen a batch; return what was found, and the records that were decoded on the way by their place: those that are unusual, or bad.

    Raises UnavailableError when the registry does not answer.
    """
    records = batch.records
    columns = codec.columns(values_of(records), screen.fields)
    rows = screen.rows_of_events([], []) if columns is None else screen.rows(columns)
    rest: dict[int, Decoded] = {}
    if len(rows.places) < len(records):
        rest = {place: decode(place) for place in np.setdiff1d(np.arange(len(records)), rows.places).tolist()}
        good = [(event, place) for place, event in rest.items() if isinstance(event, Event)]
        rows = screen.joined(rows, screen.rows_of_events([event for event, _ in good], [place for _, place in good]))
    return screen.run(rows, context=context, source=f"{topic.name}/{batch.partition}", offsets=offsets_of(records)), rest
