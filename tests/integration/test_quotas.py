"""An alarm on a real broker: scores fall, a quota opens, more of the slice is reviewed, an appeal is re-reviewed, and a replay finds the same."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from tests.integration.loop_runtime import settings_of, trueloop, until
from trueloop import Client, topics
from trueloop.adapters.kafka import read_events
from trueloop.adapters.publication import Documents
from trueloop.adapters.registry import connect
from trueloop.config import Settings
from trueloop.embedded.runtime import EmbeddedRuntime, Stack
from trueloop.embedded.stack import loop_stack
from trueloop.events import Event, ReviewQuota, ReviewTask, SamplingReason
from trueloop.processors.quotas import NOTICE
from trueloop.rubrics import Policy, Rubric

APPLICATION = "alarmed"
N_BEFORE, N_AFTER = 300, 400
RUBRIC = Rubric.model_validate(
    {
        "id": "kindness", "version": 1, "title": "Kindness", "statement": "Be kind.",
        "dimensions": [{"name": "tone", "description": "How kind.", "scale": {"min": 1, "max": 5}}],
    }
)  # fmt: skip
POLICY = Policy.model_validate(
    {
        "id": "alarmed", "version": 1, "application": APPLICATION, "rubric": {"id": "kindness", "version": 1},
        "sampling": {"rate": 0.02},
        "drift": {"reference_size": 40, "arl_target": 1000, "slices": ["locale"], "on_alarm": {"review_rate": 0.5, "hours": 24}},
        "gate": {"dimensions": [{"dimension": "tone", "evaluator": "check:test"}]},
    }
)  # fmt: skip


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRuntime]:
    state_dir = tmp_path_factory.mktemp("alarmed")
    stack = loop_stack(state_dir)
    with EmbeddedRuntime(state_dir, Stack([worker for worker in stack.workers if worker.name != "trainer"], stack.prepare)) as runtime:
        yield runtime


def send(client: Client, numbers: range, since: datetime, score: float) -> None:
    for number in numbers:
        client.trace(
            [{"role": "user", "content": f"question {number}"}], f"answer {number}", "m", trace_id=f"trace-{number}",
            slices={"locale": "de" if number % 2 else "fr"}, scores={"judge": score if number % 2 else 0.95},
            occurred_at=since + timedelta(milliseconds=number - numbers[0]),
        )  # fmt: skip
    assert client.flush(30.0) == 0


def found(settings: Settings, topic: topics.Topic) -> list[Event]:
    return read_events(settings.kafka, connect(settings.registry), topic)


def test_an_alarm_brings_more_of_its_slice_before_reviewers(runtime: EmbeddedRuntime) -> None:
    settings, now = settings_of(runtime), datetime.now(UTC)
    Documents(settings).publish_rubric(RUBRIC, now)
    Documents(settings).publish_policy(POLICY, now)
    with Client(APPLICATION, "review", settings=settings) as client:
        send(client, range(N_BEFORE // 2), now, 0.95)
        until(lambda: len(found(settings, topics.DRIFT)) > 1, "the references are full")
        send(client, range(N_BEFORE // 2, N_BEFORE), now, 0.1)
        until(lambda: any(quota.slice == "locale=de" for quota in quotas(settings)), "the alarm opens a quota")
        starts_at = max(quota.starts_at for quota in quotas(settings))
        assert starts_at < now + timedelta(seconds=1) + NOTICE
        send(client, range(N_BEFORE, N_BEFORE + N_AFTER), starts_at, 0.1)
        messages = [{"role": "user", "content": "question 1"}]
        for _ in range(2):
            client.appeal("trace-1", "unfair", messages=messages, completion="answer 1", slices={"locale": "de"})
        client.appeal("trace-3", "unfair")
        assert client.flush(30.0) == 0
    # Binomial(200, 1/2): four standard deviations are 28.
    until(lambda: len(within(settings)) >= 100 - 28, "more traces are reviewed")
    until(lambda: len(appealed(settings)) == 1, "the appeal is re-reviewed")
    done = trueloop(runtime, "replay-log", "--from", "0", "--no-tables", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    compared = {topic["name"]: topic for topic in json.loads(done.stdout)["topics"]}
    assert compared["review-quotas"]["identical"] == len(quotas(settings)) >= 1
    assert len(within(settings)) <= 100 + 28
    assert compared["review-queue"]["identical"] == len(found(settings, topics.REVIEW_QUEUE)) > len(within(settings))


def quotas(settings: Settings) -> list[ReviewQuota]:
    return cast("list[ReviewQuota]", found(settings, topics.REVIEW_QUOTAS))


def tasks(settings: Settings) -> list[ReviewTask]:
    return cast("list[ReviewTask]", found(settings, topics.REVIEW_QUEUE))


def within(settings: Settings) -> list[ReviewTask]:
    """Tasks of the slice while the quota was open; each must say with what probability it was drawn."""
    drawn = [task for task in tasks(settings) if task.stratum == "alarm:locale=de"]
    assert all(task.sampling_prob == 0.5 and task.slices == {"locale": "de"} for task in drawn)
    return drawn


def appealed(settings: Settings) -> list[ReviewTask]:
    return [task for task in tasks(settings) if task.reasons == [SamplingReason.APPEAL]]
