"""What an agreement coefficient is estimated to be, how sure that is, and on how much evidence."""

from dataclasses import dataclass

from trueloop.events.agreement import Undefined


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimate of a coefficient. What the data do not define is None, never 0, 1 or NaN.

    Attributes:
        value: The coefficient.
        n_units: Units with two labels or more, the only ones that can agree or disagree.
        n_labels: Labels on those units.
        undefined: Why `value`, or else the interval, is None; None when both are there.
        ci_low: Lower end of the two-sided confidence interval.
        ci_high: Its upper end.
        std_error: Standard error, from the scatter between clusters.
        n_clusters: Clusters that those units belong to: what was sampled independently. Each unit is one, unless clusters were given.
    """

    value: float | None
    n_units: int
    n_labels: int
    undefined: Undefined | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    std_error: float | None = None
    n_clusters: int = 0

    @property
    def n(self) -> int:
        """Units with two labels or more."""
        return self.n_units

    @property
    def interval(self) -> tuple[float, float] | None:
        """Both ends of the confidence interval, or None.

        >>> Estimate(0.5, 40, 80, ci_low=0.25, ci_high=0.75).interval
        (0.25, 0.75)
        """
        return None if self.ci_low is None or self.ci_high is None else (self.ci_low, self.ci_high)
