"""What a rebuild of the log is made of: which worker is fed with what, and how its outputs are compared."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from trueloop import topics
from trueloop.events import TriggerReason
from trueloop.events.agreement import WindowKind
from trueloop.topics import Topic

SENT = (
    topics.TRACES, topics.LABELS, topics.APPEALS, topics.GOLD, topics.RUBRICS, topics.POLICIES, topics.ERASURES,
    topics.DATASET_ORDERS, topics.JOB_ORDERS, topics.TRAINING_RESULTS, topics.EVALUATIONS, topics.TRIALS,
)  # fmt: skip
"""Topics that nobody can rebuild: people, services and trainers wrote them."""


@dataclass(frozen=True, slots=True)
class Part:
    """A worker in the rebuild.

    Attributes:
        processor: The worker.
        outputs: What it writes.
        rebuilt: Inputs that are taken from the rebuild: what is made of them does not depend on the order in which they came. All other inputs
            are taken from the log, with the records that other workers wrote among them: in which order these came decides what is made of them,
            and nothing but the log knows it. They are compared with their own rebuild, so every record is accounted for once.
        rebuilt_when_cut: Inputs that are taken from the rebuild when retention has removed the beginning of the log's. They are not otherwise,
            because the log has the times at which they came.
        begins_anywhere: Whether what it makes of a trace and its task does not depend on those before.
    """

    processor: str
    outputs: tuple[Topic, ...]
    rebuilt: tuple[Topic, ...] = ()
    rebuilt_when_cut: tuple[Topic, ...] = ()
    begins_anywhere: bool = False


PLAN = (
    Part("sampling", (topics.REVIEW_QUEUE, topics.REVIEWED_TRACES, topics.CALIBRATION, topics.DRIFT_OBSERVATIONS), begins_anywhere=True),
    Part("appeals", (topics.REVIEW_QUEUE, topics.CALIBRATION)),
    Part("trials", (topics.REVIEW_QUEUE,)),
    Part("profiles", (topics.DRIFT_OBSERVATIONS, topics.DRIFT_VALUES), begins_anywhere=True),
    Part(
        "collection",
        (topics.REVIEW_QUEUE, topics.AGREEMENT_UNITS, topics.DRIFT_OBSERVATIONS, topics.PREFERENCE_PAIRS, topics.TRIAL_OUTCOMES),
        rebuilt=(topics.REVIEW_QUEUE,),
        begins_anywhere=True,
    ),
    Part("agreement", (topics.AGREEMENT,), rebuilt_when_cut=(topics.AGREEMENT_UNITS,)),
    Part("reviewers", (topics.REVIEWERS, topics.TRUTHS)),
    Part("estimates", (topics.ESTIMATES, topics.DRIFT_OBSERVATIONS)),
    Part("drift", (topics.DRIFT,)),
    Part("distributions", (topics.DRIFT,)),
    Part("families", (topics.DRIFT_FAMILIES,)),
    Part("quotas", (topics.REVIEW_QUOTAS,)),
    Part("disagreements", (topics.SLICE_DISAGREEMENTS,)),
    # These two decide. Their decisions go to the rebuild's own topics, which nobody carries out: trainers and services read the real ones.
    Part("trigger", (topics.DATASET_VERSIONS, topics.TRAINING_REQUESTS)),
    Part("gating", (topics.GATES, topics.RELEASES)),
)


class Kept(Enum):
    """What of a topic counts."""

    EVERYTHING = auto()
    ITEMS = auto()
    LAST_WORD = auto()


@dataclass(frozen=True, slots=True)
class Rule:
    """How a topic is compared.

    Attributes:
        subject: What a record is about.
        kept: What counts.
        without: Fields that do not count.
        is_derived: Whether a record is the loop's own: people write some topics too.
        is_gone: Whether it says that its subject is no more.
    """

    subject: Callable[[Mapping[str, Any]], str]
    kept: Kept = Kept.EVERYTHING
    without: frozenset[str] = frozenset()
    is_derived: Callable[[Mapping[str, Any]], bool] = lambda _: True
    is_gone: Callable[[Mapping[str, Any]], bool] = lambda _: False


def _window(record: Mapping[str, Any]) -> str:
    """Return what an estimate is about: a pane of a series, or the newest window of the series."""
    if record["window_kind"] == WindowKind.ROLLING:
        return f"{record['series_id']} {record['window_kind']}"
    return f"{record['series_id']} {record['window_kind']} {record['window_start']}"


JUDGED = frozenset({
    "window_end", "n_judged", "method", "value", "low", "high", "std_error", "undefined", "judge_mean", "trust", "fallback", "aipw", "aipw_low", "aipw_high",
    "correlation", "correlation_low", "correlation_high", "severity", "severity_low", "severity_high", "slope", "slope_low", "slope_high",
})  # fmt: skip
"""Fields of an estimate that hang on how many of a judge's scores had been read."""

RULES: dict[Topic, Rule] = {
    topics.REVIEW_QUEUE: Rule(lambda record: str(record["task_id"])),
    topics.REVIEWED_TRACES: Rule(lambda record: str(record["task_id"])),
    topics.CALIBRATION: Rule(lambda record: str(record["item_id"])),
    topics.DRIFT_OBSERVATIONS: Rule(lambda record: str(record["series_id"]), Kept.ITEMS),
    topics.DRIFT_VALUES: Rule(lambda record: str(record["series_id"]), Kept.ITEMS),
    topics.AGREEMENT_UNITS: Rule(lambda record: str(record["task_id"])),
    # A pair is said as soon as its labels are there, and again when their truth differs: which of the two is read first decides what lies between.
    # Likewise a known answer that is read before the labels: then there never is a pair that has to be withdrawn.
    topics.PREFERENCE_PAIRS: Rule(
        lambda record: str(record["pair_id"]),
        Kept.LAST_WORD,
        frozenset({"event_id", "occurred_at", "revises", "replaced_weight", "p_correct"}),
        is_gone=lambda record: bool(record["withdrawn"]),
    ),
    # How often an outcome changed on the way depends on whether labels or what is thought of reviewers was read first.
    topics.TRIAL_OUTCOMES: Rule(lambda record: f"{record['trial_id']}/{record['senior']}", Kept.LAST_WORD, frozenset({"event_id", "occurred_at"})),
    # Told anew with every batch, at the wall clock's time.
    topics.AGREEMENT: Rule(_window, Kept.LAST_WORD, frozenset({"occurred_at"})),
    topics.REVIEWERS: Rule(lambda record: f"{record['application']}/{record['reviewer_id']}", Kept.LAST_WORD, frozenset({"occurred_at"})),
    # When a task was told of last decides by which fit and by what weights its truth was judged, and so its id.
    topics.TRUTHS: Rule(lambda record: str(record["task_id"]), Kept.LAST_WORD, frozenset({"event_id", "labels", "units", "adjudicate"})),
    # Labels and a judge's scores are two streams: how many scores had come when a label did is not to be repeated, what the labels say is.
    topics.ESTIMATES: Rule(_window, Kept.LAST_WORD, frozenset({"occurred_at", "event_id"}) | JUDGED),
    topics.DRIFT: Rule(lambda record: str(record["series_id"])),
    topics.DRIFT_FAMILIES: Rule(lambda record: str(record["application"])),
    topics.REVIEW_QUOTAS: Rule(lambda record: str(record["series_id"])),
    topics.SLICE_DISAGREEMENTS: Rule(lambda record: f"{record['dimension']}/{record['slice']}"),
    # The agreement that a version notes is what had arrived by then; it is compared with the estimates (see `noted_agreement`).
    topics.DATASET_VERSIONS: Rule(lambda record: f"{record['name']}@{record['version']}", without=frozenset({"agreement"})),
    # What a person requested by hand is not the loop's.
    topics.TRAINING_REQUESTS: Rule(lambda record: str(record["job_id"]), is_derived=lambda record: record["reason"] != TriggerReason.MANUAL),
    topics.GATES: Rule(lambda record: str(record["event_id"])),
    # A gate's release and a rollback after an alarm name what led to them; what a person releases does not.
    topics.RELEASES: Rule(lambda record: str(record["event_id"]), is_derived=lambda record: bool(record["causes"])),
}
"""How each topic that the loop writes is compared."""
