"""The draw of a trace: a number in [0, 1) that is compared with its inclusion probability, the same in every replay."""

import hashlib

import numpy as np
import numpy.typing as npt

from trueloop.compiled import compiled

Hashes = npt.NDArray[np.uint64]
_BYTES = 8
_COMPILED = compiled("events.compiled")


def hashes(trace_ids: list[bytes]) -> Hashes:
    """Return 64 bits of the BLAKE2b hash of each trace id (UTF-8)."""
    if _COMPILED is not None:
        return np.frombuffer(_COMPILED.hashes(trace_ids), np.uint64)
    blake2b = hashlib.blake2b
    joined = b"".join([blake2b(each, digest_size=_BYTES).digest() for each in trace_ids])
    return np.frombuffer(joined, ">u8").astype(np.uint64)


def draws(hashed: Hashes, salt: str) -> npt.NDArray[np.float64]:
    """Return the draw of each hashed trace id under a salt: uniform over trace ids, and unrelated between salts.

    The hash is cryptographic, so nobody can steer it by a choice of ids; the salt is then mixed in with the finaliser of SplitMix64 (Steele, Lea
    and Flood 2014), which is a bijection of 64 bits: uniform stays uniform, at the price of a few array operations.

    >>> some = hashes([b"trace-1", b"trace-2"])
    >>> bool(((draws(some, "a") >= 0) & (draws(some, "a") < 1)).all()), bool((draws(some, "a") == draws(some, "b")).any())
    (True, False)
    """
    mixed = hashed ^ hashes([salt.encode()])[0]
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    uniform: npt.NDArray[np.float64] = (mixed >> np.uint64(11)).astype(np.float64) / float(1 << 53)
    return uniform
