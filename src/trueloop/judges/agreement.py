"""How often a judge agreed with people."""

from dataclasses import dataclass

from trueloop.gates.intervals import wilson

_ONE_SIDE = 0.975


@dataclass(frozen=True, slots=True)
class JudgeAgreement:
    """Of `n` pairs on which people had a preference and the judge too, it preferred the same answer on `agreed`."""

    agreed: int
    n: int

    def __post_init__(self) -> None:
        if not 0 <= self.agreed <= self.n:
            raise ValueError(f"agreed on {self.agreed} of {self.n}; expected 0 <= agreed <= n")

    @property
    def share(self) -> float | None:
        """Share of agreement in [0, 1]; None without a pair."""
        return self.agreed / self.n if self.n else None

    @property
    def p_correct(self) -> float | None:
        """Probability that its next preference is that of people: the posterior mean under a uniform prior, (agreed + 1) / (n + 2); None without a pair.

        Few pairs stay near 0.5, so that three lucky answers do not make a sure judge.

        >>> JudgeAgreement(3, 3).p_correct, JudgeAgreement(0, 0).p_correct
        (0.8, None)
        """
        return (self.agreed + 1) / (self.n + 2) if self.n else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of Wilson (1927) of the share; None without a pair.

        >>> low, high = JudgeAgreement(80, 100).interval
        >>> round(low, 4), round(high, 4)
        (0.7112, 0.8666)
        """
        if not self.n:
            return None
        bounds = wilson(self.agreed / self.n, self.n, _ONE_SIDE)
        return bounds.low, bounds.high
