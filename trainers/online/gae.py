"""Generalised advantage estimation (Schulman, Moritz, Levine, Jordan and Abbeel 2016, arXiv:1506.02438)."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Flags: TypeAlias = npt.NDArray[np.bool_]


def advantages(rewards: Floats, values: Floats, actions: Flags, *, discount: float = 1.0, trace_decay: float = 0.95) -> Floats:
    """Return the advantage of each action: the exponentially weighted sum of temporal differences (equations 11, 12 and 16).

    The episode ends with a row's last action: the value after it is 0. Advantage plus value is the target of the value function.

    Args:
        rewards: Completions x steps, the reward of each action.
        values: Completions x steps, the value of the state before each action.
        actions: Completions x steps, whether there is an action; a row's actions come first, without gaps.
        discount: Gamma, in [0, 1]; 1 weighs early and late rewards alike.
        trace_decay: Lambda, in [0, 1]; 0 is one temporal difference, 1 the whole return less the value.

    Returns:
        Completions x steps; 0 where there is no action.

    Raises:
        ValueError: the shapes differ, or a parameter is outside [0, 1].

    >>> row = lambda *numbers: np.array([numbers], dtype=float)
    >>> print(advantages(row(0, 0, 1), row(0.5, 0.5, 0.5), np.array([[True] * 3]), trace_decay=1.0))
    [[0.5 0.5 0.5]]
    >>> print(advantages(row(0, 1, 9), row(0.5, 0.25, 9), np.array([[True, True, False]]), discount=0.5, trace_decay=0.5))
    [[-0.1875  0.75    0.    ]]
    """
    if not rewards.shape == values.shape == actions.shape or rewards.ndim != 2:
        raise ValueError(f"got shapes {rewards.shape}, {values.shape} and {actions.shape}; expected three of the same completions x steps")
    if not (0 <= discount <= 1 and 0 <= trace_decay <= 1):
        raise ValueError(f"got discount={discount!r}, trace_decay={trace_decay!r}; expected both in [0, 1]")
    found = np.zeros_like(rewards, dtype=np.float64)
    running = np.zeros(len(rewards))
    value_after = np.zeros(len(rewards))
    for step in range(rewards.shape[1] - 1, -1, -1):
        here = actions[:, step]
        difference = rewards[:, step] + discount * value_after - values[:, step]
        running = np.where(here, difference + discount * trace_decay * running, 0.0)
        value_after = np.where(here, values[:, step], 0.0)
        found[:, step] = running
    return found
