"""The errors of a training job.

TrainingError
 +- DatasetError        rows that nothing can be learnt from (also a ValueError)
 +- NonFiniteLossError  the loss or a weight became NaN or infinite (also an ArithmeticError)
 +- DeviceMemoryError   the device or the machine ran out of memory (also a MemoryError)
 +- DiskFullError       the disk is full (also an OSError)

Messages hold line numbers and settings, never text of the dataset.
"""

import contextlib
import errno
from collections.abc import Iterator

from trueloop.errors import TrainingError, TrueloopError


class DatasetError(TrainingError, ValueError):
    """A dataset that nothing can be learnt from."""


class NonFiniteLossError(TrainingError, ArithmeticError):
    """The loss became NaN or infinite; the weights are lost."""


class DeviceMemoryError(TrainingError, MemoryError):
    """The device or the machine ran out of memory."""


class DiskFullError(TrainingError, OSError):
    """The disk is full."""

    def __str__(self) -> str:
        return str(self.args[-1])


@contextlib.contextmanager
def named_faults(batch_size: int) -> Iterator[None]:
    """Turn the libraries' ways of running out of memory or disk into DeviceMemoryError and DiskFullError, which say what to do."""
    try:
        yield
    except TrueloopError:
        raise
    except Exception as error:  # each library has its own class for a full disk, safetensors one below Exception alone
        if is_out_of_memory(error):
            raise DeviceMemoryError(
                f"the device ran out of memory with batch_size {batch_size}; lower batch_size and raise gradient_accumulation_steps by the same factor, "
                "or set gradient_checkpointing, precision = 'bf16' or adapter = 'lora'"
            ) from error
        if is_disk_full(error):
            raise DiskFullError(
                errno.ENOSPC, "the disk is full; expected room for the checkpoint and for two states of the run: free some, or move the model store"
            ) from error
        raise


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an allocation failed: torch has a class for it on CUDA, and only words for its CPU allocator."""
    if isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__:
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in ("out of memory", "can't allocate memory", "not enough memory"))


def is_disk_full(error: BaseException) -> bool:
    """Return whether an error means ENOSPC or EDQUOT: safetensors and torch wrap it in classes of their own and keep it in the words at best."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return any(words in str(error) for words in ("No space left on device", "os error 28", "os error 122", "PytorchStreamWriter failed writing"))
