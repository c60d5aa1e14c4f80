"""An optimiser whose batches are larger than a pass, and the learning rate over a job's steps."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trueloop.trainers.frame.job_config import JobConfig
from trueloop.trainers.frame.training_errors import NonFiniteLossError
from trueloop.trainers.online.prompts import hash_of

if TYPE_CHECKING:
    import torch

_LARGEST_NORM = 1.0


def rate_factor(step: int, steps: int, warmup_share: float) -> float:
    """Return the learning rate of a step (from 0) relative to the highest: it rises over the first share of the steps, then falls towards 0.

    >>> [rate_factor(step, 10, 0.2) for step in (0, 1, 2, 6, 9)]
    [0.5, 1.0, 1.0, 0.5, 0.125]
    """
    rising = math.ceil(warmup_share * steps)
    if step < rising:
        return (step + 1) / rising
    return (steps - step) / max(1, steps - rising)


def optimiser(groups: "Sequence[tuple[Mapping[str, torch.nn.Parameter], float]]") -> Any:
    """Return AdamW without weight decay over groups of parameters, each with its highest learning rate."""
    import torch

    return torch.optim.AdamW([{"params": list(parameters.values()), "lr": rate, "highest": rate} for parameters, rate in groups], weight_decay=0.0)


def set_rate(optimizer: Any, factor: float) -> None:
    """Set each group to its highest learning rate times `factor`."""
    for group in optimizer.param_groups:
        group["lr"] = group["highest"] * factor


def shuffled(count: int, size: int, *names: object) -> Iterator[list[int]]:
    """Yield the numbers below `count`, `size` at a time, in an order that depends on `names` alone."""
    order = sorted(range(count), key=lambda number: hash_of(*names, number))
    for start in range(0, count, size):
        yield order[start : start + size]


def optimise(config: JobConfig, optimizer: Any, numbers: Sequence[int], loss_of: "Callable[[Sequence[int]], torch.Tensor]") -> float:
    """Make one optimiser step of the losses of passes over `numbers`, which add up to the step's loss; return that.

    Raises NonFiniteLossError before the step when the loss is not finite.
    """
    import torch

    optimizer.zero_grad(set_to_none=True)
    total = 0.0
    for start in range(0, len(numbers), config.batch_size):
        loss = loss_of(numbers[start : start + config.batch_size])
        total += float(loss.detach())
        if not math.isfinite(total):
            raise NonFiniteLossError(f"loss is {total!r}; expected a finite number: lower learning_rate ({config.learning_rate})")
        loss.backward()
    for group in optimizer.param_groups:
        # Apart, so that the gradient of a value head that still guesses does not shorten the policy's step.
        torch.nn.utils.clip_grad_norm_(group["params"], _LARGEST_NORM)
    optimizer.step()
    return total
