"""The simulated production service: it serves whatever checkpoint `releases` names, and sends what it served as traces.

An outside client: it uses the SDK and reads public topics. After a day's requests it waits for the next gate decision, so that model and
trainer do not fight for the same two cores.

python -m trueloop.demo.service APPLICATION REQUESTS_PER_DAY SAMPLES SEED
"""

import re
import signal
import sys
import time
from typing import Any

from trueloop import Client
from trueloop.adapters.model_store import ModelStore
from trueloop.adapters.registry import connect
from trueloop.adapters.subscriber import Subscriber
from trueloop.config import Settings, load_settings
from trueloop.demo import billing
from trueloop.events import Alternative, GateDecision, Message, Release, Role
from trueloop.readiness import announce_ready
from trueloop.topics import GATES, RELEASES

_COURTEOUS = re.compile(r"\b(thank|thanks|sorry|happy)\b", re.IGNORECASE)
_CHUNK = 128
"""Requests that are answered in one go; the service's own throughput, nobody else's."""
IDLE_DAY_S = 90.0
"""Without a gate decision for so long, another day's requests come: production does not stop for us."""


class BillingService:
    """Serves billing questions with the released checkpoint. Every request is sampled `samples` times: the first answer is served."""

    def __init__(self, settings: Settings, application: str, samples: int, seed: int) -> None:
        self._store = ModelStore(settings.models)
        self._client = Client(application=application, consent="training", settings=settings)
        self._subscriber = Subscriber(settings.kafka, connect(settings.registry), (RELEASES, GATES), group=f"demo-service-{seed}")
        self._application = application
        self._samples = samples
        self._seed = seed
        self._release: Release | None = None
        self._loaded: tuple[str, Any, Any] | None = None
        self._gates = 0

    def run(self, requests_per_day: int) -> None:
        """Serve day after day, until interrupted."""
        day = 0
        while True:
            while self._release is None:
                self._listen(0.2)
            self._listen(0.0)
            seen = self._gates
            self._serve(range(day * requests_per_day, (day + 1) * requests_per_day))
            day += 1
            deadline = time.monotonic() + IDLE_DAY_S
            while self._gates == seen and time.monotonic() < deadline:
                self._listen(0.2)

    def close(self) -> None:
        """Send what is left."""
        self._client.close()
        self._subscriber.close()

    def _listen(self, timeout_s: float) -> None:
        for event in self._subscriber.poll(timeout_s):
            if event.application != self._application:
                continue
            if isinstance(event, Release):
                self._release = event
            elif isinstance(event, GateDecision):
                self._gates += 1

    def _serve(self, indices: range) -> None:
        from trueloop.trainers.generate import generate

        for start in range(indices.start, indices.stop, _CHUNK):
            cases = [billing.make_case(index, f"production {self._seed}") for index in range(start, min(start + _CHUNK, indices.stop))]
            checkpoint, model, tokenizer = self._model()
            started = time.monotonic()
            prompts = [case.messages for case in cases]
            answers = generate(model, tokenizer, prompts, max_new_tokens=64, temperature=1.0, seed=self._seed, n=self._samples)
            latency_ms = (time.monotonic() - started) * 1000 / len(cases)
            for case, completions in zip(cases, answers, strict=True):
                self._send(case, completions, checkpoint, latency_ms)
            self._listen(0.0)
        self._client.flush(30.0)

    def _send(self, case: billing.Case, completions: list[str], checkpoint: str, latency_ms: float) -> None:
        served, *others = completions
        self._client.trace(
            messages=[Message(role=Role(message["role"].upper()), content=message["content"]) for message in case.messages],
            completion=served,
            model="billing-tiny",
            checkpoint=checkpoint,
            slices={"mood": case.slices["mood"]},
            scores={"courtesy": float(bool(_COURTEOUS.search(served)))},
            latency_ms=latency_ms,
            subject_id=f"subject-{case.case_id}",
            alternatives=[Alternative(completion=text, model="billing-tiny", checkpoint=checkpoint) for text in others],
        )

    def _model(self) -> tuple[str, Any, Any]:
        release = self._release
        if release is None:
            raise RuntimeError("no release was read; expected one before the first request")
        if self._loaded is None or self._loaded[0] != release.checkpoint:
            import torch
            from transformers import AutoModelForCausalLM, AutoTokenizer

            torch.set_num_threads(2)
            directory = self._store.resolve(release.checkpoint_uri, release.checkpoint_sha256)
            self._loaded = (release.checkpoint, AutoModelForCausalLM.from_pretrained(directory), AutoTokenizer.from_pretrained(directory))
        return self._loaded


def _stop(_number: int, _frame: object) -> None:
    raise SystemExit(0)


def main(application: str, requests_per_day: int, samples: int, seed: int) -> None:
    """Run the service until SIGTERM."""
    signal.signal(signal.SIGTERM, _stop)
    service = BillingService(load_settings(), application, samples, seed)
    announce_ready()
    try:
        service.run(requests_per_day)
    finally:
        service.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
