"""The reconciler finds what it is there to find, and shares no code with what it checks."""

import ast
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import SharedLoop
from tests.faults.load import Load
from tests.faults.observed import Observed, observe
from tests.faults.reconciler import COMPARED_LOSSES, Sent, reconcile
from tests.faults.table import Table

OWN = ("reading", "rules", "observed", "reconciler")


@pytest.mark.parametrize("name", OWN)
def test_the_reconciler_imports_nothing_of_trueloop(name: str) -> None:
    tree = ast.parse((Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8"))
    imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    ours = {module for module in imported if module.split(".")[0] in ("trueloop", "tests", "streams", "trainers")}
    assert ours <= {f"tests.faults.{own}" for own in OWN} | {"tests.faults"}


def copied(seen: Observed) -> Observed:
    """A copy that can be tampered with; records and rows themselves are shared."""
    return replace(
        seen,
        records={topic: list(records) for topic, records in seen.records.items()},
        tables={topic: Counter(ids) for topic, ids in seen.tables.items()},
        repeated=dict(seen.repeated),
        views={name: list(rows) for name, rows in seen.views.items()},
        dead_rows=list(seen.dead_rows),
    )


def compared(seen: Observed, name: str) -> int:
    """The place of a row that is compared."""
    return next(n for n, row in enumerate(seen.views[name]) if name != "v_drift_observations" or row[0].startswith(COMPARED_LOSSES))


def lose_row(name: str) -> Callable[[Observed], None]:
    return lambda seen: seen.views[name].pop(compared(seen, name))


def double_row(name: str) -> Callable[[Observed], None]:
    return lambda seen: seen.views[name].append(seen.views[name][compared(seen, name)])


def change(name: str, column: int, value: Any) -> Callable[[Observed], None]:
    def tamper(seen: Observed) -> None:
        place = compared(seen, name)
        row = seen.views[name][place]
        seen.views[name][place] = [*row[:column], value, *row[column + 1 :]]

    return tamper


def of_table(topic: str, count: int) -> Callable[[Observed], None]:
    def tamper(seen: Observed) -> None:
        key = next(iter(seen.tables[topic]))
        seen.tables[topic][key] = count
        seen.tables[topic] = +seen.tables[topic]  # drops what is there 0 times

    return tamper


def forget_event(topic: str) -> Callable[[Observed], None]:
    """The newest event, however often it was sent."""

    def tamper(seen: Observed) -> None:
        forgotten = next(record.event["event_id"] for record in reversed(seen.records[topic]) if record.event)
        seen.records[topic] = [record for record in seen.records[topic] if not record.event or record.event["event_id"] != forgotten]

    return tamper


def repeat_row(seen: Observed) -> None:
    seen.repeated["traces"] = 1


def count_twice(seen: Observed) -> None:
    series = next(name for name, state in seen.drift_states.items() if state["metric"].startswith("score:") and state["slice"] == "all")
    seen.drift_states = dict(seen.drift_states) | {series: {"observed": seen.drift_states[series]["observed"] + 1}}


def forge_letter(seen: Observed) -> None:
    seen.dead_rows.append((seen.records["traces"][0].at, ("sampling",)))


def reject_silently(seen: Observed) -> None:
    seen.records["traces"][0] = replace(seen.records["traces"][0], event=None, fault="tampered with")


TAMPERED = {
    **{f"{name} lost": ("lost", lose_row(name)) for name in ("v_review_queue", "calibration", "v_labels", "v_agreement", "v_pairs", "v_drift_observations")},
    **{f"{name} double": ("double", double_row(name)) for name in ("v_review_queue", "calibration", "v_labels", "v_agreement", "v_pairs")},
    **{f"table of {topic} lost": ("lost", of_table(topic, 0)) for topic in ("traces", "labels", "review-queue", "preference-pairs", "agreement-units")},
    **{f"table of {topic} double": ("double", of_table(topic, 2)) for topic in ("traces", "labels", "drift-observations", "agreement")},
    "observation double": ("double", change("v_drift_observations", 3, 2)),
    "offset twice": ("double", repeat_row),
    "trace not on its topic": ("lost", forget_event("traces")),
    "label not on its topic": ("lost", forget_event("labels")),
    "agreement differs": ("wrong", change("v_agreement", 5, 0.123)),
    "window differs": ("wrong", change("v_agreement", 2, 0)),
    "a label counted twice in agreement": ("wrong", change("v_agreement", 4, 10**6)),
    "pair turned round": ("wrong", change("v_pairs", 1, "another")),
    "loss differs": ("wrong", change("v_drift_observations", 4, -1.0)),
    "detector counted twice": ("wrong", count_twice),
    "refusal uncalled for": ("wrong", forge_letter),
    "refused without a dead letter": ("lost", reject_silently),
}  # fmt: skip


def test_without_a_fault_nothing_is_amiss_and_what_is_tampered_with_is_found(shared: SharedLoop, table: Table) -> None:
    load = Load(shared.loop, "baseline", 100.0)
    load.goes_on(3.0)
    sent: Sent = load.finish()
    observed = observe(shared.loop.places, load.application, load.since)
    table.add("none", reconcile(observed, sent), None)
    chance = random.Random(5)
    for rows in observed.views.values():
        chance.shuffle(rows)
    for what, (field, tamper) in TAMPERED.items():
        tampered = copied(observed)
        tamper(tampered)
        found = reconcile(tampered, sent)
        assert getattr(found, field) > 0, f"not found: {what}"
