"""`make bench-jobs`: how long a small job takes from its request to its first event, its first step and its end, in a warm trainer worker.

Broker, registry and worker are real and run on this machine; the model has random weights, for nothing is asked of it here but its size. The
first job finds a process that is still importing torch. Every job has a seed of its own, for the same order would be answered from the log. When
its first step is done is what its curve says, since progress is told once a second.
Prints medians, and writes bench/results/job_start.{md,json}.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from machine import TRAINING, machine
from trueloop.trainers.curve import read_curve
from trueloop.trainers.job_files import JobFiles

from trueloop.adapters.kafka import Publisher
from trueloop.adapters.kafka_admin import ensure_topics
from trueloop.adapters.model_store import ModelStore, StoredCheckpoint
from trueloop.adapters.registry import connect
from trueloop.adapters.subscriber import Subscriber
from trueloop.config import load_settings
from trueloop.datasets.pair_log import EMPTY, extend
from trueloop.demo.billing import REFERENCE, corpus_pair
from trueloop.embedded.runtime import EmbeddedRuntime
from trueloop.events import DimensionOutcome, JobStatus, Message, PairSource, PreferencePair, Role, Split, TrainingRequest, TrainingResult, TriggerReason
from trueloop.topics import TRAINING_RESULTS, physical

APPLICATION, PAIRS, PATIENCE_S = "bench", 64, 300.0
NOW = datetime(2026, 1, 1, tzinfo=UTC)
CONFIG = {"epochs": 1, "batch_size": 16, "threads": 1}
MARKS = {"started": "its first event", "step": "its first step is done", "ended": "its last event"}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=20, help="jobs after the first")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "job_start")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="trueloop-bench-") as folder, EmbeddedRuntime(Path(folder)):
        settings = load_settings(state_dir=Path(folder))
        ensure_topics(settings.kafka, physical())
        codec = connect(settings.registry)
        publisher = Publisher(settings.kafka, codec)
        publisher.publish([pair(number) for number in range(PAIRS)])
        base = make_base(ModelStore(settings.models), Path(folder) / "base")
        environment = {**os.environ, "TRUELOOP_STATE_DIR": folder}
        with subprocess.Popen([sys.executable, "-m", "trueloop.trainers.worker"], env=environment, stderr=subprocess.DEVNULL) as worker:
            try:
                with Subscriber(settings.kafka, codec, (TRAINING_RESULTS,)) as results:
                    jobs = [run(publisher, results, request(number, base), JobFiles(settings.models)) for number in range(options.jobs + 1)]
            finally:
                worker.terminate()
    write(jobs, options.out)


def pair(number: int) -> PreferencePair:
    """Return a pair of the billing task."""
    case, answer = corpus_pair(number, "bench", REFERENCE)
    return PreferencePair(
        event_id=f"pair-{number}", occurred_at=NOW, application=APPLICATION, pair_id=f"pair-{number}", prompt_hash=str(number), split=Split.TRAIN,
        trainable=True, margin=1.0, weight=1.0, source=PairSource.RATINGS, outcomes=[DimensionOutcome(dimension="tone", outcome=1)],
        task_id=str(number), trace_id=str(number), label_ids=["label"], rubric_id="bench", rubric_version=1, rubric_hash="bench", policy_version=1,
        messages=[Message(role=Role(message["role"].upper()), content=message["content"]) for message in case.messages],
        chosen=answer, rejected="Read your bill. That is all.",
    )  # fmt: skip


def make_base(store: ModelStore, folder: Path) -> StoredCheckpoint:
    """Store a model of the demo's size that has learned next to nothing."""
    from trueloop.trainers import tiny_lm

    corpus = [(list(case.messages), answer) for case, answer in (corpus_pair(number, "base", REFERENCE) for number in range(20))]
    tiny_lm.main(tiny_lm.Config(output_dir=folder, batch_size=2, steps=1), corpus)
    return store.put(folder)


def request(number: int, base: StoredCheckpoint) -> TrainingRequest:
    """Return the order of a DPO run of four steps."""
    chain = EMPTY
    for each in range(PAIRS):
        chain = extend(chain, f"pair-{each}")
    return TrainingRequest(
        event_id=f"request-{number}", occurred_at=NOW, application=APPLICATION, job_id=f"job-{number}", method="dpo", base_checkpoint=base.checkpoint,
        base_uri=base.uri, baseline_checkpoint=base.checkpoint, baseline_uri=base.uri, dataset=f"{APPLICATION}/pairs", dataset_version=1,
        dataset_hash=chain, dataset_end_offset=PAIRS, config=json.dumps(CONFIG | {"seed": number}), reason=TriggerReason.MANUAL, rubric_id="bench",
        rubric_version=1, policy_id="bench", policy_version=1,
    )  # fmt: skip


def run(publisher: Publisher, results: Subscriber, order: TrainingRequest, files: JobFiles) -> dict[str, float]:
    """Request a job and return the seconds until each of `MARKS`, events as they are read from the broker."""
    begun, seen = time.monotonic(), dict[str, float]()
    publisher.publish([order])
    while time.monotonic() - begun < PATIENCE_S:
        for event in results.poll(0.2):
            if not isinstance(event, TrainingResult) or event.job_id != order.job_id:
                continue
            seen.setdefault("ended" if event.status.is_final else "started", time.monotonic() - begun)
            if event.status is JobStatus.SUCCEEDED:
                return seen | {"step": seen["started"] + read_curve(files.attempt(order.job_id, 1).curve)[0]["seconds"]}
            if event.status.is_final:
                raise SystemExit(f"{order.job_id} ended as {event.status}: {event.error}")
    raise SystemExit(f"{order.job_id} did not end within {PATIENCE_S:g} s")


def write(jobs: list[dict[str, float]], out: Path) -> None:
    """Print the table and write it with machine and versions."""
    first, warm = jobs[0], jobs[1:]
    lines = [f"| seconds from the request until | the first job, worker just started | median of {len(warm)} | longest |", "|---|---:|---:|---:|"]
    for mark, title in MARKS.items():
        taken = [job[mark] for job in warm]
        lines.append(f"| {title} | {first[mark]:.2f} | {statistics.median(taken):.2f} | {max(taken):.2f} |")
    table = "\n".join(lines)
    print(table)
    said = f"A DPO run of four steps on {PAIRS} pairs, model of the demo's size. By `make bench-jobs`."
    out.with_suffix(".md").write_text(f"# The start of a job\n\n{said}\n\n{table}\n\n{machine(*TRAINING)}\n", encoding="utf-8")
    out.with_suffix(".json").write_text(json.dumps({"machine": machine(*TRAINING), "jobs": jobs}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
