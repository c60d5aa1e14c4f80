"""`trueloop gold`: tasks whose answer is known: adding them, giving them to reviewers, and seeing which should not be used any more."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import typer

from trueloop.cli import group
from trueloop.commands.emit import APPLICATION, DRY_RUN, FILE, emit_lines
from trueloop.commands.output import JSON_OPTION, print_json, print_table
from trueloop.config import Settings, load_settings
from trueloop.errors import ConfigurationError
from trueloop.estimates.estimate import Estimate
from trueloop.events import GoldAnswer
from trueloop.reviewers import Admission, GoldItem, KnownItem, assign_gold, gold_items
from trueloop.rubrics import Governance, Policy
from trueloop.rubrics.policy import Reviewers

app = group(help="Tasks whose answer is known: add them, give them to reviewers, see which are worn.")

ANSWERS = "SELECT task_id, reviewer_id, correct FROM v_gold_answers WHERE application = {application:String}"
KNOWN = """
SELECT task_id, argMax(onboarding, (occurred_at, event_id)) FROM gold FINAL WHERE application = {application:String}
GROUP BY task_id HAVING NOT argMax(withdrawn, (occurred_at, event_id)) ORDER BY task_id"""
GIVEN = "SELECT DISTINCT task_id FROM v_labels WHERE application = {application:String} AND reviewer_id = {reviewer:String}"
REASONS = "SELECT reasons FROM v_reviewers WHERE application = {application:String} AND reviewer_id = {reviewer:String}"
COLUMNS = ("task", "answers", "right", "discrimination", "use")
NAME: Any = typer.Argument(..., metavar="APPLICATION")


@app.command()
def add(file: str = FILE, application: str = APPLICATION, dry_run: bool = DRY_RUN, as_json: bool = JSON_OPTION) -> None:
    """Tell the known answers of tasks that are queued. The newest answer of a task counts.

    \b
    A line, at least (ratings or preferences; "onboarding": true for the set that
    new reviewers answer first; "withdrawn": true takes an answer back):
      {"application": "support", "task_id": "...", "rubric_id": "support",
       "rubric_version": 1, "ratings":
       [{"candidate_id": "...", "dimension": "tone", "value": 1}]}
    """
    emit_lines(GoldAnswer, file, application, dry_run, as_json)


@app.command("next")
def next_item(
    application: str = NAME, reviewer: str = typer.Argument(..., metavar="REVIEWER", help="Id of the reviewer, as on labels."), as_json: bool = JSON_OPTION
) -> None:
    """Say whether a reviewer's next task is one with a known answer, and which. A review tool asks before it hands out a task.

    \b
    ONBOARDING    the task of the onboarding set that is next
    DUE           the task with a known answer that is next
    NOT_DUE       hand out an ordinary task
    NONE_LEFT     one would be next, but the reviewer has seen all: add some
    NOT_ADMITTED  the reviewer failed the onboarding set: hand out nothing

    Asking again gives the same until the reviewer has answered another task.
    """
    settings = load_settings()
    policy = _policy(settings, application)
    answers = _answers(settings, application)
    asked = {"application": application, "reviewer": reviewer}
    given = {task_id for (task_id,) in _rows(settings, GIVEN, asked)}
    judged = gold_items(answers, policy.reviewers)
    items = {
        task_id: KnownItem(onboarding, len(answers[task_id]), retired=task_id in judged and judged[task_id].retirement is not None)
        for task_id, onboarding in _rows(settings, KNOWN, asked)
    }
    admission = admission_of(policy.reviewers, _rows(settings, REASONS, asked))
    salt = settings.blinding_key.get_secret_value()
    why, task_id = assign_gold(reviewer, admission, items, policy.reviewers, given=len(given), seen=given, salt=salt)
    if as_json:
        print_json({"reviewer": reviewer, "assignment": why, "task_id": task_id})
    else:
        typer.echo(why if task_id is None else f"{why}  {task_id}")


@app.command()
def ls(application: str = NAME, as_json: bool = JSON_OPTION) -> None:
    """Show how often each gold item was answered, how many were right, and whether it tells good reviewers from bad ones.

    \b
    EXPOSED            was answered as often as `reviewers.gold_max_exposures` allows
    TOO_EASY           nearly everybody is right
    NO_DISCRIMINATION  good and bad reviewers are right alike
    SUSPECT_ANSWER     better reviewers are wrong more often: look at its answer first
    """
    settings = load_settings()
    policy = _policy(settings, application)
    show(gold_items(_answers(settings, application), policy.reviewers), as_json)


def admission_of(policy: Reviewers, reasons: list[tuple[Any, ...]]) -> Admission:
    """Return what the onboarding set says of a reviewer, given the rows of `REASONS`: who has none was never heard of."""
    if policy.onboarding is None:
        return Admission.PASSED
    if not reasons or "ONBOARDING_PENDING" in reasons[0][0]:
        return Admission.PENDING
    return Admission.FAILED if "ONBOARDING_FAILED" in reasons[0][0] else Admission.PASSED


def _policy(settings: Settings, application: str) -> Policy:
    from trueloop.adapters.publication import Documents

    documents = Documents(settings)
    return policy_of(application, Governance(documents.rubrics(), documents.policies()))


def _rows(settings: Settings, sql: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    from trueloop.adapters.clickhouse.client import query

    return [tuple(row) for row in query(settings, sql, parameters).rows]


def _answers(settings: Settings, application: str) -> Mapping[str, Mapping[str, float]]:
    answers: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for task_id, reviewer_id, correct in _rows(settings, ANSWERS, {"application": application}):
        answers[task_id][reviewer_id] = correct
    return answers


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
