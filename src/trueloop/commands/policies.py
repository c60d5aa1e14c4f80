"""`trueloop policy`."""

from datetime import UTC, datetime
from pathlib import Path

import typer

from trueloop.adapters.documents import load_policy, load_rubric, shipped
from trueloop.cli import group
from trueloop.commands.governed import SOURCE, pick, print_published
from trueloop.commands.output import JSON_OPTION, print_json
from trueloop.config import load_settings
from trueloop.rubrics import Policy, Rubric, content_hash
from trueloop.rubrics.publication import check_policy

app = group(
    help="Policies say how an application samples, trains and gates. They are TOML files under your version control; these shipped ones are examples:\n\n"
    + ", ".join(shipped(Policy))
)
RUBRIC_OPTION = typer.Option(None, "--rubric", help="Its rubric, to check against; default: the shipped one of that id.")


@app.command()
def check(source: str = SOURCE, rubric: Path = RUBRIC_OPTION, as_json: bool = JSON_OPTION) -> None:
    """Check a policy file, against its rubric too where that is at hand, without publishing it.

    \b
    Examples:
      trueloop policy check policies/support.toml --rubric rubrics/support.toml
      trueloop policy check billing-support
    """
    policy = load_policy(source)
    beside = rubric or _rubric_at_hand(policy)
    warnings = check_policy(policy, load_rubric(beside)) if beside else (f"not checked against rubric {policy.rubric.id!r}: name its file with --rubric",)
    if as_json:
        print_json({"id": policy.id, "version": policy.version, "content_hash": content_hash(policy), "warnings": warnings})
        return
    typer.echo(f"ok: policy {policy.id!r} version {policy.version} for application {policy.application!r}; content {content_hash(policy)[:12]}")
    _warn(warnings)


@app.command()
def publish(source: str = SOURCE, as_json: bool = JSON_OPTION) -> None:
    """Publish a policy; it is in force from now on. Its rubric has to be published before.

    A version never changes once published: raise `version` for every change. Publishing the same again does nothing.
    """
    from trueloop.adapters.publication import Documents

    policy = load_policy(source)
    new, warnings = Documents(load_settings()).publish_policy(policy, datetime.now(UTC))
    if as_json:
        print_json({"id": policy.id, "version": policy.version, "content_hash": content_hash(policy), "published": new, "warnings": warnings})
        return
    typer.echo(f"{'published' if new else 'already published:'} policy {policy.id!r} version {policy.version} for application {policy.application!r}")
    _warn(warnings)


@app.command("ls")
def list_policies(as_json: bool = JSON_OPTION) -> None:
    """List the published policies; of each application the newest is in force."""
    from trueloop.adapters.publication import Documents

    print_published(Documents(load_settings()).policies(), as_json, "no policy is published; try `trueloop policy publish billing-support`")


@app.command()
def show(name: str = typer.Argument(..., metavar="ID[@VERSION]", help="A published policy; without version the newest."), as_json: bool = JSON_OPTION) -> None:
    """Show a published policy with all its defaults."""
    from trueloop.adapters.publication import Documents

    found = pick(name, Documents(load_settings()).policies())
    policy = Policy.model_validate_json(found.document)
    if as_json:
        print_json(policy.model_dump(mode="json") | {"content_hash": found.content_hash, "published_at": found.occurred_at})
        return
    typer.echo(f"{policy.id} version {policy.version} for application {policy.application}, rubric {policy.rubric.id} version {policy.rubric.version}")
    for section, values in policy.model_dump(mode="json", exclude={"rubric"}).items():
        if not isinstance(values, dict):
            continue
        typer.echo(f"\n[{section}]")
        for key, value in values.items():
            typer.echo(f"{key} = {value}")


def _rubric_at_hand(policy: Policy) -> str | None:
    if policy.rubric.id not in shipped(Rubric):
        return None
    return policy.rubric.id if load_rubric(policy.rubric.id).version == policy.rubric.version else None


def _warn(warnings: tuple[str, ...]) -> None:
    for warning in warnings:
        typer.echo(f"warning: {warning}", err=True)
