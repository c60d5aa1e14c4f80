"""What the demo has seen on the public topics so far, folded event by event."""

from collections import Counter
from dataclasses import dataclass, field

from trueloop.events import (
    AgreementEstimate,
    DatasetVersion,
    Event,
    GateDecision,
    JobStatus,
    Label,
    Release,
    TrainingRequest,
    TrainingResult,
)
from trueloop.events.agreement import WindowKind
from trueloop.events.dataset_version import DatasetKind
from trueloop.topics import topic_of


@dataclass(slots=True)
class Cycle:
    """One training job, from its request to its gate."""

    request: TrainingRequest
    result: TrainingResult | None = None
    gate: GateDecision | None = None


@dataclass(slots=True)
class Observation:
    """Counts and newest facts of one application. `events` counts by topic; duplicates by event id count once for what is told of cycles."""

    application: str
    events: Counter[str] = field(default_factory=Counter)
    reviewers: Counter[str] = field(default_factory=Counter)
    datasets: dict[int, DatasetVersion] = field(default_factory=dict)
    agreement: dict[str, AgreementEstimate] = field(default_factory=dict)
    cycles: dict[str, Cycle] = field(default_factory=dict)
    releases: list[Release] = field(default_factory=list)

    def take(self, event: Event) -> None:
        """Take one event into account."""
        if event.application != self.application:
            return
        self.events[topic_of(event).name] += 1
        match event:
            case Label():
                self.reviewers[event.reviewer_id] += 1
            case AgreementEstimate(slice="all", window_kind=WindowKind.ROLLING):
                self.agreement[event.dimension] = event
            case DatasetVersion(kind=DatasetKind.PAIRS):
                self.datasets[event.version] = event
            case TrainingRequest():
                self.cycles.setdefault(event.job_id, Cycle(event))
            case TrainingResult() if event.job_id in self.cycles:
                self.cycles[event.job_id].result = event
            case GateDecision() if event.job_id in self.cycles:
                self.cycles[event.job_id].gate = event
            case Release():
                if event.event_id not in {release.event_id for release in self.releases}:
                    self.releases.append(event)
            case _:
                pass

    @property
    def running(self) -> TrainingResult | None:
        """The newest report of a job that is not finished."""
        for cycle in reversed(self.cycles.values()):
            if cycle.gate is None and cycle.result is not None and cycle.result.status in (JobStatus.STARTED, JobStatus.PROGRESS):
                return cycle.result
        return None

    @property
    def decided(self) -> list[Cycle]:
        """Cycles with a gate decision, in order."""
        return [cycle for cycle in self.cycles.values() if cycle.gate is not None]
