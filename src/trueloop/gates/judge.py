"""From statistics to verdicts, for one candidate or for thousands."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trueloop.gates.holm import holm
from trueloop.gates.requirements import Evidence, Kind, Requirement, Unit
from trueloop.gates.score_statistics import Numbers, upper_tail
from trueloop.gates.win_rate import WinRate

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the evidence says of candidates (rows) on requirements (columns), at one error alpha.

    *Passing* is an intersection-union test: a candidate passes when every requirement is met at alpha by itself. The chance to pass a candidate
    that truly misses any of them is then at most alpha, without correction, however many they are (Berger 1982, Technometrics 24:295-300).

    *Blocking* says of some requirement that it is missed. Many tests give many chances to say so of a good candidate, so their p-values are
    adjusted by Holm: the chance to say it of any requirement that is truly met is at most alpha. Safety dimensions stay outside, each at alpha:
    a good candidate is then blocked with a chance of at most alpha times (1 + their number), and a bad one is blocked sooner.

    *People's answers* are judged by p-values that hold after every answer (`WinRate`), so both errors hold over all moments at which the gate looks. Their
    test counts from the start, before anybody has answered, so that Holm's number of tests does not hang on when it is looked.

    *Counted failures* of a safety rule are a fact and no estimate: they block at once. Probes, of which nothing else is asked, are no test that Holm counts.

    Both chances are those of the normal approximation. By the exact distributions, for floors of 0.88 and 0.95, a margin of 0.02 and n from 200
    to 2000, an error of 0.05 is 0.026 to 0.054 for passing and 0.045 to 0.063 for blocking; an error of 0.0025 is below 0.0025 for passing and up
    to 2.7 times as large for blocking.

    Attributes:
        statistics: How far the evidence lies from each limit, in standard errors.
        tested: Where there was evidence enough to test.
        pass_p: One-sided p-value of "the requirement is missed".
        block_p: That of "it is met", adjusted where it has to be.
        met: Requirements that are met at alpha.
        missed: Requirements that are missed at alpha.
        failed: Requirements whose safety rule was broken.
    """

    statistics: Numbers
    tested: Mask
    pass_p: Numbers
    block_p: Numbers
    met: Mask
    missed: Mask
    failed: Mask

    @property
    def blocked(self) -> Mask:
        """Candidates of which one requirement is missed, or one safety rule broken."""
        return np.asarray((self.missed | self.failed).any(axis=1))

    @property
    def passed(self) -> Mask:
        """Candidates that meet every requirement; there has to be one."""
        return np.asarray(self.met.all(axis=1) & ~self.blocked & (self.met.shape[1] > 0))


def judge(
    required: Sequence[Requirement],
    evidence: Mapping[Unit, Evidence],
    alpha: float,
    min_items: int,
    *,
    withheld: Collection[Unit] = (),
    people: Mapping[Unit, WinRate] | None = None,
) -> Judgement:
    """Judge candidates.

    Args:
        required: What is required, m >= 1.
        evidence: By unit; one without evidence is absent. All of the same candidates, n >= 1.
        alpha: One-sided error that this look may spend, (0, 0.5).
        min_items: Least items for a test, >= 1. What is counted and not inferred needs none.
        withheld: Units whose evidence meets and misses nothing, whatever it says; failures are counted all the same.
        people: What people answered of one candidate, by unit; statistics say nothing of it.
    """
    rows = max((len(each.n) for each in evidence.values()), default=1)
    shape = (rows, len(required))
    statistics, tested, failed = np.zeros(shape), np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    asked = {column: rate for column, each in enumerate(required) if (rate := (people or {}).get(each.unit)) is not None}
    tested[:, list(asked)] = True
    for column, each in enumerate(required):
        found = evidence.get(each.unit)
        if found is None:
            continue
        statistics[:, column] = found.statistic(each)
        tested[:, column] = (found.n >= (1 if each.kind is Kind.COUNT else min_items)) & (each.unit not in withheld)
        if each.gate.failures_allowed is not None:
            failed[:, column] = found.failures > each.gate.failures_allowed + 1e-9
    exempt = np.asarray([not each.is_corrected for each in required], dtype=bool)
    above, below = upper_tail(statistics), upper_tail(-statistics)
    for column, rate in asked.items():
        above[:, column], below[:, column] = rate.p_above(required[column].limit), rate.p_below(required[column].limit)
    pass_p = np.where(tested, above, 1.0)
    block_p = np.where(tested, holm(below, tested & ~exempt), 1.0)
    return Judgement(statistics, tested, pass_p, block_p, met=pass_p <= alpha, missed=block_p <= alpha, failed=failed)
