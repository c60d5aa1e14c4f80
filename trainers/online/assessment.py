"""Completions with all that a learner asks of them: reward, log-probabilities under policy and reference, values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from trueloop.trainers.frame.training_errors import NonFiniteLossError
from trueloop.trainers.online.policy_pass import Reference, batches, lay_out, run
from trueloop.trainers.online.samples import Sample

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Assessed:
    """A completion and its reward; for each of its tokens the log-probability under the policy that wrote it and under the reference, and the
    value of the state before it (zeros without a value head)."""

    sample: Sample
    score: float
    log_probabilities: Floats
    reference: Floats
    values: Floats
    entropy: Floats

    @property
    def divergence(self) -> float:
        """Return how much likelier the completion is than under the reference, nats: its mean over completions is the KL divergence."""
        return float((self.log_probabilities - self.reference).sum())


def assess(
    samples: Sequence[Sample], scores: Sequence[float], model: Any, reference: Reference, head: Any, *, pad_id: int, rows: int, temperature: float, bf16: bool
) -> list[Assessed]:
    """Return each sample with what the models say of it, `rows` in one pass; `head` gives values, or is None.

    Raises NonFiniteLossError when the policy has come to numbers that are not finite.
    """
    import torch

    model.eval()
    found: list[Assessed | None] = [None] * len(samples)
    for numbers in batches(samples, rows):
        layout = lay_out([samples[number] for number in numbers], pad_id, model.device)
        with torch.no_grad():
            now = run(model, layout, temperature=temperature, bf16=bf16)
            values = head(now.states).squeeze(-1) if head is not None else torch.zeros_like(now.entropy)
            with reference() as before:
                then = run(before, layout, temperature=temperature, bf16=bf16)
        if not bool(torch.isfinite(now.log_probabilities).all() and torch.isfinite(values).all()):
            raise NonFiniteLossError("a log-probability or value of the policy is not finite; expected finite numbers: lower learning_rate")
        parts = [part.double().cpu().numpy() for part in (now.log_probabilities, then.log_probabilities, values, now.entropy)]
        for row, number in enumerate(numbers):
            length = len(samples[number].action_ids)
            found[number] = Assessed(samples[number], scores[number], *(part[row, :length] for part in parts))
    return [item for item in found if item is not None]


def padded(rows: Sequence[Floats]) -> Floats:
    """Return rows of unlike length as one array, zeros behind them.

    >>> padded([np.array([1.0]), np.array([2.0, 3.0])]).tolist()
    [[1.0, 0.0], [2.0, 3.0]]
    """
    whole = np.zeros((len(rows), max(map(len, rows))))
    for number, row in enumerate(rows):
        whole[number, : len(row)] = row
    return whole
