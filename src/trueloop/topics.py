"""The registry of topics: name, event, key, partitions, retention. Nothing else names a topic."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from trueloop import events as ev

DAY_MS = 24 * 3600 * 1000
FOREVER = -1
MAX_MESSAGE_BYTES = 2 * 1024 * 1024
"""Largest record the broker takes. Larger text is refused at the producer, who is told."""
DEAD_LETTERS_SUFFIX = ".dead-letters"
RETRY_SUFFIX = ".retry"


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic and what flows through it.

    `partitions` is 1 where a total order is wanted (a dataset version is a range of offsets) and traffic is human-sized; topics that are
    joined by key have equal numbers. `internal` topics are rebuilt from the others; `restricted` ones are not for every reader.
    """

    name: str
    event: type[ev.Event]
    key: Callable[[Any], str]
    partitions: int = 1
    retention_ms: int = FOREVER
    cleanup_policy: Literal["delete", "compact"] = "delete"
    internal: bool = False
    restricted: bool = False
    retried: bool = False
    max_message_bytes: int = MAX_MESSAGE_BYTES

    @property
    def dead_letters(self) -> str:
        """Name of the topic that takes what could not be processed."""
        return self.name + DEAD_LETTERS_SUFFIX

    @property
    def retry(self) -> str:
        """Name of the topic that takes what should be tried again a little later."""
        return self.name + RETRY_SUFFIX

    @property
    def subject(self) -> str:
        """Subject of its schema in the registry."""
        return self.name + "-value"

    @property
    def table(self) -> str:
        """Name of its ClickHouse table."""
        return self.name.replace("-", "_")


KEYED = 4
"""Partitions of topics that scale with traffic: enough for four workers on one machine; a deployment may raise it before first use."""

TRACES = Topic("traces", ev.Trace, lambda e: e.trace_id, KEYED)
REVIEW_QUEUE = Topic("review-queue", ev.ReviewTask, lambda e: e.task_id, KEYED)
LABELS = Topic("labels", ev.Label, lambda e: e.task_id, KEYED, retried=True)
APPEALS = Topic("appeals", ev.Appeal, lambda e: e.trace_id, KEYED)
GOLD = Topic("gold", ev.GoldAnswer, lambda e: e.task_id, KEYED, restricted=True)
AGREEMENT_UNITS = Topic("agreement-units", ev.AgreementUnits, lambda e: e.series_id, KEYED, 30 * DAY_MS, internal=True)
AGREEMENT = Topic("agreement", ev.AgreementEstimate, lambda e: e.series_id)
REVIEWERS = Topic("reviewers", ev.ReviewerQuality, lambda e: f"{e.application}/{e.reviewer_id}", cleanup_policy="compact")
TRUTHS = Topic("truths", ev.ItemTruth, lambda e: e.task_id, KEYED)
REVIEWED_TRACES = Topic("reviewed-traces", ev.ReviewedTrace, lambda e: e.task_id, KEYED, internal=True, restricted=True)
ESTIMATES = Topic("estimates", ev.QualityEstimate, lambda e: e.series_id)
DRIFT_OBSERVATIONS = Topic("drift-observations", ev.DriftObservations, lambda e: e.series_id, KEYED, 30 * DAY_MS, internal=True)
DRIFT_VALUES = Topic("drift-values", ev.DriftValues, lambda e: e.series_id, KEYED, 30 * DAY_MS, internal=True)
DRIFT = Topic("drift", ev.DriftSignal, lambda e: e.series_id)
DRIFT_FAMILIES = Topic("drift-families", ev.DriftFamily, lambda e: e.application)
REVIEW_QUOTAS = Topic("review-quotas", ev.ReviewQuota, lambda e: e.quota_id, cleanup_policy="compact")
SLICE_DISAGREEMENTS = Topic("slice-disagreements", ev.SliceDisagreement, lambda e: e.disagreement_id, cleanup_policy="compact")
PREFERENCE_PAIRS = Topic("preference-pairs", ev.PreferencePair, lambda e: e.pair_id)
CALIBRATION = Topic("calibration", ev.CalibrationItem, lambda e: e.item_id, cleanup_policy="compact")
DATASET_VERSIONS = Topic("dataset-versions", ev.DatasetVersion, lambda e: f"{e.name}@{e.version}", cleanup_policy="compact")
DATASET_ORDERS = Topic("dataset-orders", ev.DatasetOrder, lambda e: e.dataset)
TRAINING_REQUESTS = Topic("training-requests", ev.TrainingRequest, lambda e: e.job_id)
JOB_ORDERS = Topic("job-orders", ev.JobOrder, lambda e: e.job_id)
TRAINING_RESULTS = Topic("training-results", ev.TrainingResult, lambda e: e.job_id)
EVALUATIONS = Topic("evaluations", ev.Evaluation, lambda e: e.candidate)
TRIALS = Topic("trials", ev.Trial, lambda e: e.trial_id, restricted=True)
TRIAL_OUTCOMES = Topic("trial-outcomes", ev.TrialOutcome, lambda e: e.trial_id, restricted=True)
GATES = Topic("gates", ev.GateDecision, lambda e: e.candidate)
RELEASES = Topic("releases", ev.Release, lambda e: e.application, cleanup_policy="compact")
RUBRICS = Topic("rubrics", ev.RubricPublished, lambda e: f"{e.rubric_id}@{e.version}", cleanup_policy="compact")
POLICIES = Topic("policies", ev.PolicyPublished, lambda e: f"{e.policy_id}@{e.version}", cleanup_policy="compact")
ERASURES = Topic("erasures", ev.Erasure, lambda e: e.subject_id)

ALL: tuple[Topic, ...] = (
    TRACES, REVIEW_QUEUE, LABELS, APPEALS, GOLD, AGREEMENT_UNITS, AGREEMENT, REVIEWERS, TRUTHS, REVIEWED_TRACES, ESTIMATES,
    DRIFT_OBSERVATIONS, DRIFT_VALUES, DRIFT, DRIFT_FAMILIES, REVIEW_QUOTAS, SLICE_DISAGREEMENTS, PREFERENCE_PAIRS, CALIBRATION, DATASET_VERSIONS,
    DATASET_ORDERS, TRAINING_REQUESTS, JOB_ORDERS, TRAINING_RESULTS, EVALUATIONS, TRIALS, TRIAL_OUTCOMES, GATES, RELEASES, RUBRICS, POLICIES, ERASURES,
)  # fmt: skip

_BY_NAME = {topic.name: topic for topic in ALL}
_BY_EVENT = {topic.event: topic for topic in ALL}


def by_name(name: str) -> Topic:
    """Return the topic of that name. Raises KeyError, naming the known ones, when there is none."""
    try:
        return _BY_NAME[name]
    except KeyError:
        raise KeyError(f"no topic {name!r}; known topics: {', '.join(sorted(_BY_NAME))}") from None


def topic_of(event: ev.Event) -> Topic:
    """Return the topic that takes events of this type."""
    return _BY_EVENT[type(event)]


@dataclass(frozen=True, slots=True)
class PhysicalTopic:
    """A topic as the broker is to create it."""

    name: str
    partitions: int
    retention_ms: int
    cleanup_policy: str
    max_message_bytes: int


def physical() -> tuple[PhysicalTopic, ...]:
    """Return every topic that has to exist: the registry's, with retry and dead-letter topics."""
    found: list[PhysicalTopic] = []
    for topic in ALL:
        found.append(PhysicalTopic(topic.name, topic.partitions, topic.retention_ms, topic.cleanup_policy, topic.max_message_bytes))
        if topic.retried:
            found.append(PhysicalTopic(topic.retry, topic.partitions, 7 * DAY_MS, "delete", topic.max_message_bytes))
        found.append(PhysicalTopic(topic.dead_letters, 1, FOREVER, "delete", topic.max_message_bytes))
    return tuple(found)
