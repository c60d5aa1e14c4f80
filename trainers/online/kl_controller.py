"""How strongly a policy is held to its reference: a coefficient that follows the divergence."""

_LARGEST_ERROR = 0.2


def next_coefficient(coefficient: float, divergence: float, target: float, gain: float = 0.1) -> float:
    """Return the coefficient of the KL penalty after a step: up when the policy went too far, down when it could go further.

    Ziegler et al. 2019 (arXiv:1909.08593, section 2.2): beta (1 + K e) with e = clip((KL - target) / target, -0.2, 0.2), in log space a
    proportional controller, so one step changes the coefficient by 2 % at most with the paper's gain K = 0.1.

    Args:
        coefficient: Beta of the step that was made, >= 0.
        divergence: Mean KL divergence of its completions to the reference, nats per completion.
        target: The divergence to hold, nats per completion, > 0.
        gain: K, in (0, 1].

    >>> next_coefficient(0.2, divergence=12.0, target=6.0)
    0.20400000000000001
    >>> next_coefficient(0.2, divergence=6.6, target=6.0)
    0.202
    >>> next_coefficient(0.2, divergence=0.0, target=6.0)
    0.196
    """
    if not target > 0 or not 0 < gain <= 1 or not coefficient >= 0:
        raise ValueError(f"got coefficient={coefficient!r}, target={target!r}, gain={gain!r}; expected coefficient >= 0, target > 0, 0 < gain <= 1")
    error = max(-_LARGEST_ERROR, min(_LARGEST_ERROR, (divergence - target) / target))
    return coefficient * (1 + gain * error)
