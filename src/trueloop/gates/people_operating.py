"""Operating characteristics of people in the gate: how often their answers release and block candidates whose true win rate is known."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trueloop.gates.win_rate import WinRate
from trueloop.rubrics.gate_policy import DimensionGate

if TYPE_CHECKING:
    from numpy.random import Generator


@dataclass(frozen=True, slots=True)
class PeopleCharacteristic:
    """How many simulated candidates of a win rate were shown to meet or to miss what is asked of people, at some moment up to n answers."""

    win_rate: float
    n: int
    simulations: int
    passed: int
    blocked: int


def people_characteristics(
    gate: DimensionGate, *, better: float, comparisons: int, simulations: int, alpha: float, tests: int, random: "Generator"
) -> list[PeopleCharacteristic]:
    """Simulate candidates that miss what is asked, clearly or just, are equal to what serves, or better, and return what their answers show on the way.

    Answers are wins or losses: ties scatter less, so that with them less has to be asked. The same `WinRate` decides as on real answers.

    Args:
        gate: What is asked of people.
        better: By how much the win rate of a better candidate is above 0.5, and that of a bad one below what is asked, (0, 0.5].
        comparisons: Answers at most, >= 1.
        simulations: Candidates per win rate, >= 1.
        alpha: One-sided error that the look may spend, (0, 0.5).
        tests: Tests that Holm corrects a block for; it is taken for the smallest of their p-values.
        random: Source of randomness.
    """
    limit, found = gate.least_win_rate, list[PeopleCharacteristic]()
    for rate in dict.fromkeys((max(limit - better, 0.0), limit, 0.5, 0.5 + better)):
        drawn = random.binomial(1, rate, (simulations, comparisons)).astype(float).tolist()
        for n in dict.fromkeys((-(-comparisons // 4), -(-comparisons // 2), comparisons)):
            rates = [WinRate(tuple(answers[:n]), 0) for answers in drawn]
            passed = sum(shown.p_above(limit) <= alpha for shown in rates)
            blocked = sum(shown.p_below(limit) <= alpha / max(tests, 1) for shown in rates)
            found.append(PeopleCharacteristic(rate, n, simulations, passed, blocked))
    return found
