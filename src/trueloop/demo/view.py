"""The demo's live view: the loop as it turns."""

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from trueloop.demo.observation import Cycle, Observation
from trueloop.events import DimensionVerdict, Verdict

STATIONS = (
    ("traces", "traces"),
    ("review-queue", "sampled"),
    ("labels", "labels"),
    ("preference-pairs", "pairs"),
    ("dataset-versions", "datasets"),
    ("training-requests", "jobs"),
    ("gates", "gates"),
    ("releases", "releases"),
)
COLOURS = {Verdict.PASS: "green", Verdict.BLOCK: "red", Verdict.INCONCLUSIVE: "yellow", Verdict.UNKNOWN: "white"}


def render(seen: Observation, phase: str, seconds: float) -> RenderableType:
    """Return the view: where the events are, what trains, and what the gates said so far."""
    return Panel(
        Group(_stations(seen), Text(), _work(seen, phase), Text(), gate_table(seen.decided)),
        title=f"trueloop demo · billing-support · {seconds:.0f} s",
        border_style="blue",
    )


def _stations(seen: Observation) -> Table:
    table = Table.grid(padding=(0, 1))
    cells: list[RenderableType] = []
    for topic, name in STATIONS:
        count = seen.events[topic]
        cells += [Text.assemble((f"{count:,}", "bold" if count else "dim"), f"\n{name}", justify="center"), Text("→", style="dim")]
    table.add_row(*cells[:-1])
    return table


def _work(seen: Observation, phase: str) -> RenderableType:
    job = seen.running
    if job is None or not job.total_steps:
        return Text(phase, style="italic")
    table = Table.grid(padding=(0, 1))
    loss = f"loss {job.metrics['loss']:.3f}" if "loss" in job.metrics else ""
    table.add_row(f"training {job.method} on {job.dataset} v{job.dataset_version}", ProgressBar(job.total_steps, job.step, width=30), loss)
    return table


def gate_table(cycles: list[Cycle]) -> RenderableType:
    """Return the table of gates: per cycle and dimension the candidate's score on held-out prompts, its bounds, and the verdict."""
    if not cycles:
        return Text("no gate yet", style="dim")
    table = Table(box=None, pad_edge=False)
    dimensions = list(dict.fromkeys(d.dimension for cycle in cycles if cycle.gate for d in cycle.gate.dimensions if d.slice == "all"))
    table.add_column("cycle", justify="right")
    table.add_column("dataset", justify="right")
    for name in dimensions:
        table.add_column(name)
    table.add_column("gate")
    table.add_column("why")
    first = cycles[0].gate
    if first is not None:
        table.add_row("0", "", *[_baseline(first.dimensions, name) for name in dimensions], Text("serving", style="dim"), "")
    for number, cycle in enumerate(cycles, 1):
        gate = cycle.gate
        if gate is None:
            continue
        cells = [_score(next((d for d in gate.dimensions if d.dimension == name and d.slice == "all"), None)) for name in dimensions]
        why = ", ".join(reason.value.lower().replace("_", " ") for reason in gate.reasons)
        verdict = Text(gate.verdict.value, style=f"bold {COLOURS[gate.verdict]}")
        table.add_row(str(number), f"v{cycle.request.dataset_version}", *cells, verdict, why)
    return table


def _baseline(found: list[DimensionVerdict], name: str) -> Text:
    score = next((d.baseline for d in found if d.dimension == name and d.slice == "all"), None)
    return Text("-" if score is None else f"{score:.3f}", style="dim")


def _score(found: DimensionVerdict | None) -> Text:
    if found is None or found.candidate is None:
        return Text("no evidence", style="dim")
    bounds = f" [{found.candidate_low:.3f}, {found.candidate_high:.3f}]"
    floor = f" ≥ {found.floor:.2f}" if found.floor is not None else ""
    return Text.assemble((f"{found.candidate:.3f}", COLOURS[found.verdict]), (bounds + floor, "dim"))
