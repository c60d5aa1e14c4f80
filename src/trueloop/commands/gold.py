"""`trueloop gold`: how the tasks whose answer is known do, and which of them should not be used any more."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime

import typer

from trueloop.commands.output import JSON_OPTION, print_json, print_table
from trueloop.config import load_settings
from trueloop.errors import ConfigurationError
from trueloop.estimates.estimate import Estimate
from trueloop.reviewers import GoldItem, gold_items
from trueloop.rubrics import Governance, Policy

ANSWERS = "SELECT task_id, reviewer_id, correct FROM v_gold_answers WHERE application = {application:String}"
COLUMNS = ("task", "answers", "right", "discrimination", "use")


def gold(
    application: str = typer.Argument(..., metavar="APPLICATION", help="Its gold items, under the policy that is in force."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Show how often each gold item was answered, how many were right, and whether it tells good reviewers from bad ones.

    \b
    EXPOSED            was answered as often as `reviewers.gold_max_exposures` allows
    TOO_EASY           nearly everybody is right
    NO_DISCRIMINATION  good and bad reviewers are right alike
    SUSPECT_ANSWER     better reviewers are wrong more often: look at its answer first
    """
    from trueloop.adapters.clickhouse.client import query
    from trueloop.adapters.publication import Documents

    settings = load_settings()
    documents = Documents(settings)
    policy = policy_of(application, Governance(documents.rubrics(), documents.policies()))
    answers: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for task_id, reviewer_id, correct in query(settings, ANSWERS, {"application": application}).rows:
        answers[task_id][reviewer_id] = correct
    show(gold_items(answers, policy.reviewers), as_json)


def policy_of(application: str, governance: Governance) -> Policy:
    """Return the policy that is in force for an application. Raises ConfigurationError when it has none."""
    found = governance.in_force(application, datetime.now(UTC))
    if found is None:
        raise ConfigurationError(f"no policy is published for application {application!r}; see `trueloop policy list`")
    return found.policy


def show(found: Mapping[str, GoldItem], as_json: bool) -> None:
    """Print the items, those that should not be used any more first."""
    items = sorted(found.values(), key=lambda item: (item.retirement is None, item.item_id))
    if as_json:
        print_json([asdict(item) for item in items])
        return
    rows = [(item.item_id, item.accuracy.n, _interval(item.accuracy), _interval(item.discrimination), item.retirement or "yes") for item in items]
    print_table(COLUMNS, rows, "no gold item was answered yet")


def _interval(estimate: Estimate) -> str | None:
    if estimate.value is None or estimate.ci_low is None or estimate.ci_high is None:
        return None
    return f"{estimate.value:.2f} [{estimate.ci_low:.2f}, {estimate.ci_high:.2f}]"
