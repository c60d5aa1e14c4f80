"""`trueloop demo`."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    state_dir: Annotated[Path, typer.Option("--state-dir", help="Where the demo keeps its state; each run starts afresh.")] = Path(".trueloop") / "demo",
    requests_per_day: int = typer.Option(500, "--requests-per-day", min=1, help="Traffic of the made-up service, in its made-up days."),
    seed: int = typer.Option(1, "--seed", help="Another seed is another story, with other customers."),
    max_cycles: int = typer.Option(8, "--max-cycles", min=1, help="End after so many gates without a pass."),
    deadline_s: float = typer.Option(900.0, "--deadline-s", min=1.0, help="End after so many seconds."),
) -> None:
    """Watch the loop improve a model on this machine: traces, reviews, pairs, training, gate, release.

    \b
    A real broker, registry and database, and a tiny model that learns on a CPU.
    Exits with 0 when a candidate passed its gate, with 1 when none did.
    """
    from rich.console import Console

    from trueloop.demo.story import Plan, run

    console = Console()
    if not console.is_terminal:
        console = Console(width=140)  # a log has no width of its own
    plan = Plan(requests_per_day=requests_per_day, seed=seed, max_cycles=max_cycles, deadline_s=deadline_s)
    raise typer.Exit(0 if run(state_dir, plan, console) else 1)
