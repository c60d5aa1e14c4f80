"""What the demo prints at its end: tables, plots, and where to look further."""

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from trueloop.config import Settings
from trueloop.demo import plots, view
from trueloop.demo.observation import Observation
from trueloop.events import JobStatus, ReleaseReason

PICTURE = "demo.png"


def show(seen: Observation, settings: Settings, console: Console, state_dir: Path, seconds: float) -> None:
    """Print the end of the story."""
    console.print()
    console.print(_counts(seen))
    console.print(_agreement(seen))
    console.print(Text("\nheld-out prompts: candidate [one-sided bounds of its look] and floor, per gate", style="bold"))
    console.print(view.gate_table(seen.decided))
    if seen.decided:
        console.print(Text.from_ansi(plots.terminal_plot(seen.decided, console.width)))
        picture = state_dir / PICTURE
        plots.write_picture(seen.decided, picture)
        console.print(f"plot: {picture}", soft_wrap=True)
    console.print(_verdict(seen, seconds))
    console.print(_further(state_dir), soft_wrap=True, highlight=False, markup=False)


def _counts(seen: Observation) -> Table:
    trained = sum(cycle.result is not None and cycle.result.status is JobStatus.SUCCEEDED for cycle in seen.cycles.values())
    table = Table("what happened", "events", box=None, pad_edge=False)
    rows = (
        ("traces emitted by the service", seen.events["traces"]),
        ("sampled into the review queue", seen.events["review-queue"]),
        (f"labels by {len(seen.reviewers)} reviewers", seen.events["labels"]),
        ("preference pairs (revisions included)", seen.events["preference-pairs"]),
        ("prompts held out for evaluation", seen.events["calibration"]),
        ("dataset versions frozen", len(seen.datasets)),
        ("training jobs that succeeded", trained),
        ("gate decisions", len(seen.decided)),
        ("releases, the first model included", len(seen.releases)),
    )
    for name, count in rows:
        table.add_row(name, f"{count:,}")
    table.columns[1].justify = "right"
    return table


def _agreement(seen: Observation) -> Table:
    table = Table("agreement (all traces)", "units", "labels", "observed", "alpha (ordinal)", box=None, pad_edge=False)
    for name, estimate in sorted(seen.agreement.items()):
        observed = "-" if estimate.p_o is None else f"{estimate.p_o:.3f}"
        alpha = "-" if estimate.alpha_ordinal is None else f"{estimate.alpha_ordinal:.3f}"
        table.add_row(name, f"{estimate.n_units:,}", f"{estimate.n_labels:,}", observed, alpha)
    return table


def _verdict(seen: Observation, seconds: float) -> Text:
    passed = next((release for release in seen.releases if release.reason is ReleaseReason.GATE_PASS), None)
    if passed is None:
        return Text(f"\nno candidate passed within {len(seen.decided)} gates, {seconds:.0f} s. The first model still serves.", style="bold yellow")
    blocked = sum(cycle.gate is not None and cycle.gate.verdict.value != "PASS" for cycle in seen.decided)
    return Text(
        f"\nreleased {passed.checkpoint[:12]} after {len(seen.decided)} gates, {blocked} of them not passed; {seconds:.0f} s in all", style="bold green"
    )


def _further(state_dir: Path) -> str:
    commands = (
        f"export TRUELOOP_STATE_DIR={state_dir}",
        "trueloop up --detach",
        'trueloop sql "select * from v_gates"',
        'trueloop sql "select * from v_agreement"',
        'trueloop sql "select pair_id, margin, chosen, rejected from v_pairs limit 5"',
        "trueloop dlq ls",
        "trueloop down",
    )
    return "\nlook further:\n" + "\n".join(f"  {command}" for command in commands)
