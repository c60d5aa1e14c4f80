"""Two sets of records, compared by what they say: where they lie, when they were written and how often they were sent does not matter."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from trueloop.replay_log.difference import Compared, Difference, Kind, Place

_DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class Said:
    """One record: what it is by id, what it is about, a digest of what it says, and where it lies. `gone`: it says that its subject is no more."""

    identity: str
    subject: str
    content: bytes
    place: Place
    gone: bool = False


class Comparison(Protocol):
    """Takes in the log, then the rebuild, and tells what differs."""

    def take_real(self, said: Said) -> None:
        """Take in a record of the log."""
        ...

    def take_rebuilt(self, said: Said, *, in_flight: bool) -> None:
        """Take in a record of the rebuild; `in_flight` when the loop may not have got to it yet. All of the log was taken in before."""
        ...

    def result(self) -> Compared:
        """Return what came of it."""
        ...


def content_of(record: Mapping[str, Any], without: frozenset[str] = frozenset()) -> bytes:
    """Return a digest of what a decoded record says, apart from the fields `without`.

    >>> content_of({"a": 1, "b": 2.5}) == content_of({"b": 2.5, "a": 1})
    True
    >>> content_of({"a": 1, "at": 5}, frozenset({"at"})) == content_of({"a": 1, "at": 6}, frozenset({"at"}))
    True
    """
    kept = {name: value for name, value in record.items() if name not in without}
    text = json.dumps(kept, sort_keys=True, default=_plain)
    return hashlib.blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest()


def differing_fields(real: Mapping[str, Any], rebuilt: Mapping[str, Any], without: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """Return the names of the fields in which two records differ; never their values, which may be human text.

    >>> differing_fields({"a": 1, "b": 2, "at": 5}, {"a": 1, "b": 3, "at": 6}, frozenset({"at"}))
    ('b',)
    """
    names = [name for name in {**real, **rebuilt} if name not in without]
    return tuple(sorted(name for name in names if real.get(name) != rebuilt.get(name)))


def _plain(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else value.isoformat() if hasattr(value, "isoformat") else repr(value)


@dataclass(slots=True)
class _Real:
    identity: str
    subject: str
    place: Place
    met: bool = False


class EventComparison:
    """Every event counts, once for each different thing that is said under its id.

    Holds one entry per event of the log, some 400 bytes.
    """

    def __init__(self, name: str, *, is_compacted: Callable[[str], bool] = lambda _: False) -> None:
        """Compare the topic `name`.

        `is_compacted(subject)` tells, of what only the rebuild says, whether the broker may have removed it for a later record of its key.
        """
        self._compared = Compared(name)
        self._is_compacted = is_compacted
        self._real: dict[tuple[str, bytes], _Real] = {}
        self._again: set[tuple[str, bytes]] = set()
        self._extra: list[tuple[Said, bool]] = []

    def take_real(self, said: Said) -> None:
        """Take in a record of the log."""
        self._compared.real += 1
        key = (said.identity, said.content)
        if key in self._real:
            self._compared.repeated += 1
        else:
            self._real[key] = _Real(said.identity, said.subject, said.place)

    def take_rebuilt(self, said: Said, *, in_flight: bool) -> None:
        """Take in a record of the rebuild."""
        self._compared.rebuilt += 1
        key = (said.identity, said.content)
        found = self._real.get(key)
        if found is not None:
            found.met = True
        elif key not in self._again:
            self._again.add(key)
            self._extra.append((said, in_flight))

    def result(self) -> Compared:
        """Return what came of it."""
        compared = self._compared
        unmet = [real for real in self._real.values() if not real.met]
        compared.identical = len(self._real) - len(unmet)
        by_identity: dict[str, list[_Real]] = {}
        for real in unmet:
            by_identity.setdefault(real.identity, []).append(real)
        for said, in_flight in self._extra:
            twins = by_identity.get(said.identity)
            if twins:
                twin = twins.pop(0)
                compared.differences.append(Difference(Kind.DIFFERENT, said.identity, said.subject, twin.place, said.place))
            elif in_flight:
                compared.in_flight += 1
            elif self._is_compacted(said.subject):
                compared.superseded += 1
            else:
                compared.differences.append(Difference(Kind.MISSING, said.identity, said.subject, None, said.place))
        left = (real for reals in by_identity.values() for real in reals)
        compared.differences += [Difference(Kind.UNEXPECTED, real.identity, real.subject, real.place) for real in left]
        differing = {difference.subject for difference in compared.differences}
        compared.half_known = {real.subject for real in self._real.values() if real.met and real.subject in differing}
        return compared


class LastWordComparison:
    """Only the last record of each subject counts: a summary that is told anew with every batch, whose batches are cut elsewhere each time.

    A subject that is no more in the end is as one that never was: whether it was for a while may hang on which of two topics was read first.
    """

    def __init__(self, name: str) -> None:
        """Compare the topic `name`."""
        self._compared = Compared(name)
        self._real: dict[str, Said] = {}
        self._rebuilt: dict[str, Said] = {}
        self._moving: set[str] = set()

    def take_real(self, said: Said) -> None:
        """Take in a record of the log."""
        self._compared.real += 1
        self._compared.superseded += said.subject in self._real
        self._real[said.subject] = said

    def take_rebuilt(self, said: Said, *, in_flight: bool) -> None:
        """Take in a record of the rebuild."""
        self._compared.rebuilt += 1
        if in_flight:
            self._moving.add(said.subject)
        else:
            self._rebuilt[said.subject] = said

    def result(self) -> Compared:
        """Return what came of it. Of what was told anew in flight, nothing is known."""
        self._compared.in_flight = len(self._moving)
        for difference in self._differences():
            if difference.subject not in self._moving:
                self._compared.differences.append(difference)
        return self._compared

    def _differences(self) -> Iterator[Difference]:
        for subject, said in self._rebuilt.items():
            real = self._real.get(subject)
            if said.gone and (real is None or real.gone):
                self._compared.identical += 1
            elif real is None:
                yield Difference(Kind.MISSING, said.identity, subject, None, said.place)
            elif (real.identity, real.content) == (said.identity, said.content):
                self._compared.identical += 1
            else:
                yield Difference(Kind.DIFFERENT, real.identity, subject, real.place, said.place)
        for subject, real in self._real.items():
            if subject not in self._rebuilt and real.gone:
                self._compared.identical += 1
            elif subject not in self._rebuilt:
                yield Difference(Kind.UNEXPECTED, real.identity, subject, real.place)
