"""Whether a deployment holds what its accepted events call for: each once, or once in dead-letters. Shares no code with the processors.

It reads the events that clients sent, works out by the documented rules (`rules`) what has to be in every derived topic and table, and
compares. Delivery is at-least-once and rows are deduplicated when they are read, so "once" means as queried: in the views, or with FINAL.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.faults import rules
from tests.faults.observed import LETTERS, Observed
from tests.faults.reading import Record

READERS = {
    "traces": {"sampling", "sink"}, "review-queue": {"collection", "reviewers", "sink"}, "labels": {"collection", "reviewers", "sink"},
    "gold": {"collection", "reviewers", "sink"}, "truths": {"collection", "estimates", "sink"}, "reviewed-traces": {"estimates", "sink"},
    "agreement-units": {"agreement", "sink"}, "drift-observations": {"drift", "estimates", "sink"},
    "drift-values": {"distributions", "sink"}, "drift": {"families", "gating", "quotas", "trigger", "sink"}, "appeals": {"appeals", "sink"},
    "preference-pairs": {"trigger", "sink"}, "agreement": {"disagreements", "trigger", "sink"},
    "gates": {"trigger", "sink"}, "training-results": {"trigger", "sink"},
    "releases": {"gating", "trigger", "sink"}, "evaluations": {"gating", "sink"},
    "trials": {"trials", "sink"}, "trial-outcomes": {"trials", "gating", "sink"},
}  # fmt: skip
"""Who reads a topic and so refuses its bad records; of the other topics it is the sink alone."""
NOT_RECONCILED = frozenset({"profiles"})
"""Workers whose refusals are not looked at: profiles reads a trace up to its embedding, so what it refuses depends on where a record is broken."""
COMPARED_LOSSES = ("score:", "dimension:")
"""Metrics whose losses are compared; errors, refusals, limits, disagreement and a judge's gap are not."""
CLOSE = 1e-9
"""Estimates may differ by rounding: they are sums of a few thousand fractions of order 1."""
SHOWN = 5


@dataclass(frozen=True)
class Sent:
    """What the clients were told: the ids that the brokers acknowledged."""

    traces: frozenset[str]
    labels: frozenset[str]


@dataclass
class Reconciliation:
    """The outcome. `events_in` are source records of the application that the topics hold, good and bad; `rows_once` expected rows that are
    there exactly once; `wrong` counts differing values and rows that nothing calls for."""

    events_in: int = 0
    rows_once: int = 0
    dead_letters: int = 0
    lost: int = 0
    double: int = 0
    wrong: int = 0
    findings: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether nothing is lost, double or wrong."""
        return not (self.lost or self.double or self.wrong)

    def once(self, what: str, expected: Iterable[Any], found: Mapping[Any, int]) -> None:
        """Compare what has to be there once with how often it is there."""
        wanted = set(expected)
        lost, double = wanted - found.keys(), [key for key, count in found.items() if count > 1]
        strange = found.keys() - wanted
        self.rows_once += sum(found[key] == 1 for key in wanted & found.keys())
        self.lost += len(lost)
        self.double += sum(found[key] - 1 for key in double)
        self.wrong += len(strange)
        for name, keys in (("lost", lost), ("double", double), ("uncalled for", strange)):
            if keys:
                self.findings.append(f"{what}: {len(keys)} {name}, such as {sorted(map(str, keys))[:SHOWN]}")

    def same(self, what: str, expected: Mapping[Any, Any], found: Mapping[Any, Any]) -> None:
        """Compare values of what is in both."""
        differing = [key for key in expected.keys() & found.keys() if not _alike(expected[key], found[key])]
        self.wrong += len(differing)
        self.findings += [f"{what}: {key} is {found[key]}, expected {expected[key]}" for key in sorted(differing, key=str)[:SHOWN]]


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, tuple | list) and isinstance(other, tuple | list):
        return len(one) == len(other) and all(map(_alike, one, other))
    if isinstance(one, float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=CLOSE, abs_tol=CLOSE)
    return bool(one == other)


def reconcile(observed: Observed, sent: Sent) -> Reconciliation:
    """Compare what is there with what the accepted events call for."""
    found = Reconciliation()
    of_application = {topic: _of(observed, topic) for topic in observed.records}
    traces, labels = of_application["traces"], of_application["labels"]
    bad = [r for topic in ("traces", "labels") for r in observed.records[topic] if r.fault]
    found.events_in = len(traces) + len(labels) + len(bad)
    _acknowledged(found, sent, traces, labels)
    tasks = _tasks(found, observed, traces, of_application["review-queue"])
    refused = _refused(observed, traces)
    settled = _labels(found, observed, labels, tasks, refused)
    _agreement(found, observed, settled)
    _pairs(found, observed, settled)
    _drift(found, observed, settled)
    _dead_letters(found, observed, refused)
    for topic, records in of_application.items():
        if topic in observed.tables and topic not in ("reviewers", "calibration", "dataset-versions"):
            found.once(f"table of {topic}", {r.event["event_id"] for r in records if r.event}, observed.tables[topic])
    for table, repeated in observed.repeated.items():
        found.double += repeated
        if repeated:
            found.findings.append(f"{table}: {repeated} rows of offsets that are there already")
    if observed.views["training_requests"]:
        found.wrong += 1
        found.findings.append("a training job was requested, though none can be due")
    return found


def _of(observed: Observed, topic: str) -> list[Record]:
    """The events of the application on a topic, in the order of their partitions."""
    return [r for r in observed.records[topic] if r.event is not None and r.event["application"] == observed.application]


def _acknowledged(found: Reconciliation, sent: Sent, traces: list[Record], labels: list[Record]) -> None:
    for what, told, records, name in (("traces", sent.traces, traces, "trace_id"), ("labels", sent.labels, labels, "event_id")):
        missing = told - {r.event[name] for r in records if r.event}
        found.lost += len(missing)
        if missing:
            found.findings.append(f"{what}: {len(missing)} were acknowledged and are on no topic, such as {sorted(missing)[:SHOWN]}")


def _tasks(found: Reconciliation, observed: Observed, traces: list[Record], queued: list[Record]) -> dict[str, rules.Event]:
    """Compare tasks and held-out prompts; return the tasks that are queued, by id."""
    expected: dict[str, dict[str, Any]] = {}
    held_out: set[str] = set()
    for record in traces:
        if record.event is None or rules.invalid_head(record.event):
            continue
        outcome = rules.sampled(record.event, observed.policy, observed.policy_hash)
        if outcome.task is not None:
            expected.setdefault(outcome.task["task_id"], dict(outcome.task))
        if outcome.held_out is not None:
            held_out.add(outcome.held_out)
    tasks: dict[str, rules.Event] = {}
    for record in queued:
        if record.event is not None:
            tasks.setdefault(record.event["task_id"], record.event)
    found.once("tasks on the topic", expected, dict.fromkeys(tasks, 1))
    found.once("v_review_queue", expected, Counter(row[0] for row in observed.views["v_review_queue"]))
    found.once("held-out prompts", held_out, Counter(row[0] for row in observed.views["calibration"]))
    told = {
        task_id: {name: sorted(c["completion"] for c in task["candidates"]) if name == "completions" else task[name] for name in expected[task_id]}
        for task_id, task in tasks.items()
        if task_id in expected
    }
    found.same("task", expected, told)
    return tasks


def _refused(observed: Observed, traces: list[Record]) -> dict[tuple[str, int, int], set[str]]:
    """Who has to refuse which record: everybody who reads it when its bytes are no event, and sampling what it reads of a trace.

    Sampling reads the leading fields of every trace, and the whole of those that it draws. So a trace whose later fields are broken is
    refused by the sink, and by sampling only if it was drawn.
    """
    refused = {r.at: set(READERS.get(topic, {"sink"})) for topic, records in observed.records.items() for r in records if r.fault}
    for record in observed.records["traces"]:
        if record.fault and _has_good_head(record) and not (_is_governed(record, observed) and rules.drawn(record.head or {}, observed.policy)):
            refused[record.at].discard("sampling")
    for record in traces:
        event = record.event
        if event and (rules.invalid_head(event) or rules.sampled(event, observed.policy, observed.policy_hash).refused):
            refused.setdefault(record.at, set()).add("sampling")
    return refused


def _has_good_head(record: Record) -> bool:
    return record.head is not None and not rules.invalid_head(record.head)


def _is_governed(record: Record, observed: Observed) -> bool:
    return record.head is not None and record.head["application"] == observed.application


def _labels(
    found: Reconciliation, observed: Observed, labels: list[Record], tasks: Mapping[str, rules.Event], refused: dict[tuple[str, int, int], set[str]]
) -> dict[str, rules.TaskLabels]:
    """Apply the labels in their order, and compare which of them count; adds those that have to be refused to `refused`."""
    told = {_origin(letter) for letter in observed.letters if letter.headers.get("consumer") == "collection"}
    settled: dict[str, rules.TaskLabels] = {}
    for record in sorted(labels, key=lambda r: r.at):
        label = record.event
        if label is None:
            continue
        task = tasks.get(label["task_id"])
        if rules.faulty_label(label, task, observed.rubric) is not None or task is None:
            refused.setdefault(record.at, set()).add("collection")
            continue
        of_task = settled.setdefault(label["task_id"], rules.TaskLabels(task))
        if of_task.refers_to_nothing(label):
            refused.setdefault(record.at, set()).add("collection")
        elif record.at not in told:
            # One that was refused though it would have counted is reported; all else is compared as if it had not been sent.
            of_task.take(label)
    counting = {label["event_id"] for each in settled.values() for label in each.current.values()}
    rows = observed.views["v_labels"]
    found.once("labels that count", counting, Counter(row[0] for row in rows if row[1]))
    found.once("v_labels", {r.event["event_id"] for r in labels if r.event}, Counter(row[0] for row in rows))
    return settled


def _agreement(found: Reconciliation, observed: Observed, settled: Mapping[str, rules.TaskLabels]) -> None:
    policy = observed.policy["agreement"]
    size = round(policy["pane_minutes"] * 60_000_000)
    panes: dict[tuple[str, str], dict[int, list[Any]]] = {}
    for labels in settled.values():
        start = rules.micros(labels.task["occurred_at"]) // size * size
        for dimension, counted in rules.units(labels, observed.blinding_key).items():
            for name in rules.slices_of(labels.task["slices"], policy.get("slices", ())):
                panes.setdefault((dimension, name), {}).setdefault(start, []).extend(counted)
    expected = {}
    for series, inside in panes.items():
        end, counted = rules.window(inside, policy["pane_minutes"], policy["window_panes"])
        estimate = rules.agreement(counted)
        expected[series] = (end, estimate.n_units, estimate.n_labels, estimate.p_o, estimate.alpha_nominal, estimate.alpha_ordinal)
    rows = observed.views["v_agreement"]
    found.once("v_agreement", expected, Counter((row[0], row[1]) for row in rows))
    # Which of two is preferred has no order, so its ordinal alpha is of no use and not compared.
    without = {series: len(estimate) - (series[0] == rules.preference_series(None)) for series, estimate in expected.items()}
    compared = {(row[0], row[1]): tuple(row[2 : 2 + without.get((row[0], row[1]), 0)]) for row in rows}
    found.same("agreement", {series: estimate[: without[series]] for series, estimate in expected.items()}, compared)


def _pairs(found: Reconciliation, observed: Observed, settled: Mapping[str, rules.TaskLabels]) -> None:
    expected = {pair_id: pair for labels in settled.values() for pair_id, pair in rules.pairs(labels, observed.rubric).items()}
    rows = observed.views["v_pairs"]
    found.once("v_pairs", expected, Counter(row[0] for row in rows))
    found.same("pair", {key: (p.chosen, p.margin, p.label_ids) for key, p in expected.items()}, {row[0]: tuple(row[1:]) for row in rows})


def _drift(found: Reconciliation, observed: Observed, settled: Mapping[str, rules.TaskLabels]) -> None:
    """Compare the observations, and how many of them the detectors have counted. Scores stand in the leading fields of a trace."""
    wanted = observed.policy["drift"].get("slices", ())
    expected: dict[tuple[str, str, str], float] = {}
    series: dict[tuple[str, str], str] = {}
    for record in observed.records["traces"]:
        trace = record.head
        if trace is None or not _has_good_head(record) or not _is_governed(record, observed) or trace["consent"] not in ("REVIEW", "TRAINING"):
            continue
        mark = str(rules.signed(rules.eight_bytes(trace["trace_id"])))
        for name, score in trace["scores"].items():
            for slice_name in rules.slices_of(trace["slices"], wanted):
                expected[f"score:{name}", slice_name, mark] = 1.0 - score
                series[f"score:{name}", slice_name] = rules.identity("drift", observed.application, f"score:{name}", slice_name)
    rubric = observed.rubric
    for task_id, labels in settled.items():
        for dimension in rubric["dimensions"]:
            loss = _first_loss(labels, dimension, observed.blinding_key)
            if loss is None:
                continue
            metric, mark = f"dimension:{dimension['name']}", str(int(rules.identity("mark", task_id)[:16], 16) - 2**63)
            for slice_name in rules.slices_of(labels.task["slices"], wanted):
                expected[metric, slice_name, mark] = loss
                named = f"{metric}@{rubric['id']}.{rubric['version']}"
                series[metric, slice_name] = rules.identity("drift", observed.application, named, slice_name)
    rows = [row for row in observed.views["v_drift_observations"] if row[0].startswith(COMPARED_LOSSES)]
    found.once("v_drift_observations", expected, {(row[0], row[1], row[2]): row[3] for row in rows})
    found.same("loss", expected, {(row[0], row[1], row[2]): float(row[4]) for row in rows})
    items = Counter((metric, slice_name) for metric, slice_name, _ in expected)
    counted = {key: observed.drift_states.get(series_id, {}).get("observed", 0) for key, series_id in series.items()}
    found.same("observations that the detector counted", dict(items), counted)


def _first_loss(labels: rules.TaskLabels, dimension: Mapping[str, Any], blinding_key: str) -> float | None:
    """The mean loss of what was served, by the labels that made the task complete."""
    shown = rules.identity("candidate", blinding_key, labels.task["task_id"], "0")
    low, high = dimension["scale"]["min"], dimension["scale"]["max"]
    given = [
        (high - rating["value"]) / (high - low)
        for label in labels.at_completion or ()
        for rating in label["ratings"]
        if rating["candidate_id"] == shown and rating["dimension"] == dimension["name"]
    ]
    return sum(given) / len(given) if given else None


def _origin(letter: Record) -> tuple[str, int, int]:
    headers = letter.headers
    return headers.get("original-topic", ""), int(headers.get("original-partition", -1)), int(headers.get("original-offset", -1))


def _dead_letters(found: Reconciliation, observed: Observed, refused: Mapping[tuple[str, int, int], set[str]]) -> None:
    """Each refused record has to be once among the dead letters of its topic, once per reader, as it was; and nothing else may be."""
    expected = {(*at, consumer) for at, consumers in refused.items() for consumer in consumers}
    originals = {r.at: r for records in observed.records.values() for r in records}
    letters = [letter for letter in observed.letters if letter.headers.get("consumer") not in NOT_RECONCILED]
    dead_rows = [(at, tuple(sorted(set(consumers) - NOT_RECONCILED))) for at, consumers in observed.dead_rows if set(consumers) - NOT_RECONCILED]
    on_topics = Counter((*_origin(letter), letter.headers.get("consumer", "")) for letter in letters)
    found.once("dead letters on their topics", expected, dict.fromkeys(on_topics, 1))
    for letter in observed.letters:
        original = originals.get(_origin(letter))
        if original is None or letter.topic != original.topic + LETTERS:
            continue  # uncalled for, and counted as such
        if (letter.key, letter.value or b"") != (original.key, original.value or b"") and "omitted-bytes" not in letter.headers:
            found.wrong += 1
            found.findings.append(f"the dead letter of {original.at} is not what was refused")
    rows = Counter(at for at, _ in dead_rows)
    found.once("v_dead_letters", refused, rows)
    found.same("readers that refused", {at: tuple(sorted(consumers)) for at, consumers in refused.items()}, dict(dead_rows))
    found.once("table of dead letters", {letter.at for letter in observed.letters}, observed.letter_rows)
    found.dead_letters = sum(rows[at] == 1 for at in refused)
