"""What people in the gate let pass, as `trueloop gate power` shows it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from trueloop.commands.output import print_table, printable
from trueloop.rubrics.gate_policy import DimensionGate, Gate

if TYPE_CHECKING:
    from numpy.random import Generator

    from trueloop.gates.looks import Look
    from trueloop.gates.people_operating import PeopleCharacteristic

BETTER = 0.1
"""By how much the win rate of the better candidate that is simulated is above 0.5, and that of the bad one below what is asked."""
MOST_SIMULATIONS = 1000
"""Each of them is a path of answers that is looked at after every one."""


def people_power(gate: Gate, asked: DimensionGate, look: "Look", *, tests: int, simulations: int, random: "Generator") -> "list[PeopleCharacteristic]":
    """Return what the answers of people show of candidates whose win rate is known."""
    from trueloop.gates.people_operating import people_characteristics

    return people_characteristics(
        asked,
        better=BETTER,
        comparisons=gate.people.comparisons,
        simulations=min(simulations, MOST_SIMULATIONS),
        alpha=look.alpha,
        tests=tests,
        random=random,
    )


def show_people_power(gate: Gate, rows: "Sequence[PeopleCharacteristic]") -> None:
    """Print it; nothing when nobody is asked."""
    asked = gate.asks_people
    if asked is None or not rows:
        return
    typer.echo(
        f"\npeople on {printable(asked.dimension)}, by themselves: a win rate {'above' if asked.require == 'superior' else 'of at least'} "
        f"{asked.least_win_rate:g}, looked at after every answer, no ties; {rows[0].simulations:,} simulations a row"
    )
    cells = [(row.n, f"{row.win_rate:.3g}", *(f"{100 * count / row.simulations:.1f}" for count in (row.passed, row.blocked))) for row in rows]
    print_table(("answers", "true win rate", "shown to pass by then %", "shown to miss by then %"), cells, "nothing was simulated")
