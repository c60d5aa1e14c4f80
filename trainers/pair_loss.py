"""The loss of DPO with a confidence of its own for each pair. Pure functions of tensors."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def confident_dpo_losses(delta: "torch.Tensor", *, beta: float, epsilon: "torch.Tensor", offset: "torch.Tensor") -> "torch.Tensor":
    """Return the loss of each pair: -(1 - e) log s(beta d - o) - e log s(-beta d - o), s being the logistic function.

    Args:
        delta: Chosen minus rejected log ratio of policy to reference, nats, shape (pairs,).
        beta: How strongly the policy is held to the reference model.
        epsilon: The chance that the pair's order is wrong, [0, 0.5], shape (pairs,). With 0 and no offset this is DPO (Rafailov et al. 2023,
            arXiv:2305.18290, equation 7); with one epsilon for all pairs it is cDPO (Mitchell 2023, "A note on DPO with noisy preferences").
        offset: How far apart the two are to be, >= 0, shape (pairs,): DPO with an offset (Amini et al. 2024, arXiv:2402.10571, equation 5). It
            stands on both sides, so that at epsilon 0.5 the order of the pair has no influence.
    """
    from torch.nn.functional import logsigmoid

    return -(1 - epsilon) * logsigmoid(beta * delta - offset) - epsilon * logsigmoid(-beta * delta - offset)
