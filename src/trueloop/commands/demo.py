"""`trueloop demo`."""

from pathlib import Path
from typing import Annotated, Any

import typer


def demo(
    state_dir: Annotated[Path, typer.Option("--state-dir", help="Where the demo keeps its state; delete it to start afresh.")] = Path(".trueloop-demo"),
    fast: bool = typer.Option(False, "--fast", help="Fewer prompts: a shorter run, wider bounds."),
) -> None:
    """Watch the loop improve a model on this machine: traces, reviews, pairs, training, gate, release.

    Everything runs locally, with a real broker and a tiny model that learns on a CPU.
    """
    from trueloop.demo import story

    run: Any = story.run
    raise typer.Exit(int(run(state_dir=state_dir, fast=fast) or 0))
