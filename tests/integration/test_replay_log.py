"""The log rebuilt into a shadow: identical after a kill -9, and every tampering is listed."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from trueloop.streams.catalog import NAMES, processors
from trueloop.streams.shadow_positions import fix_stretches

from tests.factories import example
from tests.integration.loop_runtime import pid_of, settings_of, trueloop, until
from trueloop import Client, topics
from trueloop.adapters.kafka import Publisher, client_config, producer_config, read_events
from trueloop.adapters.log_positions import LogPositions
from trueloop.adapters.log_reader import read_partitions
from trueloop.adapters.publication import Documents
from trueloop.adapters.registry import connect
from trueloop.codec import Codec
from trueloop.config import Settings
from trueloop.drift.detector import NAME
from trueloop.embedded.runtime import EmbeddedRuntime, Stack
from trueloop.embedded.stack import loop_stack
from trueloop.events import Evaluation, ItemTruth, Label, PreferencePair, Release, ReleaseReason, ReviewTask
from trueloop.rubrics import Policy, Rubric

APPLICATION = "replayed"
N_TRACES = 240
N_BAD = 8
SCALE = {"min": 1, "max": 5}
RUBRIC = Rubric.model_validate(
    {
        "id": "kindness", "version": 1, "title": "Kindness", "statement": "Be kind and right.",
        "dimensions": [{"name": name, "description": "How good.", "scale": SCALE} for name in ("tone", "accuracy")],
    }
)  # fmt: skip
POLICY = Policy.model_validate(
    {
        "id": "replayed", "version": 1, "application": APPLICATION, "rubric": {"id": "kindness", "version": 1},
        "sampling": {"form": "RATING", "rate": 0.6, "strata": [{"slice": "locale", "value": "de", "rate": 1.0}], "labels_needed": 2, "due_minutes": 60,
                     "uncertainty": {"mean": 0.5, "reviewers": ["tone"]}},
        "agreement": {"pane_minutes": 60, "window_panes": 24, "slices": ["locale"]},
        "drift": {
            "reference_size": 40, "slices": ["locale"], "limits": [{"metric": "completion_chars", "above": 9}],
            "profiles": {"share": 1.0, "reference_size": 50, "window_size": 50},
        },
        "estimates": {"judge": {"tone": "judge"}, "slices": ["locale"]}, "reviewers": {"adjudicators": "seniors", "adjudicate_below": 1.0},
        "training": {"method": "dpo", "min_new_pairs": 30},
        "gate": {"min_items": 10, "dimensions": [{"dimension": "tone", "evaluator": "check:test"}]},
    }
)  # fmt: skip


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRuntime]:
    """The loop without a trainer: what it orders stays an order."""
    state_dir = tmp_path_factory.mktemp("replayed")
    stack = loop_stack(state_dir)
    with EmbeddedRuntime(state_dir, Stack([worker for worker in stack.workers if worker.name != "trainer"], stack.prepare)) as runtime:
        yield runtime


@pytest.fixture(scope="module")
def settings(runtime: EmbeddedRuntime) -> Settings:
    return settings_of(runtime)


@pytest.fixture(scope="module")
def codec(settings: Settings) -> Codec:
    return connect(settings.registry)


@pytest.fixture(scope="module")
def tasks(runtime: EmbeddedRuntime, settings: Settings, codec: Codec) -> list[ReviewTask]:
    """The loop after traces, labels and an evaluation, with a worker killed among them; returns the tasks."""
    documents, now = Documents(settings), datetime.now(UTC)
    documents.publish_rubric(RUBRIC, now)
    documents.publish_policy(POLICY, now)
    publisher = Publisher(settings.kafka, codec)
    publisher.publish([release(now, "base", ReleaseReason.MANUAL)])
    with Client(APPLICATION, "training", settings=settings) as client:
        send_traces(client, settings, range(N_TRACES // 2), now)
        kill_the_streams(runtime)
        send_traces(client, settings, range(N_TRACES // 2, N_TRACES), now)
        found = tasks_when_settled(settings, codec)
        for number, task in enumerate(found):
            label(client, task, number)
            if number == len(found) // 2:
                kill_the_streams(runtime)
        client.label("no-such-task", "r1", rubric="kindness@1", ratings={"c": {"tone": 1}})
        assert client.flush(30.0) == 0
        for number, asked in enumerate(adjudications(settings, codec)):
            if number % 2:
                ratings = {candidate.candidate_id: {"tone": 5, "accuracy": 1 + number % 5} for candidate in asked.candidates}
                client.label(asked, "senior", ratings=ratings)
        assert client.flush(30.0) == 0
    score = example(Evaluation).scores[0].model_copy(update={"dimension": "tone", "evaluator": "check:test"})
    until(lambda: len(read_events(settings.kafka, codec, topics.TRAINING_REQUESTS)) == 1, "a job is ordered")
    judged = {"policy_id": "replayed", "policy_version": 1, "rubric_id": "kindness", "rubric_version": 1, "baseline": "base", "error": None}
    publisher.publish([example(Evaluation, application=APPLICATION, scores=[score], **judged)])
    return found


def told_truths(settings: Settings, codec: Codec) -> dict[str, ItemTruth]:
    """What was told last of each task."""
    return {event.task_id: event for event in read_events(settings.kafka, codec, topics.TRUTHS) if isinstance(event, ItemTruth)}


def adjudications(settings: Settings, codec: Codec) -> list[ReviewTask]:
    """What adjudicators were asked, once they were asked about every task that is open."""

    def queued() -> list[ReviewTask]:
        return [event for event in read_events(settings.kafka, codec, topics.REVIEW_QUEUE) if isinstance(event, ReviewTask)]

    def asked() -> dict[str, ReviewTask]:
        return {task.adjudicates: task for task in queued() if task.adjudicates}

    def all_asked() -> bool:
        truths = told_truths(settings, codec)
        unsettled = {key for key, truth in truths.items() if truth.adjudicate}
        own = {task.task_id for task in queued() if not task.adjudicates}
        return len(own) > N_TRACES / 2 and own <= truths.keys() and len(unsettled) > 1 and unsettled <= asked().keys()

    until(all_asked, "adjudicators are asked")
    return sorted(asked().values(), key=lambda task: task.task_id)


def kill_the_streams(runtime: EmbeddedRuntime) -> None:
    until(lambda: pid_of(runtime, "streams") is not None, "the stream workers run")
    pid = pid_of(runtime, "streams")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


def release(moment: datetime, checkpoint: str, reason: ReleaseReason) -> Release:
    """What a person releases: it names no cause."""
    identity = {"event_id": f"release-{checkpoint}", "checkpoint": checkpoint, "gate_id": None, "causes": []}
    return example(Release, occurred_at=moment, application=APPLICATION, reason=reason, **identity)


def send_traces(client: Client, settings: Settings, numbers: range, now: datetime) -> None:
    """Traces in order and up to two days late, some twice, with poison among them."""
    poison = Producer(producer_config(settings.kafka))
    for number in numbers:
        for _ in range(2 if number % 40 == 0 else 1):
            client.trace(
                [{"role": "user", "content": f"question {number % 150}"}], f"answer {number}", "m", trace_id=f"trace-{number}",
                slices={"locale": "de" if number % 3 else "fr"}, scores={"judge": (number * 37 % 100) / 100}, checkpoint="base",
                alternatives=[{"completion": f"other {number}", "model": "m"}],
                occurred_at=now + timedelta(hours=-48 if number % 10 == 7 else 0, milliseconds=number),
            )  # fmt: skip
        if number % (N_TRACES // N_BAD) == 0:
            poison.produce(settings.kafka.topic_prefix + topics.TRACES.name, b"\0\0\0\0\1 poison", b"poison")
    assert client.flush(30.0) == 0
    assert poison.flush(10.0) == 0


def label(client: Client, task: ReviewTask, number: int) -> None:
    """Two labels or three; some edited, some retracted, some refused."""

    def ratings(shift: int) -> dict[str, dict[str, int]]:
        return {c.candidate_id: {"tone": 1 + (number + place + shift) % 5, "accuracy": 1 + (number * 7 + place) % 5} for place, c in enumerate(task.candidates)}

    first = client.label(task, "r1", ratings=ratings(0))
    client.label(task, "r2", ratings=ratings(1))
    if number % 5 == 0:
        client.label(task, "r3", ratings=ratings(3))
    if number % 7 == 0:
        first = client.label(task, "r1", ratings=ratings(2), supersedes=first)
    if number % 11 == 0:
        client.label(task, "r1", retracts=first)
    if number % 20 == 0:
        client.label(task, "r4", ratings={task.candidates[0].candidate_id: {"tone": 99}})


def tasks_when_settled(settings: Settings, codec: Codec) -> list[ReviewTask]:
    positions = LogPositions(settings.kafka)
    traces = positions.partitions([topics.TRACES.name])

    def settled() -> bool:
        committed = positions.committed("trueloop-sampling")
        return all(committed.get(place, 0) == end for place, end in positions.ends(traces).items())

    until(settled, "all traces are sampled")
    found = {event.task_id: event for event in read_events(settings.kafka, codec, topics.REVIEW_QUEUE) if isinstance(event, ReviewTask)}
    return [found[task_id] for task_id in sorted(found)]


def replayed(runtime: EmbeddedRuntime, *arguments: str, code: int) -> dict[str, Any]:
    done = trueloop(runtime, "replay-log", "--json", *arguments, timeout_s=240.0)
    assert done.returncode in (0, 1), done.stderr
    report = json.loads(done.stdout)
    assert done.returncode == code, [difference for each in report["topics"] + report["tables"] for difference in each["differences"]]
    return {each["name"]: each for each in report["topics"]} | {"tables": report["tables"], "unexplained": report["unexplained"]}


def shadows(settings: Settings) -> list[str]:
    """Topics of rebuilds that are there."""
    names = AdminClient(client_config(settings.kafka)).list_topics(timeout=10).topics
    return [name for name in names if name.startswith("shadow-")]


def ends(settings: Settings) -> dict[tuple[str, int], int]:
    positions = LogPositions(settings.kafka)
    return positions.ends(positions.partitions(topic.name for topic in topics.physical()))


def test_the_rebuild_is_identical_and_changes_nothing(runtime: EmbeddedRuntime, settings: Settings, codec: Codec, tasks: list[ReviewTask]) -> None:
    fix_stretches(settings.kafka, processors(NAMES), None, 60.0, lambda _: None)  # the workers have worked everything off
    before = ends(settings)
    report = replayed(runtime, "--from", "0", code=0)
    assert ends(settings) == before, "the rebuild wrote into the loop's own topics"
    assert not shadows(settings)
    assert report["review-queue"]["identical"] - len(adjudications(settings, codec)) == len(tasks) > N_TRACES / 2
    assert report["traces.dead-letters"]["identical"] == 2 * N_BAD  # sampling and profiles refuse them
    assert report["labels.dead-letters"]["identical"] == len(tasks[::20]) + 1
    derived = ("calibration", "agreement-units", "agreement", "preference-pairs", "drift-observations", "drift-values", "drift")
    for name in (*derived, "dataset-versions", "gates", "reviewers", "truths", "reviewed-traces", "estimates", "slice-disagreements"):
        assert report[name]["identical"] > 0, name
    assert report["training-requests"]["identical"] == 1
    assert report["releases"]["identical"] == 1
    assert {table["name"]: table["identical"] + table["superseded"] for table in report["tables"]}["traces"] == N_TRACES + N_TRACES // 40


def test_drift_is_told_of_losses_and_of_distributions(runtime: EmbeddedRuntime, settings: Settings, tasks: list[ReviewTask]) -> None:
    """Which of four partitions is read first is a matter of chance, and so is what their references hold: so no state is expected here."""

    def rows() -> dict[tuple[str, str, str], dict[str, Any]]:
        done = trueloop(runtime, "sql", "--json", "SELECT * FROM v_drift")
        assert done.returncode == 0, done.stderr
        return {(row["metric"], row["slice"], row["detector"]): row for row in map(json.loads, done.stdout.splitlines())}

    length, limit = ("completion_chars", "all", "wasserstein-distance"), ("limit:completion_chars>9", "all", NAME)
    until(lambda: {length, limit} <= rows().keys(), "the sink has both")
    told = rows()
    assert {"score:judge", "error", "disagreement:tone", "disagreement:accuracy", "judge-gap:tone"} <= {metric for metric, _, _ in told}
    assert told["error", "locale=de", NAME]["state"] == "OK"
    assert (told[limit]["reference_checkpoints"], int(told[limit]["n_reference"])) == (["base"], 40)
    assert told[length]["state"] in ("OK", "WARNING")
    assert (told[length]["reference_checkpoints"], int(told[length]["n_reference"]), int(told[length]["n_current"])) == (["base"], 50, 50)
    assert told[length]["statistic"] >= 0 < told[length]["limit_high"]


def test_truths_pairs_and_estimates_reach_the_analyst(runtime: EmbeddedRuntime, settings: Settings, codec: Codec, tasks: list[ReviewTask]) -> None:
    """What the reviewers worker tells stands on the pairs, and in the views."""
    # The senior answered half of what was asked by then; labels that were still on their way may have opened more.
    by_senior = {event.task_id for event in read_events(settings.kafka, codec, topics.LABELS) if isinstance(event, Label) and event.reviewer_id == "senior"}
    asked = adjudications(settings, codec)
    answered = {task.adjudicates for task in asked if task.task_id in by_senior}
    assert 0 < len(answered) < len(asked)
    until(lambda: answered == {task_id for task_id, truth in told_truths(settings, codec).items() if truth.adjudicators}, "the senior's word is told")
    truths = told_truths(settings, codec)
    pairs = {event.pair_id: event for event in read_events(settings.kafka, codec, topics.PREFERENCE_PAIRS) if isinstance(event, PreferencePair)}
    assert truths.keys() == {task.task_id for task in tasks}
    assert {pair.task_id for pair in pairs.values() if "senior" in pair.reviewers} <= answered
    live = [pair for pair in pairs.values() if not pair.withdrawn]
    assert live
    assert all(pair.p_correct is not None and 0 < pair.weight <= 1 for pair in live)

    def rows(query: str) -> list[dict[str, Any]]:
        done = trueloop(runtime, "sql", "--json", query)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    marked = "SELECT DISTINCT task_id FROM v_truths WHERE adjudicate"
    until(lambda: {row["task_id"] for row in rows(marked)} == {key for key, truth in truths.items() if truth.adjudicate}, "the sink has every truth")
    unlikely = rows("SELECT count() AS n FROM v_truths WHERE NOT (probability > 0 AND probability <= 1 AND has(categories, value))")
    assert [int(row["n"]) for row in unlikely] == [0]
    (tone,) = rows("SELECT * FROM v_estimates WHERE dimension = 'tone' AND slice = 'all'")
    assert 0 < tone["low"] < tone["value"] < tone["high"] < 1
    assert int(tone["n_labelled"]) <= len(tasks) < int(tone["n_judged"])
    assert tone["fallback"] == "NOT_EARNED"  # the judge of these traces is a counter
    assert {row["slice"] for row in rows("SELECT slice FROM v_estimates_history")} == {"all", "locale=de", "locale=fr"}


def test_from_a_moment_on(runtime: EmbeddedRuntime, settings: Settings, codec: Codec, tasks: list[ReviewTask]) -> None:
    positions = LogPositions(settings.kafka)
    chunks = read_partitions(settings.kafka, positions.bounds(positions.partitions([topics.TRACES.name])))
    moment = datetime.fromtimestamp(median(record.timestamp for chunk in chunks for record in chunk.records) / 1000, UTC)
    report = replayed(runtime, "--from", moment.isoformat(), "--no-tables", "--keep", code=0)
    asked = len(adjudications(settings, codec))
    assert 0 < report["review-queue"]["identical"] < len(tasks) + asked
    assert report["review-queue"]["identical"] + report["review-queue"]["before_cut"] == len(tasks) + asked
    assert report["agreement-units"]["before_cut"] > 0
    assert report["agreement"]["identical"] > 0
    kept = {name.partition("-review-queue")[0] + "-" for name in shadows(settings) if name.endswith("-review-queue")}
    assert len(kept) == 1
    dropped = trueloop(runtime, "replay-log", "--drop", kept.pop())
    assert (dropped.returncode, shadows(settings)) == (0, [])


def test_interrupted_it_cleans_up(runtime: EmbeddedRuntime, settings: Settings, tasks: list[ReviewTask]) -> None:
    environment = os.environ | {"TRUELOOP_STATE_DIR": str(runtime.layout.state_dir)}
    until(lambda: shadows(settings) == [], "shadows of before are gone")
    running = subprocess.Popen([sys.executable, "-m", "trueloop.cli", "replay-log", "--from", "0"], env=environment, stdout=subprocess.PIPE)
    until(lambda: shadows(settings) != [], "the shadow is there")
    running.send_signal(signal.SIGINT)
    assert running.wait(60) == 130
    until(lambda: shadows(settings) == [], "the shadow is gone")


def test_what_was_tampered_with_is_listed(runtime: EmbeddedRuntime, settings: Settings, codec: Codec, tasks: list[ReviewTask]) -> None:
    pairs = [event for event in read_events(settings.kafka, codec, topics.PREFERENCE_PAIRS) if isinstance(event, PreferencePair)]
    forged = pairs[0].model_copy(update={"event_id": "forged", "pair_id": "forged"})
    altered = tasks[0].model_copy(update={"sampling_prob": 0.123})
    Publisher(settings.kafka, codec).publish([forged, altered])
    delete_first(settings, topics.AGREEMENT_UNITS.name)
    report = replayed(runtime, "--from", "0", code=1)
    assert (report["preference-pairs"]["unexpected"], report["preference-pairs"]["missing"]) == (1, 0)
    assert report["preference-pairs"]["differences"][0]["identity"] == f"{APPLICATION}/forged"
    assert (report["agreement-units"]["missing"], report["agreement-units"]["unexpected"]) == (1, 0)
    assert report["review-queue"]["unexpected"] == 1
    assert report["review-queue"]["differences"][0]["subject"] == tasks[0].task_id
    found = [(name, difference["cause"]) for name in ("preference-pairs", "agreement-units", "review-queue") for difference in report[name]["differences"]]
    assert found == [("preference-pairs", "unexplained"), ("agreement-units", "unexplained"), ("review-queue", "unexplained")]
    assert report["unexplained"] == 3
    delete_first(settings, topics.TRACES.name)
    refused = trueloop(runtime, "replay-log", "--from", "0")
    assert refused.returncode == 2
    assert "are gone" in refused.stderr
    assert "expected --from 20" in refused.stderr


def delete_first(settings: Settings, name: str) -> None:
    """Delete the first record of a partition, as its retention would."""
    place = next(place for place, end in ends(settings).items() if place[0] == name and end)
    admin = AdminClient(client_config(settings.kafka))
    for future in admin.delete_records([TopicPartition(settings.kafka.topic_prefix + place[0], place[1], 1)]).values():
        future.result(30)
