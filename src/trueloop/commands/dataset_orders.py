"""`trueloop dataset freeze` and `rollback`: orders that the trigger obeys, because it alone numbers versions."""

import getpass
from datetime import UTC, datetime
from typing import Annotated

import typer

from trueloop.commands.gold import policy_of
from trueloop.commands.output import JSON_OPTION, print_json
from trueloop.config import load_settings
from trueloop.errors import ConfigurationError
from trueloop.events import DatasetOrder, DatasetOrderKind, DatasetVersion, derive_id

_LONGEST_REASON, _LONGEST_NAME = 1000, 256
Reason = Annotated[str, typer.Option("--reason", "-r", help="Why; the audit trail and the changelog keep it.")]
By = Annotated[str | None, typer.Option("--by", help="Who orders it; default: who runs the command.")]


def freeze(application: str = typer.Argument(..., metavar="APPLICATION"), *, reason: Reason, by: By = None, as_json: bool = JSON_OPTION) -> None:
    """Make a version of the pairs that are there, without waiting for the policy's number of them.

    It is a version like any other: the trigger orders a job on it when the policy allows.
    """
    from trueloop.adapters.dataset_log import DatasetLog
    from trueloop.adapters.publication import Documents
    from trueloop.rubrics import Governance

    settings = load_settings()
    documents = Documents(settings)
    rubric = policy_of(application, Governance(documents.rubrics(), documents.policies())).rubric
    log, name = DatasetLog(settings), f"{application}/pairs"
    same_rubric = (made for made in reversed(log.versions()) if (made.name, made.rubric_id, made.rubric_version) == (name, rubric.id, rubric.version))
    newest = next(same_rubric, None)
    if not log.holds(application, rubric, newest.place if newest else 0):
        since = f" since {name}@{newest.version}" if newest else ""
        raise ConfigurationError(
            f"no pair under rubric {rubric.id}@{rubric.version} has come{since}; expected a new, revised or withdrawn one: collect labels first"
        )
    now = datetime.now(UTC)
    order = DatasetOrder(
        event_id=derive_id("dataset-freeze", name, now.isoformat()),
        occurred_at=now,
        application=application,
        dataset=name,
        kind=DatasetOrderKind.FREEZE,
        reason=_why(reason),
        ordered_by=_who(by),
    )
    _tell(log.order(order), as_json)


def rollback(
    name: str = typer.Argument(..., metavar="NAME", help="Such as billing-support/pairs."),
    version: int = typer.Argument(..., metavar="VERSION", help="The version to go back to."),
    *,
    reason: Reason,
    by: By = None,
    as_json: bool = JSON_OPTION,
) -> None:
    """Go back to an earlier version: make a new one with its content, and leave out of all that follow what came since.

    Nothing is deleted, and no job is ordered. A pair that was left out comes back when new labels speak of it.

    \b
    Example:
      trueloop dataset rollback billing-support/pairs 3 \\
               --reason "reviewer r7 misread the rubric"
    """
    from trueloop.adapters.dataset_log import DatasetLog
    from trueloop.datasets.rollback import rollback_order

    log = DatasetLog(load_settings())
    target = log.find(f"{name}@{version}")
    if log.find(name).version == version:
        raise ConfigurationError(f"{name}@{version} is the newest version; expected an earlier one: what came since is in no dataset yet")
    log.rebuild(target)
    order = rollback_order(log.records(), target, reason=_why(reason), ordered_by=_who(by), now=datetime.now(UTC))
    _tell(log.order(order), as_json)


def _why(reason: str) -> str:
    if not reason.strip() or len(reason) > _LONGEST_REASON:
        raise ConfigurationError(f"--reason has {len(reason.strip())} characters; expected 1 to {_LONGEST_REASON}: the audit trail keeps it")
    return reason.strip()


def _who(given: str | None) -> str:
    try:
        who = given or getpass.getuser()
    except (KeyError, OSError):
        raise ConfigurationError("this process runs as nobody that the system knows; say who orders it with --by") from None
    if len(who) > _LONGEST_NAME:
        raise ConfigurationError(f"--by has {len(who)} characters; expected at most {_LONGEST_NAME}")
    return who


def _tell(made: DatasetVersion, as_json: bool) -> None:
    if as_json:
        print_json(made.model_dump(mode="json"))
    else:
        typer.echo(f"{made.name}@{made.version}: {made.n_items} pairs, content {made.content_hash[:12]}")
