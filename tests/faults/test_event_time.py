"""Event time against arrival: out of order by two days, three times each, with wrong clocks; verdicts changed after their window closed."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.faults.conftest import SharedLoop
from tests.faults.foreign import Foreign, label_event, trace_event
from tests.faults.load import REVIEWERS, Panel, publish_policy, trace_fields, verdict
from tests.faults.loop import Loop, until
from tests.faults.reconciler import Sent
from tests.faults.rules import share
from tests.faults.table import Table
from trueloop import Client

LONG = pytest.mark.faults
SKEWS_H = (-36.0, 0.0, 30.0)
"""What the clocks of three producers are wrong by, hours."""
LATE_H = 48.0


class SkewedPanel(Panel):
    """Reviewers whose tools have wrong clocks and send everything three times."""

    def __init__(self, loop: Loop, client: Client, application: str) -> None:
        super().__init__(loop, client, application)
        self._foreign = Foreign(loop.places)

    def say(self, task_id: str, reviewer: str, **said: Any) -> str:
        label_id = f"{task_id}-{reviewer}-{'first' if said.get('supersedes') is None and said.get('retracts') is None else 'second'}"
        # A reviewer's own clock is wrong by the same at every time: what he says later is later by it.
        moment = datetime.now(UTC) + timedelta(hours=SKEWS_H[int(3 * share("skew", reviewer))])
        value = self._foreign.encode("labels", label_event(self._application, label_id, task_id, reviewer, moment, **said))
        for copy in range(3):
            self._foreign.send("labels", task_id, value, f"{label_id} {copy}")
        self.label_ids.add(label_id)
        return label_id


@pytest.mark.parametrize("traces", [pytest.param(500, id="short"), pytest.param(8_000, id="long", marks=LONG)])
def test_out_of_order_tripled_and_with_skewed_clocks(shared: SharedLoop, table: Table, traces: int) -> None:
    loop, application, chance = shared.loop, "out-of-order", random.Random(3)
    publish_policy(loop, application)
    since = loop.topics.ends()
    foreign = Foreign(loop.places)
    client = Client(application, settings=loop.settings)
    panel = SkewedPanel(loop, client, application)
    panel.start()
    now = datetime.now(UTC)
    waiting: list[tuple[int, str, bytes]] = []
    for number in range(traces):
        moment = now + timedelta(hours=chance.uniform(-LATE_H, LATE_H) + SKEWS_H[number % 3])
        event = trace_event(trace_fields(application, number), application, moment)
        waiting += [(number, event["trace_id"], foreign.encode("traces", event))] * 3
        # Copies lie up to a hundred traces apart: beyond 500 items of a series a detector does not know an item again, and says so.
        while len(waiting) > 100 or (waiting and number == traces - 1):
            overdue = waiting[0][0] < number - 100
            _, trace_id, value = waiting.pop(0 if overdue else chance.randrange(len(waiting)))
            foreign.send("traces", trace_id, value, trace_id)
        if number % 500 == 499:
            foreign.flush()
    foreign.flush()
    recovery = loop.recovery()
    loop.settle()
    tasks = loop.task_ids(application, since)
    until(lambda: tasks <= panel.complete or panel.failure is not None, "every task has its labels", 600)
    panel.finish()
    loop.settle()
    client.close()
    found = loop.reconcile(application, Sent(frozenset(foreign.acknowledged), frozenset(panel.label_ids)), since)
    assert foreign.refused == {}
    table.add("48 h out of order, tripled, clocks wrong", found, recovery, f"clocks wrong by {', '.join(f'{h:+g} h' for h in SKEWS_H)}")


@pytest.mark.parametrize("traces", [pytest.param(40, id="short"), pytest.param(1500, id="long", marks=LONG)])
def test_verdicts_changed_after_their_window_closed(shared: SharedLoop, table: Table, traces: int) -> None:
    loop, application = shared.loop, "second-thoughts"
    publish_policy(loop, application)
    since = loop.topics.ends()
    foreign, client = Foreign(loop.places), Client(application, settings=loop.settings)
    panel = Panel(loop, client, application)
    panel.indecisive = False
    panel.start()
    days = [datetime.now(UTC) - timedelta(days=10), datetime.now(UTC) - timedelta(days=7)]

    def day(number: int) -> dict[str, list[str]]:
        """Send the traces of a day, have them labelled; return the candidates of their tasks."""
        before = set(panel.candidates)
        for place in range(number * traces, (number + 1) * traces):
            fields = trace_fields(application, place) | {"slices": {"locale": "de", "plan": "pro"}, "consent": "training", "error": None}
            event = trace_event(fields, application, days[number] + timedelta(seconds=place))
            foreign.send("traces", event["trace_id"], foreign.encode("traces", event), event["trace_id"])
        foreign.flush()
        loop.settle()
        tasks = loop.task_ids(application, since)
        until(lambda: tasks <= panel.complete, "every task has its labels", 300)
        rest()
        return {task: candidates for task, candidates in panel.candidates.items() if task not in before}

    def rest() -> None:
        assert client.flush(60) == 0
        loop.settle()

    def estimates() -> list[list[Any]]:
        return loop.tables.rows(f"SELECT dimension, slice, event_id FROM v_agreement WHERE application = '{application}' ORDER BY 1, 2")

    def sent() -> Sent:
        return Sent(frozenset(foreign.acknowledged), frozenset(panel.label_ids))

    def change(tasks: dict[str, list[str]], edit: Callable[[float], bool], retract: Callable[[float], bool]) -> None:
        for task, candidates in tasks.items():
            for reviewer in REVIEWERS:
                chance = share("changes", task, reviewer)
                if edit(chance):
                    panel.say(task, reviewer, **verdict(task, reviewer, candidates, "second"), supersedes=panel.labels[task][reviewer])
                elif retract(chance):
                    panel.say(task, reviewer, retracts=panel.labels[task][reviewer])
        rest()

    early = day(0)
    late = day(1)
    newest = estimates()
    change(early, lambda chance: chance < 0.3, lambda chance: chance < 0.5)
    assert estimates() == newest, "a change in a closed window moved the newest one"
    found = loop.reconcile(application, sent(), since)
    assert found.clean, found.findings
    # When nothing of the later day counts any more, the window goes back to the earlier one, with its changes.
    change(late, lambda _: False, lambda _: True)
    recovery = loop.recovery()
    assert estimates() != newest
    panel.finish()
    client.close()
    table.add("edited and retracted after the window closed", loop.reconcile(application, sent(), since), recovery, f"{len(early)} tasks of 10 days ago")
