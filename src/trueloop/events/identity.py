"""Deterministic identities: ids of derived events and reproducible randomness, both hashes of their inputs."""

import hashlib
from collections.abc import Sequence

from trueloop.compiled import compiled

_ID_BYTES = 16
_COMPILED = compiled("events.compiled")


def _digest(parts: Sequence[str], size: int) -> bytes:
    if _COMPILED is not None:
        found: bytes = _COMPILED.digest(tuple(parts), size)
        return found
    pieces: list[bytes] = []
    for part in parts:
        data = part.encode()
        # The length before it keeps ("ab", "c") and ("a", "bc") apart.
        pieces += (len(data).to_bytes(8, "big"), data)
    return hashlib.blake2b(b"".join(pieces), digest_size=size).digest()


def derive_id(*parts: str) -> str:
    """Return the 32-hex-digit id of a derived event: the same inputs give the same id, on every machine.

    >>> derive_id("task", "trace-1") == derive_id("task", "trace-1")
    True
    >>> derive_id("ab", "c") == derive_id("a", "bc")
    False
    """
    return _digest(parts, _ID_BYTES).hex()


def unit_interval(*parts: str) -> float:
    """Return a number in [0, 1), uniform over its inputs: randomness that a replay repeats.

    >>> 0.0 <= unit_interval("salt", "trace-1") < 1.0
    True
    """
    return (int.from_bytes(_digest(parts, 8), "big") >> 11) / float(1 << 53)


def permutation(size: int, *parts: str) -> tuple[int, ...]:
    """Return a permutation of range(size), uniform over `parts` and reproducible from them.

    >>> sorted(permutation(4, "salt", "task-1"))
    [0, 1, 2, 3]
    """
    if size < 2:
        return tuple(range(size))
    return tuple(sorted(range(size), key=lambda index: _digest((*parts, str(index)), _ID_BYTES)))
