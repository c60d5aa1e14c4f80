"""The losses of proximal policy optimisation (Schulman et al. 2017, arXiv:1707.06347)."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def policy_losses(new: "torch.Tensor", old: "torch.Tensor", advantages: "torch.Tensor", clip: float) -> "tuple[torch.Tensor, torch.Tensor]":
    """Return the clipped surrogate of each token, negated (equation 7), and whether the clip took its gradient away.

    All are samples x tokens: log-probabilities under the policy in training and the one that sampled, and advantages.
    """
    ratio = (new - old).exp()
    free, clipped = ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages
    return -free.minimum(clipped), clipped < free


def value_losses(new: "torch.Tensor", old: "torch.Tensor", returns: "torch.Tensor", clip: float) -> "torch.Tensor":
    """Return half the squared error of each value, at least that of a value that moved by `clip` at most: a large step gains nothing."""
    near = old + (new - old).clamp(-clip, clip)
    return 0.5 * (new - returns).square().maximum((near - returns).square())
