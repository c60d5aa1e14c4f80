"""Outside clients under whose load the faults happen: a service that sends traces, and reviewers who label what is queued."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from tests.faults.loop import Loop, until
from tests.faults.reconciler import Sent
from tests.faults.rules import share
from trueloop import Client
from trueloop.adapters.publication import Documents
from trueloop.adapters.registry import connect
from trueloop.adapters.subscriber import Subscriber
from trueloop.events import AgreementUnits, ReviewTask
from trueloop.rubrics import Policy, Rubric
from trueloop.topics import AGREEMENT_UNITS, REVIEW_QUEUE

REVIEWERS = ("anna", "ben")
EDITED, RETRACTED = 0.1, 0.05
"""Shares of the complete tasks on which the first reviewer changes the verdict, and on which the second takes it back."""
LONGEST_TEXT = 4000
"""Characters of a trace's texts that may be put before people."""
DIMENSIONS = ("accuracy", "tone")
RUBRIC: dict[str, Any] = {
    "id": "faults", "version": 1, "title": "Faults", "statement": "Right and kind.",
    "dimensions": [{"name": name, "description": "As it says.", "scale": {"min": 1, "max": 5}} for name in DIMENSIONS],
}  # fmt: skip
POLICY: dict[str, Any] = {
    "id": "faults", "version": 1, "rubric": {"id": "faults", "version": 1},
    "sampling": {
        "rate": 0.08, "strata": [{"slice": "plan", "value": "pro", "rate": 0.25}], "labels_needed": len(REVIEWERS), "calibration_share": 0.2,
        "max_text_chars": LONGEST_TEXT,
    },
    "agreement": {"pane_minutes": 60, "window_panes": 24, "ahead_hours": 120, "slices": ["locale"]},
    # No detector may alarm: it would begin to count anew, and what it counted could not be compared.
    "drift": {"slices": ["locale"], "arl_target": 1e12},
    "pairs": {}, "training": {"min_new_pairs": 10**9}, "gate": {"dimensions": [{"dimension": "tone", "evaluator": "check:none"}]},
}  # fmt: skip


def publish_policy(loop: Loop, application: str) -> None:
    """Publish the rubric and the policy of an application."""
    documents, now = Documents(loop.settings), datetime.now(UTC)
    documents.publish_rubric(Rubric.model_validate(RUBRIC), now)
    documents.publish_policy(Policy.model_validate(POLICY | {"id": application, "application": application}), now)


def trace_fields(application: str, number: int) -> dict[str, Any]:
    """The n-th trace of an application: most may be reviewed, some failed, some have no consent; a tenth of the prompts come again."""
    chance = share(application, str(number))
    return {
        "trace_id": f"{application}-{number}",
        "messages": [{"role": "user", "content": f"question {number if chance > 0.1 else number % 50} of {application}. " + "It is about a bill. " * 12}],
        "completion": f"answer {number}. " + "The amount is on the second page. " * 8,
        "model": "faulty-1",
        "alternatives": [{"completion": f"another answer {number}", "model": "faulty-2"}],
        "slices": {"locale": ("de", "en", "fr")[number % 3], "plan": "pro" if number % 7 == 0 else "free"},
        "scores": {"judge": round(share("score", str(number)), 3)},
        "consent": "none" if chance > 0.95 else "training",
        "error": "Timeout" if 0.92 < chance < 0.95 else None,
    }


class Service(threading.Thread):
    """Sends traces at a steady rate until `finish`. One in a hundred is sent twice, as a service does that does not know whether it did."""

    def __init__(self, client: Client, application: str, rate: float) -> None:
        super().__init__(name=f"service-{application}", daemon=True)
        self._client, self._application, self._rate = client, application, rate
        self.over = threading.Event()
        self.trace_ids: set[str] = set()
        self.sent = 0

    def run(self) -> None:
        begun = time.monotonic()
        number = 0
        while not self.over.wait(max(0.0, begun + number / self._rate - time.monotonic())):
            fields = trace_fields(self._application, number) | {"occurred_at": datetime.now(UTC)}
            self.trace_ids.add(fields["trace_id"])
            for _ in range(2 if number % 100 == 99 else 1):
                self._client.trace(**fields)
                self.sent += 1
            number += 1

    def finish(self) -> None:
        """Stop."""
        self.over.set()
        self.join()


def verdict(task_id: str, reviewer: str, candidates: list[str], attempt: str = "first") -> dict[str, Any]:
    """What a reviewer says of a task: mostly what the others say, sometimes not, and the same whenever it is asked."""
    ratings = {}
    for candidate in sorted(candidates):
        ratings[candidate] = {}
        for dimension in DIMENSIONS:
            agreed = 1 + int(5 * share("agreed", candidate, dimension))
            own = 1 + int(5 * share("own", candidate, dimension, reviewer, attempt))
            ratings[candidate][dimension] = own if share("differs", candidate, dimension, reviewer, attempt) < 0.3 else agreed
    preferred = sorted(candidates)[int(2 * share("prefers", task_id, reviewer, attempt))] if len(candidates) == 2 else None
    return {"ratings": ratings, "preferences": {"overall": preferred}}


class Panel(threading.Thread):
    """Reviewers: each labels every task once. When a task is complete, as the stream itself tells, some change their minds.

    `candidates` and `labels` (reviewer -> label id) are by task; `indecisive` may be unset before the start.
    """

    def __init__(self, loop: Loop, client: Client, application: str) -> None:
        super().__init__(name=f"panel-{application}", daemon=True)
        self._client, self._application = client, application
        self.indecisive = True
        self._subscriber = Subscriber(loop.settings.kafka, connect(loop.settings.registry), (REVIEW_QUEUE, AGREEMENT_UNITS))
        self.over = threading.Event()
        self.labels: defaultdict[str, dict[str, str]] = defaultdict(dict)
        self.candidates: dict[str, list[str]] = {}
        self.complete: set[str] = set()
        self.label_ids: set[str] = set()
        self.failure: Exception | None = None

    def run(self) -> None:
        try:
            while not self.over.is_set():
                for event in self._subscriber.poll(0.1):
                    if event.application != self._application:
                        continue
                    if isinstance(event, ReviewTask):
                        self._answer(event)
                    elif isinstance(event, AgreementUnits) and event.revision >= len(REVIEWERS):
                        self._reconsider(event.task_id)
        except Exception as error:  # told by `finish`, for a thread can only die in silence
            self.failure = error
        finally:
            self._subscriber.close()

    def _answer(self, task: ReviewTask) -> None:
        if task.task_id in self.candidates:
            return
        self.candidates[task.task_id] = candidates = [c.candidate_id for c in task.candidates]
        for reviewer in REVIEWERS:
            self.labels[task.task_id][reviewer] = self.say(task.task_id, reviewer, **verdict(task.task_id, reviewer, candidates))

    def _reconsider(self, task_id: str) -> None:
        if task_id in self.complete or task_id not in self.candidates:
            return
        self.complete.add(task_id)
        if not self.indecisive:
            return
        chance, given = share("reconsiders", task_id), self.labels[task_id]
        if chance < EDITED:
            changed = verdict(task_id, REVIEWERS[0], self.candidates[task_id], "second")
            self.say(task_id, REVIEWERS[0], **changed, supersedes=given[REVIEWERS[0]])
        elif chance < EDITED + RETRACTED:
            self.say(task_id, REVIEWERS[1], retracts=given[REVIEWERS[1]])

    def say(self, task_id: str, reviewer: str, **said: Any) -> str:
        """Send a label; return its id."""
        label_id = self._client.label(task_id, reviewer, rubric="faults@1", **said)
        self.label_ids.add(label_id)
        return label_id

    @property
    def answered(self) -> set[str]:
        """Tasks that have been labelled."""
        return set(self.candidates)

    def finish(self) -> None:
        """Stop."""
        self.over.set()
        self.join()
        if self.failure is not None:
            raise self.failure


RUNNING: "list[Load]" = []
"""Every load that was started, so that none goes on beside the tests after its own."""


class Load:
    """A service and its reviewers, until `finish`."""

    def __init__(self, loop: Loop, application: str, rate: float) -> None:
        """Begin to send `rate` traces a second."""
        self._loop, self.application, self._rate = loop, application, rate
        publish_policy(loop, application)
        self.since = loop.topics.ends()
        self.client = Client(application, settings=loop.settings, max_events=200_000, delivery_timeout_s=300.0)
        self.service = Service(self.client, application, rate)
        self.panel = Panel(loop, self.client, application)
        self.service.start()
        self.panel.start()
        RUNNING.append(self)

    def abandon(self) -> None:
        """Stop without waiting for anything: for a test that failed."""
        self.service.over.set()
        self.panel.over.set()
        self.client.close(0.0)

    def goes_on(self, seconds: float) -> None:
        """Return when as many more traces were sent as that takes."""
        wanted = self.service.sent + round(seconds * self._rate)
        until(lambda: self.service.sent >= wanted, f"traces of {seconds:g} more seconds are sent")

    def finish(self) -> Sent:
        """Stop sending, wait until every task is labelled and everything has come to rest; return what was acknowledged."""
        self.service.finish()
        self._delivered()
        self._loop.settle()
        tasks = self._loop.task_ids(self.application, self.since)
        until(lambda: tasks <= self.panel.complete or self.panel.failure is not None, f"all of {len(tasks)} tasks have their labels")
        self.panel.finish()
        self._delivered()
        self._loop.settle()
        self.client.close()
        RUNNING.remove(self)
        return Sent(frozenset(self.service.trace_ids), frozenset(self.panel.label_ids))

    def _delivered(self) -> None:
        left = self.client.flush(90.0)
        stats = self.client.stats
        assert left == 0, stats
        assert stats.dropped == {}, stats


BeginLoad = Callable[[Loop, str], Load]
"""Begins a load on a loop for an application, as heavy as the form of the test asks for."""
