"""What `trueloop up` runs on top of the broker and the registry: topics, schemas and every worker of the loop."""

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

from trueloop.config import KafkaSettings, RegistrySettings, load_settings
from trueloop.embedded.blinding import blinding_key
from trueloop.embedded.endpoints import Endpoints
from trueloop.embedded.ports import HOST
from trueloop.embedded.runtime import Stack
from trueloop.embedded.service import WorkerSpec

PROCESSORS = (
    "sampling", "appeals", "trials", "profiles", "collection", "agreement", "reviewers", "estimates", "drift", "distributions", "families", "quotas",
    "disagreements", "trigger", "gating",
)  # fmt: skip
"""Processors of the loop; on one machine they share a process, because each process costs memory and start-up time."""
_METRICS = {"TRUELOOP_METRICS__HOST": HOST, "TRUELOOP_METRICS__PORT": "0"}
"""Whatever is set for production: on one machine each worker takes a port that is free, on loopback, and notes it for `trueloop top`."""


def loop_stack(state_dir: Path, clients: Sequence[WorkerSpec] = ()) -> Stack:
    """Return the workers of the whole loop, and what has to exist before they start. `clients` run beside them, as outsiders.

    The trainer is left out where torch is not installed: the rest of the loop needs none.
    """
    settings = load_settings(state_dir=state_dir)
    key = settings.blinding_key.get_secret_value() or blinding_key(state_dir)

    def prepare(endpoints: Endpoints) -> None:
        from trueloop.adapters.kafka_admin import ensure_topics
        from trueloop.adapters.registry import register_schemas
        from trueloop.topics import physical

        kafka = KafkaSettings(**settings.kafka.model_dump() | {"bootstrap_servers": endpoints.kafka})
        ensure_topics(kafka, physical())
        register_schemas(RegistrySettings(**settings.registry.model_dump() | {"url": endpoints.registry}))

    environment = {"TRUELOOP_BLINDING_KEY": key, **_METRICS}
    workers = [_worker("sink", ("sink",), environment), _worker("streams", PROCESSORS, environment)]
    if importlib.util.find_spec("torch") is not None:
        workers.append(_worker("trainer", ("trainer",), environment))
    return Stack((*workers, *clients), prepare)


def _worker(name: str, arguments: tuple[str, ...], environment: dict[str, str]) -> WorkerSpec:
    # A fixed instance name: a worker that was killed is back in its place at once.
    command = (sys.executable, "-m", "trueloop.cli", "worker", *arguments, "--instance", "local")
    return WorkerSpec(name=name, command=command, env=environment)
