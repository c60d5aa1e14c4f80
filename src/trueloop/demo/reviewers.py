"""The simulated panel: five reviewers who work the review queue; one of them is careless.

Outside clients: they read `review-queue` and send labels through the SDK. A reviewer sees what `billing_checks` sees, and errs at a rate of
their own; every error is a hash of reviewer, candidate and dimension, so that a rerun errs in the same places.

python -m trueloop.demo.reviewers APPLICATION SEED
"""

import signal
import sys
from dataclasses import dataclass

from trueloop import Client
from trueloop.adapters.registry import connect
from trueloop.adapters.subscriber import Subscriber
from trueloop.config import Settings, load_settings
from trueloop.demo.billing_checks import check, right_answer
from trueloop.events import ReviewTask
from trueloop.events.identity import permutation, unit_interval
from trueloop.readiness import announce_ready
from trueloop.topics import REVIEW_QUEUE


@dataclass(frozen=True, slots=True)
class Reviewer:
    """A reviewer and the share of judgements that they get wrong."""

    name: str
    error_rate: float


CARELESS = 0.1
"""Whoever errs more often than this does not take the time to rewrite."""
PANEL = (
    Reviewer("reviewer-ada", 0.02),
    Reviewer("reviewer-ben", 0.03),
    Reviewer("reviewer-cleo", 0.03),
    Reviewer("reviewer-dan", 0.05),
    Reviewer("reviewer-eve-careless", 0.30),
)


def judge(reviewer: Reviewer, task: ReviewTask, seed: int) -> dict[str, dict[str, int]]:
    """Return what the reviewer says: candidate id to dimension to rating of 0 or 1. Empty for a prompt that is no billing prompt."""
    messages = _messages(task)
    ratings: dict[str, dict[str, int]] = {}
    for candidate in task.candidates:
        for dimension, truth in check(messages, candidate.completion).items():
            errs = unit_interval("error", str(seed), reviewer.name, candidate.candidate_id, dimension) < reviewer.error_rate
            ratings.setdefault(candidate.candidate_id, {})[dimension] = int(truth) ^ int(errs)
    return ratings


def rewrite(task: ReviewTask, ratings: dict[str, dict[str, int]]) -> tuple[str, str] | None:
    """Return the worst candidate's id and the answer that should have been given, or None when no candidate has a fault."""
    worst = min(ratings, key=lambda candidate: sum(ratings[candidate].values()))
    better = right_answer(_messages(task))
    return None if better is None or all(ratings[worst].values()) else (worst, better)


def _messages(task: ReviewTask) -> list[dict[str, str]]:
    return [{"role": message.role.value.lower(), "content": message.content} for message in task.messages]


def work(settings: Settings, application: str, seed: int) -> None:
    """Answer tasks until interrupted: each by as many different reviewers as it asks for."""
    client = Client(application=application, settings=settings)
    subscriber = Subscriber(settings.kafka, connect(settings.registry), (REVIEW_QUEUE,), group=f"demo-reviewers-{seed}")
    announce_ready()
    try:
        while True:
            for task in subscriber.poll(0.2):
                if not isinstance(task, ReviewTask) or task.application != application:
                    continue
                chosen = [PANEL[index] for index in permutation(len(PANEL), "panel", str(seed), task.task_id)][: task.labels_needed]
                for place, reviewer in enumerate(chosen):
                    _answer(client, reviewer, task, seed, writes=place == 0)
    finally:
        client.close()
        subscriber.close()


def _answer(client: Client, reviewer: Reviewer, task: ReviewTask, seed: int, *, writes: bool) -> None:
    """Send one label. The first reviewer of a task also rewrites its worst answer, unless they are careless."""
    ratings = judge(reviewer, task, seed)
    if not ratings:
        return
    better = rewrite(task, ratings) if writes and reviewer.error_rate < CARELESS else None
    seconds = (90.0 if better else 20.0) + 40.0 * unit_interval("time", reviewer.name, task.task_id)
    client.label(task, reviewer_id=reviewer.name, ratings=ratings, rewrite=better, seconds_spent=seconds)


def _stop(_number: int, _frame: object) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stop)
    work(load_settings(), sys.argv[1], int(sys.argv[2]))
