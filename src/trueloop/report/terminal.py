"""The report in a terminal."""

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from trueloop.report import tables
from trueloop.report.reading import Evidence
from trueloop.report.tables import BAD, DOUBTFUL, GOOD, TONES, Table
from trueloop.report.wording import shown

_STYLES = {GOOD: "green", DOUBTFUL: "yellow", BAD: "bold red"}


def all_tables(evidence: Evidence) -> list[Table]:
    """Return the tables of one application, in the order in which they are told."""
    return [
        tables.agreement(evidence.agreement), tables.reviewers(evidence.reviewers), tables.estimates(evidence.estimates), tables.drift(evidence.drift),
        tables.distributions(evidence.distributions), tables.gates(evidence.gates), tables.queue(evidence.queue), tables.pairs(evidence.pairs),
        tables.datasets(evidence.datasets), tables.releases(evidence.releases),
    ]  # fmt: skip


def show(evidence: Evidence, console: Console) -> None:
    """Print the tables of each application. All that is printed is `Text`: nothing from the log is taken for markup."""
    for application in evidence.applications():
        console.print(Text(f"\n{shown(application)}", style="bold underline"))
        for table in all_tables(evidence.of(application)):
            console.print(Text(f"\n{table.title}", style="bold"))
            console.print(_rich(table) if table.rows else Text(table.empty, style="dim"))


def _rich(table: Table) -> RichTable:
    found = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in table.columns:
        found.add_column(Text(column), justify="right" if column in table.numeric else "left", overflow="fold")
    for row in table.rows:
        found.add_row(*(Text(cell, style=_STYLES[TONES[cell]] if cell in TONES else "dim" if cell.startswith("no evidence") else "") for cell in row))
    return found
