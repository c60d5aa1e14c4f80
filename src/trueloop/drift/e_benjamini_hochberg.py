"""Discoveries among many e-values, with their false discovery rate controlled."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan, log


@dataclass(frozen=True, slots=True)
class Discoveries:
    """What was found among `n` hypotheses.

    Attributes:
        rejected: Places of the rejected null hypotheses, ascending.
        n: Hypotheses, those without evidence included.
        log_threshold: Natural logarithm of the e-value that sufficed, log(n / (fdr x number of rejected)); None when nothing was found.
    """

    rejected: tuple[int, ...]
    n: int
    log_threshold: float | None = None


def e_benjamini_hochberg(log_e_values: Sequence[float | None], fdr: float = 0.1) -> Discoveries:
    """Return which null hypotheses to reject so that the expected share of false ones among the rejected is at most `fdr`.

    With n e-values, the largest k is rejected for which the k-th largest e-value is at least n / (fdr x k). This holds under any dependence:
    slices overlap, and 'all' holds every one of them. An e-value must have expectation 1 at most when its hypothesis is true: that of
    `two_sample_e_value`, or e-detector / n at a moment that was fixed beforehand, not the largest one so far.

    Args:
        log_e_values: Natural logarithms, one per hypothesis, -inf for an e-value of 0; None is no evidence, which counts as a hypothesis with
            an e-value of 1.
        fdr: In (0, 1).

    Raises:
        ValueError: A logarithm is NaN, or `fdr` is outside (0, 1).

    Reference: Wang, R., Ramdas, A. (2022). False discovery rate control with e-values. Journal of the Royal Statistical Society B 84, 822-852,
    definition 1 and theorem 2.

    >>> e_benjamini_hochberg([log(50), log(25), None, log(3)], fdr=0.1).rejected
    (0, 1)
    """
    if not 0.0 < fdr < 1.0:
        raise ValueError(f"fdr is {fdr!r}; expected a number in (0, 1)")
    values = [0.0 if value is None else value for value in log_e_values]
    if any(isnan(value) for value in values):
        raise ValueError("log_e_values holds NaN; expected numbers, or None where there is no evidence")
    n = len(values)
    order = sorted(range(n), key=lambda place: -values[place])
    enough = [k for k, place in enumerate(order, 1) if values[place] >= log(n / (fdr * k))]
    if not enough:
        return Discoveries((), n)
    return Discoveries(tuple(sorted(order[: enough[-1]])), n, log(n / (fdr * enough[-1])))
