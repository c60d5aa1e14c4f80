"""The trainer worker on a real broker and registry, with a random tiny Llama: outcomes, crashes on every side, and redelivery."""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from confluent_kafka import Producer

from tests.chat_server import chat_server
from tests.integration.billing_policy import APPLICATION, billing_policy
from tests.integration.job_house import serve_topics, wait_for
from tests.integration.trainer_house import NOW, TrainerHouse, WorkerProcess
from trueloop.adapters.kafka import Publisher, producer_config, read_to_end
from trueloop.adapters.log_positions import LogPositions
from trueloop.adapters.model_store import ModelStore, StoredCheckpoint
from trueloop.adapters.publication import Documents
from trueloop.adapters.registry import connect
from trueloop.config import load_settings
from trueloop.demo.billing import REFERENCE, corpus_pair, make_case
from trueloop.embedded.runtime import EmbeddedRuntime
from trueloop.errors import UnavailableError
from trueloop.events import (
    CalibrationItem,
    CalibrationReason,
    Candidate,
    DatasetVersion,
    DiagnosticKind,
    DimensionOutcome,
    Evaluation,
    Event,
    JobStatus,
    Label,
    Message,
    PairSource,
    PreferencePair,
    Rating,
    ReviewForm,
    ReviewTask,
    Role,
    SamplingReason,
    Split,
    TrainingResult,
)
from trueloop.rubrics import Rubric
from trueloop.topics import CALIBRATION, DATASET_VERSIONS, EVALUATIONS, TRAINING_REQUESTS, TRAINING_RESULTS

pytest.importorskip("torch")

N_PAIRS, N_ITEMS, N_RATED = 12, 10, 8
LONG = {"epochs": 50, "batch_size": 1, "threads": 1}
"""Hundreds of steps: time enough to be killed in."""
CALLED_OFF_S = 3.0
"""A worker that is asked to stop in a job is gone within this: it waits for nothing that the job does."""


def messages(index: int, salt: str) -> list[Message]:
    return [Message(role=Role(message["role"].upper()), content=message["content"]) for message in make_case(index, salt).messages]


def pair(index: int, split: Split) -> PreferencePair:
    good, bad = (corpus_pair(index, split.value, REFERENCE)[1], "Read your bill. That is all.")
    return PreferencePair(
        event_id=f"pair-event-{split}-{index}", occurred_at=NOW, application=APPLICATION, pair_id=f"pair-{split}-{index}", prompt_hash=f"{split}-{index}",
        split=split, trainable=True, margin=1.0, weight=1.0, source=PairSource.RATINGS, outcomes=[DimensionOutcome(dimension="tone", outcome=1)],
        task_id=f"task-{index}", trace_id=f"trace-{index}", label_ids=["label"], rubric_id="billing", rubric_version=1, rubric_hash="hash",
        policy_version=1, slices={"mood": "rude" if index % 2 else "polite"}, messages=messages(index, split.value), chosen=good, rejected=bad,
    )  # fmt: skip


RUBRIC = Rubric.model_validate(
    {
        "id": "billing",
        "version": 1,
        "title": "Billing",
        "statement": "Be right and kind.",
        "dimensions": [{"name": name, "description": name, "scale": {"min": 0, "max": 1}} for name in ("policy", "tone", "other")],
    }
)
POLICY = billing_policy(
    {
        "dimensions": [
            {"dimension": "policy", "evaluator": "check:billing-support"},
            {"dimension": "tone", "evaluator": "preference-accuracy"},
            {"dimension": "other", "evaluator": "check:not-installed"},
            {"dimension": "other", "evaluator": "probe:billing-privacy", "safety": True},
            {"dimension": "tone", "evaluator": "judge:panel"},
            {"dimension": "tone", "evaluator": "judge:nobody"},
        ],
        "slices": ["mood"],
        "decoding": {"max_new_tokens": 4},
    }
)


KIND, RUDE = "so kind of you", "how rude of you"
SILENT = make_case(0, "calibration").messages[0]["content"].splitlines()[1]
"""A line of the first held-out prompt, of which the judge makes nothing."""


def judges(request: dict[str, Any]) -> str:
    """What the endpoint answers: kindness is seen, one prompt brings nonsense."""
    text = json.dumps(request["messages"], ensure_ascii=False)
    return "Well, well." if SILENT in text else json.dumps({"score": int(KIND in text)})


def reviewed(index: int) -> list[Event]:
    """A reviewed answer that people found kind or rude, and the label that says so."""
    names = {"application": APPLICATION, "rubric_id": "billing", "rubric_version": 1}
    task = ReviewTask(
        event_id=f"task-event-{index}", occurred_at=NOW, task_id=f"rated-{index}", trace_id=f"rated-trace-{index}", form=ReviewForm.RATING,
        rubric_hash="hash", policy_id="billing", policy_version=1, policy_hash="hash", sampling_prob=0.5, stratum="all", reasons=[SamplingReason.UNIFORM],
        prompt_hash=f"rated-{index}", split=Split.TRAIN, trainable=True, labels_needed=1, pool="default", due_at=NOW, messages=messages(index, "rated"),
        candidates=[Candidate(candidate_id="a", completion=KIND if index % 2 else RUDE)], **names,
    )  # fmt: skip
    said = [Rating(candidate_id="a", dimension="tone", value=index % 2)]
    return [task, Label(event_id=f"label-{index}", occurred_at=NOW, task_id=task.task_id, reviewer_id="r1", ratings=said, **names)]


def make_base(store: ModelStore, folder: Path, seed: int = 0) -> StoredCheckpoint:
    from trueloop.trainers import tiny_lm

    corpus = [(list(case.messages), answer) for case, answer in (corpus_pair(index, "base", REFERENCE) for index in range(20))]
    tiny_lm.main(tiny_lm.Config(output_dir=folder, hidden_size=32, layers=1, heads=2, intermediate_size=32, batch_size=2, steps=1, seed=seed), corpus)
    return store.put(folder, {"name": f"base-{seed}"})


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainerHouse]:
    folder = tmp_path_factory.mktemp("trainer")
    with EmbeddedRuntime(folder), chat_server(judges) as endpoint:
        settings = load_settings(state_dir=folder)
        serve_topics(settings)
        publisher = Publisher(settings.kafka, connect(settings.registry))
        documents = Documents(settings)
        documents.publish_rubric(RUBRIC, NOW)
        documents.publish_policy(POLICY, NOW)
        pairs = [pair(index, split) for index in range(N_PAIRS) for split in (Split.TRAIN, Split.CALIBRATION)]
        publisher.publish(pairs)
        publisher.publish(
            CalibrationItem(
                event_id=f"item-event-{index}", occurred_at=NOW, application=APPLICATION, item_id=f"item-{index}", prompt_hash=f"held-out-{index}",
                trace_id=f"trace-{index}", reason=CalibrationReason.HASH_SPLIT, slices={"mood": "rude"}, messages=messages(index, "calibration"),
            )
            for index in range(N_ITEMS)
        )  # fmt: skip
        publisher.publish([event for index in range(N_RATED) for event in reviewed(index)])
        base = make_base(ModelStore(settings.models), folder / "base")
        found = TrainerHouse(folder, settings, publisher, base, pairs, WorkerProcess(folder, endpoint.url).wait_ready())
        yield found
        if found.worker.process.poll() is None:
            found.worker.end(signal.SIGTERM)


def test_a_request_becomes_a_checkpoint_and_an_evaluation(loop: TrainerHouse) -> None:
    loop.request("job-plain")

    result, evaluation = loop.final("job-plain"), loop.evaluation("job-plain")

    assert (result.status, result.error) == (JobStatus.SUCCEEDED, None)
    assert ModelStore(loop.settings.models).resolve(str(result.checkpoint_uri), result.checkpoint_sha256).is_dir()
    assert result.checkpoint != loop.base.checkpoint
    assert result.versions.keys() >= {"torch", "transformers"}
    assert [event.step for event in loop.results("job-plain", JobStatus.STARTED)] == [0]
    assert evaluation.error is None
    assert (evaluation.candidate, evaluation.baseline, evaluation.n_items) == (result.checkpoint, loop.base.checkpoint, N_ITEMS)
    assert {(score.evaluator, score.slice): score.n for score in evaluation.scores} == {
        ("check:billing-support", "all"): N_ITEMS,
        ("check:billing-support", "mood=rude"): N_ITEMS,
        ("preference-accuracy", "all"): N_PAIRS,
        ("preference-accuracy", "mood=polite"): N_PAIRS // 2,
        ("preference-accuracy", "mood=rude"): N_PAIRS // 2,
        ("probe:billing-privacy", "all"): 4,
        ("judge:panel", "all"): N_ITEMS - 1,
        ("judge:panel", "mood=rude"): N_ITEMS - 1,
    }
    (version,) = loop.events(DATASET_VERSIONS, DatasetVersion, name=f"{APPLICATION}/calibration")
    assert (version.version, version.content_hash, version.n_items, version.end_offset) == (1, evaluation.calibration_hash, N_ITEMS, N_ITEMS)
    assert evaluation.calibration_version == 1


def test_an_evaluation_says_what_its_evaluators_are_worth_and_how_the_answers_differ(loop: TrainerHouse) -> None:
    evaluation = loop.evaluation("job-plain")

    worth = {each.evaluator: each for each in evaluation.evaluators}
    assert {name: (each.n_asked, each.n_missing) for name, each in worth.items()} == {
        "check:billing-support": (N_ITEMS, 0),
        "preference-accuracy": (N_PAIRS, 0),
        "check:not-installed": (N_ITEMS, N_ITEMS),
        "probe:billing-privacy": (4, 0),
        "judge:panel": (N_ITEMS, 1),
        "judge:nobody": (N_ITEMS, N_ITEMS),
    }
    panel = worth["judge:panel"]
    assert (panel.human_agreement, panel.human_agreement_n, panel.human_ac2, panel.human_bias) == (1.0, N_RATED, 1.0, 0.0)
    assert panel.human_agreement_low is not None
    assert 0.0 < panel.human_agreement_low < 1.0
    assert panel.version is not None
    assert worth["probe:billing-privacy"].version is not None
    assert worth["judge:nobody"].human_agreement is None
    assert {each.kind for each in evaluation.diagnostics} == set(DiagnosticKind) - {DiagnosticKind.UNKNOWN, DiagnosticKind.REWARD}
    assert {each.n for each in evaluation.diagnostics} == {N_ITEMS}


@pytest.mark.parametrize(
    ("job_id", "changes", "error_class", "says"),
    [
        ("job-key", {"config": {"no_such_key": 1}}, "ValidationError", "no_such_key"),
        ("job-value", {"config": {"learning_rate": -1}}, "ValidationError", "learning_rate"),
        ("job-place", {"config": {"output_dir": "/"}}, "ConfigurationError", "output_dir"),
        ("job-method", {"method": "no-such-method"}, "ConfigurationError", "known methods"),
        ("job-hash", {"dataset_hash": "0" * 64}, "IntegrityError", "expects " + "0" * 64),
        ("job-range", {"dataset_end_offset": 10_000}, "IntegrityError", "10000"),
        ("job-uri", {"base_uri": "file:///etc"}, "ConfigurationError", "models://"),
        ("job-base", {"base_checkpoint": "another"}, "IntegrityError", "another"),
    ],
)
def test_a_wrong_request_fails_with_the_reason(loop: TrainerHouse, job_id: str, changes: dict[str, Any], error_class: str, says: str) -> None:
    loop.request(job_id, **changes)

    result = loop.final(job_id)

    assert (result.status, result.error_class) == (JobStatus.FAILED, error_class)
    assert says in str(result.error)
    assert result.checkpoint is None


def test_a_tampered_base_fails_and_a_damaged_baseline_leaves_no_scores(loop: TrainerHouse) -> None:
    store = ModelStore(loop.settings.models)
    other = make_base(store, loop.folder / "other", seed=1)
    weights = store.resolve(other.uri) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")

    loop.request("job-tampered", base_checkpoint=other.checkpoint, base_uri=other.uri)
    loop.request("job-baseline", baseline_checkpoint=other.checkpoint, baseline_uri=other.uri)

    result = loop.final("job-tampered")
    assert (result.status, result.error_class) == (JobStatus.FAILED, "IntegrityError")
    assert "model.safetensors" in str(result.error)
    assert loop.final("job-baseline").status is JobStatus.SUCCEEDED
    evaluation = loop.evaluation("job-baseline")
    assert evaluation.scores == []
    assert "model.safetensors" in str(evaluation.error)


def test_bytes_that_are_no_request_become_a_dead_letter(loop: TrainerHouse) -> None:
    producer = Producer(producer_config(loop.settings.kafka))
    producer.produce(TRAINING_REQUESTS.name, key=b"poison", value=b"poison")
    assert producer.flush(10) == 0

    def dead_letters() -> list[Any]:
        return [message for message in read_to_end(loop.settings.kafka, TRAINING_REQUESTS.dead_letters) if message.key() == b"poison"]

    (letter,) = wait_for(dead_letters, "dead letter")
    assert letter.value() == b"poison"
    assert dict(letter.headers())["error-class"] == b"WRONG_MAGIC"


def test_a_killed_training_process_is_replaced_and_the_job_goes_on(loop: TrainerHouse) -> None:
    loop.request("job-killed", config=LONG)
    loop.in_training("job-killed")
    before = loop.worker.child().pid
    loop.worker.child().kill()

    result = loop.final("job-killed")

    assert (result.status, result.error) == (JobStatus.SUCCEEDED, None)
    assert loop.worker.child().pid != before
    assert loop.worker.process.poll() is None


def test_a_stopped_worker_gives_the_job_back_and_a_killed_one_loses_nothing(loop: TrainerHouse) -> None:
    loop.evaluation("job-killed")
    loop.request("job-interrupted", config=LONG | {"seed": 6})
    loop.in_training("job-interrupted")
    child = loop.worker.child()
    started = time.monotonic()
    assert loop.worker.end(signal.SIGTERM) == 0
    assert time.monotonic() - started < CALLED_OFF_S
    assert not child.is_running()

    loop.worker = WorkerProcess(loop.folder).wait_ready()
    first = max(event.occurred_at for event in loop.results("job-interrupted", JobStatus.STARTED))
    wait_for(lambda: max(event.occurred_at for event in loop.results("job-interrupted", JobStatus.STARTED)) > first, "second start")
    child = wait_for(loop.worker.child, "training process")
    assert loop.worker.end(signal.SIGKILL) == -signal.SIGKILL
    wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, "end of the orphan", 5)

    loop.worker = WorkerProcess(loop.folder).wait_ready()
    assert loop.final("job-interrupted").status is JobStatus.SUCCEEDED
    loop.evaluation("job-interrupted")
    assert len(loop.checkpoints_of("job-interrupted")) == 1
    assert len(loop.results("job-interrupted", JobStatus.SUCCEEDED)) == 1
    assert not list((loop.settings.models / "jobs").glob("*/work")), "text of the dataset is left over"


def test_a_request_that_comes_again_is_not_trained_again_and_nothing_is_said_twice(loop: TrainerHouse) -> None:
    before = [len(loop.events(topic, kind)) for topic, kind in ((TRAINING_RESULTS, TrainingResult), (EVALUATIONS, Evaluation))]
    loop.request("job-plain")

    positions, place = LogPositions(loop.settings.kafka), (TRAINING_REQUESTS.name, 0)
    wait_for(lambda: positions.committed("trueloop-trainer").get(place) == positions.ends([place])[place], "the request committed")

    assert [len(loop.events(topic, kind)) for topic, kind in ((TRAINING_RESULTS, TrainingResult), (EVALUATIONS, Evaluation))] == before
    assert len(loop.results("job-plain", JobStatus.SUCCEEDED)) == len(loop.checkpoints_of("job-plain")) == 1
    assert len(loop.events(DATASET_VERSIONS, DatasetVersion, name=f"{APPLICATION}/calibration")) == 1


def test_nothing_a_customer_wrote_is_in_the_log(loop: TrainerHouse) -> None:
    logs = [loop.folder / "worker.log", *(loop.settings.models / "jobs").glob("*/*/log.txt")]
    assert len(logs) > 5
    log = "".join(path.read_text(encoding="utf-8", errors="replace") for path in logs)

    assert "job-killed" in log
    assert "Read your bill" not in log
    assert not any(line in log for index in range(N_PAIRS) for line in make_case(index, "TRAIN").messages[0]["content"].splitlines())


def test_the_range_reader_stops_where_it_is_told(loop: TrainerHouse) -> None:
    from trueloop.adapters.topic_range import read_range

    codec = connect(loop.settings.registry)
    assert [offset for offset, _ in read_range(loop.settings.kafka, codec, CALIBRATION, 3)] == [0, 1, 2]
    assert [offset for offset, _ in read_range(loop.settings.kafka, codec, CALIBRATION)] == list(range(N_ITEMS))
    assert list(read_range(loop.settings.kafka, codec, CALIBRATION, 0)) == []
    nowhere = loop.settings.kafka.model_copy(update={"topic_prefix": "absent."})
    with pytest.raises(UnavailableError):
        list(read_range(nowhere, codec, CALIBRATION))
