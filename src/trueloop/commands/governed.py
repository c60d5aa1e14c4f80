"""What the commands for rubrics and policies share: naming a published version, and listing them."""

from collections.abc import Sequence
from typing import Any, TypeVar

import typer

from trueloop.commands.output import print_json, print_table
from trueloop.errors import ConfigurationError
from trueloop.events import PolicyPublished, RubricPublished

SOURCE: Any = typer.Argument(..., metavar="FILE|NAME", help="A TOML file, or the name of a shipped one.")

P = TypeVar("P", RubricPublished, PolicyPublished)


def id_of(event: RubricPublished | PolicyPublished) -> str:
    """Return the id of the document that was published."""
    return event.rubric_id if isinstance(event, RubricPublished) else event.policy_id


def pick(name: str, published: Sequence[P]) -> P:
    """Return the published version that 'ID@VERSION' names; of 'ID' the newest. Raises ConfigurationError naming what there is."""
    wanted, _, version = name.partition("@")
    found = [event for event in published if id_of(event) == wanted and version in ("", str(event.version))]
    if not found:
        known = ", ".join(f"{id_of(event)}@{event.version}" for event in published) or "none"
        raise ConfigurationError(f"{name!r} is not published; published: {known}")
    return max(found, key=lambda event: event.version)


def print_published(published: Sequence[RubricPublished] | Sequence[PolicyPublished], as_json: bool, empty: str) -> None:
    """List published versions, oldest first."""
    if as_json:
        print_json([event.model_dump(mode="json", exclude={"document"}) for event in published])
        return
    rows = [(id_of(event), event.version, event.application, event.content_hash[:12], f"{event.occurred_at:%Y-%m-%d %H:%M:%S}") for event in published]
    print_table(("id", "version", "application", "content", "published (UTC)"), rows, empty)
