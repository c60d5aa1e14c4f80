"""How long a warm trainer worker takes from a request to the job's first event, on a real broker: no training, only the way there.

    python bench/job_start.py [--jobs 20]

Each request names a method that does not exist, so its job starts and fails at once.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from trueloop.adapters.kafka import Publisher
from trueloop.adapters.kafka_admin import ensure_topics
from trueloop.adapters.registry import connect
from trueloop.adapters.subscriber import Subscriber
from trueloop.config import load_settings
from trueloop.embedded.runtime import EmbeddedRuntime
from trueloop.events import JobStatus, TrainingRequest, TrainingResult, TriggerReason
from trueloop.topics import TRAINING_RESULTS, physical

PATIENCE_S = 300.0


def request(number: int) -> TrainingRequest:
    """Return a request whose job starts and fails."""
    return TrainingRequest(
        event_id=f"request-{number}", occurred_at=datetime.now(UTC), application="bench", job_id=f"job-{number}", method="none", base_checkpoint="base",
        base_uri="models://none", baseline_checkpoint="base", baseline_uri="models://none", dataset="bench/pairs", dataset_version=1, dataset_hash="none",
        dataset_end_offset=0, config="{}", reason=TriggerReason.MANUAL, rubric_id="bench", rubric_version=1, policy_id="bench", policy_version=1,
    )  # fmt: skip


def seconds_to_start(publisher: Publisher, results: Subscriber, number: int) -> float:
    """Request a job; return the seconds until its first event is read, having waited for its last."""
    began = time.monotonic()
    publisher.publish([request(number)])
    started = None
    while time.monotonic() - began < PATIENCE_S:
        for event in results.poll(0.5):
            if isinstance(event, TrainingResult) and event.job_id == f"job-{number}":
                started = started or time.monotonic() - began
                if event.status is JobStatus.FAILED:
                    return started
    raise SystemExit(f"job {number} did not end within {PATIENCE_S:g} s")


def main() -> None:
    """Print the times as a table."""
    parser = argparse.ArgumentParser(description="From request to start")
    parser.add_argument("--jobs", type=int, default=20)
    jobs = parser.parse_args().jobs
    with tempfile.TemporaryDirectory() as folder, EmbeddedRuntime(Path(folder)):
        settings = load_settings(state_dir=Path(folder))
        ensure_topics(settings.kafka, physical())
        codec = connect(settings.registry)
        environment = {**os.environ, "TRUELOOP_STATE_DIR": folder}
        with subprocess.Popen([sys.executable, "-m", "trueloop.trainers.worker"], env=environment, stderr=subprocess.DEVNULL) as worker:
            try:
                with Subscriber(settings.kafka, codec, (TRAINING_RESULTS,)) as results:
                    publisher = Publisher(settings.kafka, codec)
                    cold = seconds_to_start(publisher, results, 0)
                    warm = sorted(seconds_to_start(publisher, results, number) for number in range(1, jobs + 1))
            finally:
                worker.terminate()
    print("| from a request to the first event of its job | seconds |\n|---|---|")
    print(f"| the first, while the training process imports torch | {cold:.1f} |")
    print(f"| warm: median of {jobs} | {statistics.median(warm):.3f} |\n| warm: longest | {warm[-1]:.3f} |")


if __name__ == "__main__":
    main()
