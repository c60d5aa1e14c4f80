"""What an agreement coefficient is estimated to be, and on how much evidence."""

from dataclasses import dataclass

from trueloop.events.agreement import Undefined


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimate of a coefficient.

    Attributes:
        value: The coefficient, or None when the data do not define it: no evidence is never 0.
        n_units: Units with two labels or more, the only ones that can agree or disagree.
        n_labels: Labels on those units.
        undefined: Why `value` is None; None when there is a value.
    """

    value: float | None
    n_units: int
    n_labels: int
    undefined: Undefined | None = None
