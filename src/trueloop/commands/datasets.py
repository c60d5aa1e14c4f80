"""`trueloop dataset`: look at datasets."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from trueloop.cli import group
from trueloop.commands.dataset_orders import freeze, rollback
from trueloop.commands.output import JSON_OPTION, print_json, print_table, printable
from trueloop.config import load_settings
from trueloop.datasets.difference import Changes, compare_datasets
from trueloop.datasets.export_files import ExportOrder, export_files, slice_counts, withhold
from trueloop.datasets.export_formats import FORMATS, find_format
from trueloop.datasets.pairs_dataset import PairsDataset
from trueloop.errors import ConfigurationError
from trueloop.events import DatasetKind, DatasetVersion, Split

app = group(help="Datasets: frozen ranges of the log. Each version can be rebuilt and checked; none is ever changed or deleted.")
NAME = typer.Argument(..., metavar="NAME[@VERSION]", help="Such as billing-support/pairs@3; without version the newest.")
_SHOWN_IDS = 20


@app.command("ls")
def list_datasets(
    application: str = typer.Option(None, "--application", "-a", help="Those of one application."),
    as_json: bool = JSON_OPTION,
) -> None:
    """List the versions of all datasets: what is in them, and who froze them."""
    from trueloop.adapters.dataset_log import DatasetLog

    found = [version for version in DatasetLog(load_settings()).versions() if application in (None, version.application)]
    if as_json:
        print_json([version.model_dump(mode="json") for version in found])
        return
    rows = [(version.name, *_trail(version)) for version in found]
    print_table(("dataset", *_TRAIL), rows, "no dataset is frozen yet; `trueloop dataset freeze APPLICATION` makes one of the pairs that are there")


_TRAIL = ("version", "items", "new", "rubric", "content", "frozen by", "frozen (UTC)", "changelog")


def _trail(version: DatasetVersion) -> tuple[object, ...]:
    by = version.frozen_by.value if version.ordered_by is None else f"{version.frozen_by.value} ({version.ordered_by})"
    rubric = f"{version.rubric_id}@{version.rubric_version}"
    at = f"{version.occurred_at:%Y-%m-%d %H:%M:%S}"
    return version.version, version.n_items, version.n_new, rubric, version.content_hash[:12], by, at, version.changelog


@app.command()
def show(name: str = NAME, verify: bool = typer.Option(False, "--verify", help="Rebuild it from the log and compare."), as_json: bool = JSON_OPTION) -> None:
    """Show a version: its content, its audit trail, the agreement at its freeze, and the jobs that were trained on it.

    With --verify the exit code is 1 when the log does not give what was frozen.
    """
    from trueloop.adapters.dataset_log import DatasetLog

    log = DatasetLog(load_settings())
    version = log.find(name)
    trail = [each for each in log.versions() if each.name == version.name and each.version <= version.version]
    jobs = log.jobs(version)
    rebuilt = log.rebuild(version) if verify else None
    splits = {split.value.lower(): len(log.rebuild(version, split).pairs) for split in (Split.TRAIN, Split.CALIBRATION)} if verify else {}
    if as_json:
        told = version.model_dump(mode="json") | {"jobs": [job.job_id for job in jobs], "trail": [each.model_dump(mode="json") for each in trail]}
        found = {} if rebuilt is None else {"verified": True, "splits": splits, "slices": slice_counts(rebuilt), "repeated_pairs": rebuilt.repeated}
        print_json(told | found)
        return
    _print_version(version)
    typer.echo("\naudit trail")
    print_table(_TRAIL, [_trail(each) for each in trail], "")
    typer.echo("\njobs")
    print_table(
        ("job", "method", "base", "requested (UTC)"), [(j.job_id, j.method, j.base_checkpoint, f"{j.occurred_at:%Y-%m-%d %H:%M:%S}") for j in jobs], "none"
    )
    if rebuilt is not None:
        _print_rebuilt(version, rebuilt, splits)


def _print_version(version: DatasetVersion) -> None:
    left_out = ", ".join(f"{part.start_offset} to {part.end_offset}" for part in version.excluded)
    facts = {
        "dataset": f"{version.name}@{version.version}, {version.kind.value.lower()} of application {version.application}",
        "content": version.content_hash,
        "parent": version.parent or "none",
        "range": f"{version.topic} up to offset {version.end_offset}" + (f", without {left_out} (rolled back)" if left_out else ""),
        "items": f"{version.n_items}, {version.n_new} of them new" + "".join(f"; {count} {source}" for source, count in version.sources.items()),
        "rubric": f"{version.rubric_id} version {version.rubric_version}; frozen under policy version {version.policy_version}",
        "alarms": ", ".join(version.drift_signal_ids) or "none",
    }
    for title, fact in facts.items():
        typer.echo(f"{title:<9}{printable(str(fact))}")
    typer.echo("\nagreement at the freeze")
    rows = [(known.dimension, "undefined" if known.alpha is None else f"{known.alpha:.3f}", known.n_units) for known in version.agreement]
    print_table(("dimension", "alpha", "units"), rows, "nothing was estimated")


def _print_rebuilt(version: DatasetVersion, rebuilt: PairsDataset, splits: dict[str, int]) -> None:
    typer.echo(f"\nidentical: the log gives {len(rebuilt.pairs)} pairs with content {version.content_hash[:12]}")
    if rebuilt.repeated:
        typer.echo(f"{rebuilt.repeated} more repeat what another task of their prompt says, and are neither trained on nor exported")
    typer.echo("in its range: " + ", ".join(f"{count} pairs of split {name}" for name, count in splits.items()))
    print_table(("slice", "pairs"), slice_counts(rebuilt).items(), "no pair has a slice")


@app.command()
def diff(before: str = NAME, after: str = NAME, as_json: bool = JSON_OPTION) -> None:
    """List the pairs that were added, removed and revised between two versions, by id, with counts by source and slice.

    \b
    Example:
      trueloop dataset diff billing-support/pairs@2 billing-support/pairs@3
    """
    from trueloop.adapters.dataset_log import DatasetLog

    log = DatasetLog(load_settings())
    versions = log.find(before), log.find(after)
    log.records(max((version.end_offset for version in versions if version.kind is DatasetKind.PAIRS), default=0))
    found = compare_datasets(*(log.rebuild(version) for version in versions))
    if as_json:
        print_json({"before": f"{versions[0].name}@{versions[0].version}", "after": f"{versions[1].name}@{versions[1].version}"} | asdict(found))
        return
    for title, changes in (("added", found.added), ("removed", found.removed), ("revised", found.revised)):
        _print_changes(title, changes)


def _print_changes(title: str, changes: Changes) -> None:
    typer.echo(f"{len(changes.pair_ids)} {title}" + printable("".join(f"; {count} {name}" for name, count in (changes.sources | changes.slices).items())))
    for pair_id in changes.pair_ids[:_SHOWN_IDS]:
        typer.echo(f"  {printable(pair_id)}")
    if len(changes.pair_ids) > _SHOWN_IDS:
        typer.echo(f"  and {len(changes.pair_ids) - _SHOWN_IDS} more; --json lists them")


@app.command()
def export(
    name: str = NAME,
    *,
    form: Annotated[str, typer.Option("--format", "-f", help=f"One of: {', '.join(FORMATS)}.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="A directory that is empty or does not exist yet.")],
    split: Annotated[str, typer.Option("--split", help="train, or calibration for an evaluation elsewhere: never train on it.")] = "train",
    licence: Annotated[str | None, typer.Option("--license", help="For huggingface: what the card says, such as cc-by-4.0 or other.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier export that lies there.")] = False,
    as_json: bool = JSON_OPTION,
) -> None:
    """Write a version as files that TRL, OpenRLHF, NeMo-RL, OpenAI or the Hugging Face hub read, with a manifest beside them.

    The version is rebuilt and checked first. Tasks with a known answer and texts without consent to training are never exported.

    \b
    Examples:
      trueloop dataset export billing-support/pairs -f trl-preference -o ./dpo
      trueloop dataset export billing-support/pairs@3 -f huggingface \\
                              -o ./card --license other
    """
    from trueloop.adapters.dataset_log import DatasetLog
    from trueloop.adapters.export_directory import check_directory, write_export

    find_format(form)
    wanted = _split(split)
    check_directory(out, replace=force)
    log = DatasetLog(load_settings())
    version = log.find(name)
    dataset, withheld = withhold(log.rebuild(version, wanted), log.gold_tasks())
    files = export_files(dataset, ExportOrder(version, form, wanted, licence, withheld))
    write_export(out, files, replace=force)
    if as_json:
        print_json({"directory": str(out), "files": {path: len(data) for path, data in files.items()}, "pairs": len(dataset.pairs), "withheld": withheld})
        return
    stayed = "".join(f"; {count} pairs stayed behind: {reason}" for reason, count in withheld.items())
    typer.echo(f"wrote {version.name}@{version.version}, {len(dataset.pairs)} pairs, as {form} to {out}: {', '.join(files)}{stayed}")


def _split(name: str) -> Split:
    try:
        return {"train": Split.TRAIN, "calibration": Split.CALIBRATION}[name]
    except KeyError:
        raise ConfigurationError(f"--split {name!r}; expected 'train' or 'calibration'") from None


app.command()(freeze)
app.command()(rollback)
