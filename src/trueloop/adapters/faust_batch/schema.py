"""The schema of topics that are read as batches."""

from collections.abc import Awaitable, Callable
from typing import Any

import faust
from faust.types import AppT, EventT


class BatchSchema(faust.Schema):  # type: ignore[misc]
    """Passes the batch through: Faust's codecs would look for one key and one value."""

    def compile(self, app: AppT, **_options: Any) -> Callable[..., Awaitable[EventT]]:
        """Return the function that makes an event of a message."""
        create_event = app.create_event

        async def decode(message: Any, *, propagate: bool = False) -> EventT:
            return create_event(None, message.value, None, message)

        return decode
