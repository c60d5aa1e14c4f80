"""`trueloop demo`: runs the billing-support story and shows it. The loop's workers do not know that it is a demo."""

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console, RenderableType
from rich.live import Live

from trueloop.adapters.documents import load_policy, load_rubric
from trueloop.adapters.kafka import Publisher
from trueloop.adapters.model_store import ModelStore
from trueloop.adapters.publication import Documents
from trueloop.adapters.registry import connect
from trueloop.adapters.subscriber import Subscriber
from trueloop.config import Settings, load_settings
from trueloop.demo import base_checkpoint, report, view
from trueloop.demo.observation import Observation
from trueloop.embedded.runtime import EmbeddedRuntime
from trueloop.embedded.service import WorkerSpec
from trueloop.embedded.stack import loop_stack
from trueloop.errors import ConfigurationError, UnavailableError
from trueloop.events import Release, ReleaseReason, derive_id
from trueloop.topics import ALL, DRIFT_OBSERVATIONS, DRIFT_VALUES

APPLICATION = "billing-support"
MARKER = "demo.json"
"""A state directory with this file was made by a demo, so the next demo may empty it."""
READY_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How the story runs: traffic per day, samples per request, and after how many gates it ends without a pass."""

    requests_per_day: int = 500
    samples: int = 4
    seed: int = 1
    max_cycles: int = 8
    deadline_s: float = 900.0


def run(state_dir: Path, plan: Plan, console: Console) -> bool:
    """Run the story in `state_dir` and return whether a candidate passed its gate.

    Raises ConfigurationError when the directory holds something that no demo made, UnavailableError when a part does not start.
    """
    started = time.monotonic()
    base = _base(console)
    _empty(state_dir)
    clients = (_client("demo-service", "service", plan.requests_per_day, plan.samples, plan.seed), _client("demo-reviewers", "reviewers", plan.seed))
    runtime = EmbeddedRuntime(state_dir, loop_stack(state_dir, clients), say=lambda text: console.print(f"  {text}"))
    with console.status("starting Kafka, the schema registry, ClickHouse and the workers"):
        runtime.start()
        try:
            runtime.wait_ready(READY_TIMEOUT_S)
        except BaseException:
            runtime.stop()
            raise
    try:
        console.print(f"ready after {time.monotonic() - started:.1f} s; state in {state_dir}")
        settings = load_settings(state_dir=state_dir)
        _govern(settings, base)
        seen = _watch(settings, plan, started, console)
        report.show(seen, settings, console, state_dir, time.monotonic() - started)
    finally:
        with console.status("stopping"):
            runtime.stop()
    return any(release.reason is ReleaseReason.GATE_PASS for release in seen.releases)


def _base(console: Console) -> Path:
    found = base_checkpoint.cached()
    if found is not None:
        console.print(f"base checkpoint: cached in {found}")
        return found
    from rich.progress import Progress, TimeRemainingColumn

    console.print("base checkpoint: none cached, so it is trained first, once per machine (about two minutes on two cores)")
    with Progress(*Progress.get_default_columns(), TimeRemainingColumn(), console=console, transient=True) as progress:
        task = progress.add_task("training the base model", total=None)
        return base_checkpoint.train(lambda step, total: progress.update(task, completed=step, total=total))


def _empty(state_dir: Path) -> None:
    """Make an empty state directory: a story starts at its beginning. Only what a demo made is deleted."""
    marker = state_dir / MARKER
    if state_dir.exists() and any(state_dir.iterdir()):
        if not marker.exists():
            raise ConfigurationError(f"{state_dir} holds state that no demo made; give the demo a directory of its own with --state-dir")
        shutil.rmtree(state_dir)
    state_dir.mkdir(parents=True, exist_ok=True)
    marker.write_text('{"made_by": "trueloop demo"}\n', encoding="utf-8")


def _client(name: str, module: str, *arguments: object) -> WorkerSpec:
    return WorkerSpec(name, (sys.executable, "-m", f"trueloop.demo.{module}", APPLICATION, *map(str, arguments)))


def _govern(settings: Settings, base: Path) -> None:
    """Do what an operator does: publish rubric and policy, register the base checkpoint, release it."""
    documents, now = Documents(settings), datetime.now(UTC)
    documents.publish_rubric(load_rubric(APPLICATION), now)
    documents.publish_policy(load_policy(APPLICATION), now)
    stored = ModelStore(settings.models).put(base, {"origin": "demo base"})
    release = Release(
        event_id=derive_id("release", APPLICATION, stored.checkpoint, "initial"),
        occurred_at=now,
        application=APPLICATION,
        checkpoint=stored.checkpoint,
        checkpoint_uri=stored.uri,
        checkpoint_sha256=stored.sha256,
        reason=ReleaseReason.INITIAL,
    )
    Publisher(settings.kafka, connect(settings.registry)).publish([release])


def _watch(settings: Settings, plan: Plan, started: float, console: Console) -> Observation:
    """Follow the public topics until a candidate passed or the story has run its course."""
    seen = Observation(APPLICATION)
    subscriber = Subscriber(settings.kafka, connect(settings.registry), [topic for topic in ALL if topic not in (DRIFT_OBSERVATIONS, DRIFT_VALUES)])
    try:
        with _shown(console) as show:
            while not _over(seen, plan):
                for event in subscriber.poll(0.25):
                    seen.take(event)
                seconds = time.monotonic() - started
                if seconds > plan.deadline_s:
                    raise UnavailableError(f"the story did not end within {plan.deadline_s:.0f} s; read the logs beside its state")
                show(seen, seconds)
    finally:
        subscriber.close()
    return seen


def _over(seen: Observation, plan: Plan) -> bool:
    passed = any(release.reason is ReleaseReason.GATE_PASS for release in seen.releases)
    return passed or len(seen.decided) >= plan.max_cycles


def _phase(seen: Observation) -> str:
    if not seen.cycles:
        return "the service answers customers, the panel labels what was sampled"
    if all(cycle.gate for cycle in seen.cycles.values()):
        return "waiting for enough new pairs"
    return "evaluating candidate and baseline on held-out prompts, or loading"


@contextmanager
def _shown(console: Console) -> Iterator[Callable[[Observation, float], None]]:
    """Show the story: redrawn in place in a terminal, a line per change elsewhere."""
    if not console.is_terminal:
        yield _Lines(console).show
        return

    def frame(seen: Observation, seconds: float) -> RenderableType:
        return view.render(seen, _phase(seen), seconds)

    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield lambda seen, seconds: live.update(frame(seen, seconds), refresh=True)


class _Lines:
    """Prints a line when a cycle advances: for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said: set[tuple[str, str]] = set()

    def show(self, seen: Observation, seconds: float) -> None:
        for number, cycle in enumerate(seen.cycles.values(), 1):
            request, gate = cycle.request, cycle.gate
            self._once(seconds, request.job_id, "requested", f"cycle {number}: {request.method} on {request.dataset} v{request.dataset_version}")
            if cycle.result is not None and cycle.result.checkpoint is not None:
                self._once(seconds, request.job_id, "trained", f"cycle {number}: trained in {cycle.result.seconds:.0f} s")
            if gate is not None:
                scores = ", ".join(f"{d.dimension} {d.candidate:.3f}" for d in gate.dimensions if d.slice == "all" and d.candidate is not None)
                why = ", ".join(reason.value for reason in gate.reasons)
                self._once(seconds, request.job_id, "gate", f"cycle {number}: {gate.verdict.value} ({why}): {scores}")

    def _once(self, seconds: float, job_id: str, what: str, text: str) -> None:
        if (job_id, what) not in self._said:
            self._said.add((job_id, what))
            self._console.print(f"{seconds:6.1f} s  {text}", highlight=False)
