"""What a quantity is estimated to be, how sure that is, and why a part of it may be missing."""

from dataclasses import dataclass
from enum import StrEnum


class Undefined(StrEnum):
    """Why an estimate has no value, or no interval."""

    NO_LABELS = "NO_LABELS"
    """Nothing was labelled: there is no value."""
    NO_VARIATION = "NO_VARIATION"
    """What was seen does not vary: a correlation or slope has no value; a mean has one, but without a scale no interval."""
    ONE_CLUSTER = "ONE_CLUSTER"
    """Everything comes from one cluster: a mean has a value, but nothing shows how much clusters differ, so it has no interval."""
    TOO_FEW = "TOO_FEW"
    """Fewer observations than the method needs; its docstring says how many."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimate. What the data do not define is None, never 0, 1 or NaN.

    Attributes:
        value: The estimate, in the unit of what is estimated.
        n: Labelled units that it stands on.
        ci_low: Lower end of the two-sided confidence interval.
        ci_high: Its upper end.
        std_error: Standard error, from the scatter between clusters.
        n_clusters: Labelled clusters; units, where each is a cluster of its own.
        undefined: Why value or interval is None; None when both are there.
    """

    value: float | None
    n: int
    ci_low: float | None = None
    ci_high: float | None = None
    std_error: float | None = None
    n_clusters: int = 0
    undefined: Undefined | None = None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Both ends of the confidence interval, or None.

        >>> Estimate(0.5, 40, 0.25, 0.75).interval
        (0.25, 0.75)
        """
        return None if self.ci_low is None or self.ci_high is None else (self.ci_low, self.ci_high)
