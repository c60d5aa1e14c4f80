"""Known answers, labels of reviewers, and what is known of each reviewer in the end."""

from datetime import timedelta

from tests.processors.scenario import START, context, label, policy, ratings
from trueloop.events import GoldAnswer, Rating
from trueloop.processors.reviewers import PROCESSOR
from trueloop.testing import Clock, ProcessorDriver
from trueloop.topics import REVIEWERS

LATER = START + timedelta(days=400)


def driver(**reviewers):
    return ProcessorDriver(PROCESSOR, context(policy(reviewers=reviewers)), Clock(LATER))


def gold(number=1, *, at=START, **changes):
    """The known answer of a task of the scenario: candidate a is right on accuracy."""
    values = {
        "event_id": f"gold-{number}-{at.isoformat()}-{sorted(changes)}",
        "occurred_at": at,
        "application": "support",
        "task_id": f"task-{number}",
        "rubric_id": "support",
        "rubric_version": 1,
        "ratings": [Rating(candidate_id="a", dimension="accuracy", value=1)],
    }
    return GoldAnswer(**(values | changes))


def says(reviewer, number, accuracy, **changes):
    changes = {"at": START + timedelta(minutes=number), "seconds_spent": 30.0} | changes
    return label(reviewer, number, ratings=ratings({"a": {"accuracy": accuracy}}), **changes)


def newest(drive):
    """What is known of each reviewer now; whatever the order, one event per reviewer."""
    return {event.reviewer_id: event for event in drive.out_of(REVIEWERS)}


def thoughts(drive):
    return {name: event.event_id for name, event in newest(drive).items()}
