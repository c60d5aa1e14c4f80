"""What an exception may say outside the training process: our own words, never those of a library that may quote the dataset."""

import errno
import traceback
from pathlib import Path

from pydantic import ValidationError
from trueloop.trainers.exchange import RemoteFault
from trueloop.trainers.job_events import Fault

import trueloop
from trueloop.errors import TrueloopError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

_OURS = (Path(__file__).parent, Path(trueloop.__file__).parent)


def describe(error: BaseException) -> Fault:
    """Return the fault that an exception stands for.

    Errors of Trueloop, and those raised by a trainer itself, are quoted: they name keys, ids and numbers. Of any other the class and the
    place are given, because its message may hold text of the dataset.
    """
    name = type(error).__name__
    if isinstance(error, ValidationError):
        faults = "; ".join(f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in error.errors(include_input=False)[:5])
        return Fault(name, f"{error.title} is wrong: {faults}. Correct the policy's training.config")
    if isinstance(error, RemoteFault):
        return error.fault
    # safetensors and torch tell of a full disk in an error of their own.
    if (isinstance(error, OSError) and error.errno in _FULL) or "No space left on device" in str(error) or "File too large" in str(error):
        return Fault("DiskFull", "no space was left where the job writes: free some under models_dir, then run `trueloop jobs retry`")
    if isinstance(error, TrueloopError):
        return Fault(name, str(error))
    frames = traceback.extract_tb(error.__traceback__)
    # The words are ours only where our own `raise` chose them; int(text), say, raises a ValueError that quotes the text.
    if frames and isinstance(error, ValueError) and _is_ours(frames[-1].filename) and (frames[-1].line or "").startswith("raise "):
        return Fault(name, str(error))
    ours = next((frame for frame in reversed(frames) if _is_ours(frame.filename)), None)
    place = f" in {Path(ours.filename).name}, line {ours.lineno}" if ours else ""
    hint = "; the device ran out of memory: lower the batch size" if "OutOfMemory" in name or isinstance(error, MemoryError) else ""
    return Fault(name, f"{name}{place}{hint}. Its message is withheld, as it may quote the dataset; run the trainer by hand to see it")


def _is_ours(filename: str) -> bool:
    return any(Path(filename).is_relative_to(folder) for folder in _OURS)
