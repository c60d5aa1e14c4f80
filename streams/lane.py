"""The state of one partition, as its processor sees it."""

from collections.abc import Mapping

from pydantic import BaseModel

from trueloop.processors.processor import Processor, View

CACHED_STATES = 20_000
"""Decoded states kept per partition, so that a key with many events is parsed once; the rest is in the table as bytes."""


class Lane:
    """States and view of one partition. Changes stay in memory until `dumped` was made durable and `settle` is called."""

    def __init__(self, processor: Processor, stored: Mapping[bytes, bytes]) -> None:
        self._processor = processor
        self._stored = stored
        self._cached: dict[str, BaseModel | None] = {}
        self._changed: dict[str, BaseModel | None] = {}
        self.view: View | None = processor.view() if processor.view else None
        if self.view is not None:
            for key, data in stored.items():
                self.view.fold(key.decode(), None, processor.load(data))

    def get(self, key: str) -> BaseModel | None:
        """Return the state under a key, or None."""
        if key in self._cached:
            return self._cached[key]
        data = self._stored.get(key.encode())
        state = None if data is None else self._processor.load(data)
        self._keep(key, state)
        return state

    def put(self, key: str, state: BaseModel | None) -> None:
        """Replace the state under a key; None deletes it."""
        old = self.get(key)
        if old is state:
            return
        self._keep(key, state)
        self._changed[key] = state
        if self.view is not None:
            self.view.fold(key, old, state)

    def dumped(self) -> dict[bytes, bytes | None]:
        """Return what has to be written: each changed key once, and only if its bytes differ from those stored."""
        dump = self._processor.dump
        changes = {key.encode(): None if state is None else dump(state) for key, state in self._changed.items()}
        return {key: data for key, data in changes.items() if self._stored.get(key) != data}

    def settle(self) -> None:
        """Take the changes for written; forget the oldest cached states when there are too many."""
        self._changed.clear()
        while len(self._cached) > CACHED_STATES:
            del self._cached[next(iter(self._cached))]

    def _keep(self, key: str, state: BaseModel | None) -> None:
        self._cached.pop(key, None)
        self._cached[key] = state
