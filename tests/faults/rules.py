"""The documented rules of the loop, written down a second time from their descriptions: plain Python, one event at a time, nothing of Trueloop.

Events are dictionaries as Avro gives them; policies and rubrics the JSON of their topics, with the defaults that the documentation names.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import combinations
from typing import Any

Event = Mapping[str, Any]
MASK = 2**64 - 1
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def identity(*parts: str) -> str:
    """The id of a derived event: BLAKE2b, 16 bytes, over its parts, each with its length before it."""
    return hashlib.blake2b(b"".join(len(p.encode()).to_bytes(8, "big") + p.encode() for p in parts), digest_size=16).hexdigest()


def share(*parts: str) -> float:
    """A number in [0, 1): the first 53 bits of the same over 8 bytes."""
    digest = hashlib.blake2b(b"".join(len(p.encode()).to_bytes(8, "big") + p.encode() for p in parts), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53


def eight_bytes(text: str) -> int:
    """64 bits of BLAKE2b of a text."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def draw(trace_id: str, salt: str) -> float:
    """The draw of a trace: both hashes, mixed by the finaliser of SplitMix64 (Steele, Lea and Flood 2014)."""
    z = eight_bytes(trace_id) ^ eight_bytes(salt)
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & MASK
    return ((z ^ (z >> 31)) >> 11) / 2**53


def signed(number: int) -> int:
    """64 bits as a signed number."""
    return number - 2**64 if number >= 2**63 else number


def micros(moment: datetime) -> int:
    """Microseconds since the epoch."""
    since = moment - EPOCH
    return (since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds


def invalid_head(trace: Event) -> bool:
    """Whether the leading fields of a trace break the ranges that its schema documents."""
    names = all(1 <= len(trace[name]) <= 256 for name in ("event_id", "application", "trace_id"))
    counts = all(trace[name] is None or trace[name] >= 0 for name in ("latency_ms", "prompt_tokens", "completion_tokens"))
    return not (names and counts and all(0.0 <= score <= 1.0 for score in trace["scores"].values()))


def invalid_rest(trace: Event) -> bool:
    """Whether a later field does."""
    return len(trace["messages"]) < 1


def inclusion(head: Event, sampling: Mapping[str, Any]) -> tuple[str, float]:
    """The stratum of a trace and its rate."""
    for each in sampling.get("strata", ()):
        if head["slices"].get(each["slice"]) == each["value"]:
            return f"{each['slice']}={each['value']}", each["rate"]
    return "all", sampling["rate"]


def drawn(head: Event, policy: Mapping[str, Any]) -> bool:
    """Whether a trace is drawn, by its leading fields: then it is read whole."""
    _, rate = inclusion(head, policy["sampling"])
    may_be_read = head["consent"] in ("REVIEW", "TRAINING") and head["error"] is None
    return may_be_read and draw(head["trace_id"], policy["sampling"].get("salt", "1")) < rate


@dataclass(frozen=True, slots=True)
class Sampled:
    """What a trace leads to: a task, a held-out prompt, both, a refusal, or nothing."""

    task: Mapping[str, Any] | None = None
    held_out: str | None = None
    refused: bool = False


def sampled(trace: Event, policy: Mapping[str, Any], policy_hash: str) -> Sampled:
    """Apply a policy to a trace."""
    sampling = policy["sampling"]
    if not drawn(trace, policy):
        return Sampled()
    stratum, rate = inclusion(trace, sampling)
    texts = [m["content"] for m in trace["messages"]] + [trace["completion"]] + [a["completion"] for a in trace["alternatives"]]
    if invalid_rest(trace) or sum(map(len, texts)) > sampling.get("max_text_chars", 200_000):
        return Sampled(refused=True)
    prompt = identity("prompt", *(part for message in trace["messages"] for part in (message["role"], message["content"])))
    split = "CALIBRATION" if share("split", prompt) < sampling.get("calibration_share", 0.2) else "TRAIN"
    item = identity("calibration", trace["application"], prompt) if split == "CALIBRATION" else None
    if item and not sampling.get("review_calibration", True):
        return Sampled(held_out=item)
    task_id = identity("task", trace["application"], trace["trace_id"], policy["id"], str(policy["version"]))
    expected = {
        "event_id": identity("review-task", task_id, policy_hash), "task_id": task_id, "trace_id": trace["trace_id"], "sampling_prob": rate,
        "stratum": stratum, "split": split, "prompt_hash": prompt, "labels_needed": sampling.get("labels_needed", 3), "slices": trace["slices"],
        "trainable": trace["consent"] == "TRAINING", "occurred_at": trace["occurred_at"],
        "completions": sorted({trace["completion"], *(a["completion"] for a in trace["alternatives"])}),
    }  # fmt: skip
    return Sampled(expected, item)


def served(task: Event, blinding_key: str) -> dict[str, int]:
    """The place of each candidate before it was shuffled; 0 is what was served."""
    return {identity("candidate", blinding_key, task["task_id"], str(place)): place for place in range(len(task["candidates"]))}


def faulty_label(label: Event, task: Event | None, rubric: Mapping[str, Any]) -> str | None:
    """Why a label cannot count, whatever was said before; None when it can."""
    if task is None:
        return "UNKNOWN_TASK"
    if label["retracts"] is not None:
        return None
    if (label["rubric_id"], label["rubric_version"]) != (task["rubric_id"], task["rubric_version"]):
        return "RUBRIC_MISMATCH"
    if not (label["ratings"] or label["preferences"] or label["spans"] or label["rewrite"] or label["critiques"]):
        return "EMPTY_LABEL"
    known = {candidate["candidate_id"] for candidate in task["candidates"]}
    scales = {dimension["name"]: dimension["scale"] for dimension in rubric["dimensions"]}
    if any(r["candidate_id"] not in known for r in label["ratings"]) or any(p["preferred"] not in (None, *known) for p in label["preferences"]):
        return "UNKNOWN_CANDIDATE"
    if any(r["dimension"] not in scales for r in label["ratings"]) or any(p["dimension"] not in (None, *scales) for p in label["preferences"]):
        return "UNKNOWN_DIMENSION"
    if any(not scales[r["dimension"]]["min"] <= r["value"] <= scales[r["dimension"]]["max"] for r in label["ratings"]):
        return "OFF_SCALE"
    if len({(r["candidate_id"], r["dimension"]) for r in label["ratings"]}) < len(label["ratings"]):
        return "INVALID_EVENT"
    return None


@dataclass
class TaskLabels:
    """The labels of one task: one per reviewer, and those it had when it was complete first."""

    task: Event
    current: dict[str, Event] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    dimensions: set[str] = field(default_factory=set)
    at_completion: list[Event] | None = None

    def refers_to_nothing(self, label: Event) -> bool:
        """Whether a label takes back or replaces one that does not count as its reviewer's."""
        own, referred = self.current.get(label["reviewer_id"]), label["retracts"] or label["supersedes"]
        return label["event_id"] not in self.seen and referred is not None and (own is None or own["event_id"] != referred)

    def take(self, label: Event) -> None:
        """Apply a label that is not faulty."""
        if label["event_id"] in self.seen:
            return
        reviewer = label["reviewer_id"]
        own = self.current.get(reviewer)
        self.seen.add(label["event_id"])
        self.dimensions |= {r["dimension"] for r in label["ratings"]} | {preference_series(p["dimension"]) for p in label["preferences"]}
        if label["retracts"] is not None:
            del self.current[reviewer]
        elif own is None or (own["occurred_at"], own["event_id"]) <= (label["occurred_at"], label["event_id"]):
            self.current[reviewer] = label
        if self.at_completion is None and len(self.current) >= self.task["labels_needed"]:
            self.at_completion = list(self.current.values())


def preference_series(dimension: str | None) -> str:
    """Preferences have series of their own."""
    return "overall" if dimension is None else f"preference:{dimension}"


def units(labels: TaskLabels, blinding_key: str) -> dict[str, list[Counter[int]]]:
    """Per dimension, for each unit of a task, how many reviewers gave which value."""
    places = served(labels.task, blinding_key)
    found: dict[str, dict[str, Counter[int]]] = {}
    for label in labels.current.values():
        for rating in label["ratings"]:
            found.setdefault(rating["dimension"], {}).setdefault(rating["candidate_id"], Counter())[rating["value"]] += 1
        for preference in label["preferences"]:
            value = -1 if preference["preferred"] is None else places[preference["preferred"]]
            found.setdefault(preference_series(preference["dimension"]), {}).setdefault("task", Counter())[value] += 1
    return {dimension: list(found.get(dimension, {}).values()) for dimension in labels.dimensions}


def slices_of(slices: Mapping[str, str], wanted: Iterable[str]) -> Iterator[str]:
    """The names of the slices that something counts in."""
    yield "all"
    yield from (f"{name}={slices[name]}" for name in wanted if name in slices)


@dataclass(frozen=True, slots=True)
class Pair:
    """A pair of completions: which is better, by how much, by whose labels."""

    chosen: str
    margin: float
    label_ids: tuple[str, ...]


def pairs(labels: TaskLabels, rubric: Mapping[str, Any]) -> dict[str, Pair]:
    """The pairs of a complete task with two candidates, by id.

    The loads here know no vetoes, tie-breaks, rewrites and spans, from which pairs would come by further rules: a load that brings one is refused.
    """
    task, given = labels.task, sorted(labels.current.values(), key=lambda label: label["event_id"])
    if len(given) < task["labels_needed"] or len(task["candidates"]) != 2:
        return {}
    beyond = [name for name in ("vetoes", "tie_break") if rubric.get(name)] + [name for name in ("rewrite", "spans") for label in given if label[name]]
    if beyond:
        raise ValueError(f"task {task['task_id']!r} has {', '.join(beyond)}; expected ratings and preferences, by which alone this reconciler knows pairs")
    texts = {candidate["candidate_id"]: candidate["completion"] for candidate in task["candidates"]}
    first, second = sorted(texts)
    found: dict[str, Pair] = {}

    def keep(source: str, direction: int, margin: float, used: Iterable[str]) -> None:
        if direction and texts[first] != texts[second]:
            chosen = texts[first if direction > 0 else second]
            found[identity("pair", task["task_id"], source, first, second)] = Pair(chosen, margin, tuple(sorted(set(used))))

    results, used = {}, []
    for name in (dimension["name"] for dimension in rubric["dimensions"]):
        values = [(label["event_id"], {r["candidate_id"]: r["value"] for r in label["ratings"] if r["dimension"] == name}) for label in given]
        both = [(label_id, rated[first], rated[second]) for label_id, rated in values if len(rated) == 2]
        if both:
            results[name] = majority([(a > b) - (a < b) for _, a, b in both])
            used += [label_id for label_id, _, _ in both]
    net = sum(results.values())
    keep("RATINGS", (net > 0) - (net < 0), abs(net) / len(results) if results else 0.0, used)
    votes = [(label["event_id"], p["preferred"]) for label in given for p in label["preferences"] if p["dimension"] is None]
    cast = [0 if preferred is None else 1 if preferred == first else -1 for _, preferred in votes]
    if cast:
        keep("PAIRWISE", majority(cast), abs(sum(cast)) / len(cast), [label_id for label_id, _ in votes])
    # Two of one order say the same of the same texts: the wider one stays.
    widest = sorted(found, key=lambda pair_id: (-found[pair_id].margin, pair_id))
    return {pair_id: found[pair_id] for place, pair_id in enumerate(widest) if found[pair_id].chosen not in {found[other].chosen for other in widest[:place]}}


def majority(votes: Sequence[int]) -> int:
    """1 or -1 when more than half say so, else 0."""
    return next((side for side in (1, -1) if 2 * votes.count(side) > len(votes)), 0)


@dataclass(frozen=True, slots=True)
class Agreement:
    """p_o and Krippendorff's alpha of some units; None without evidence or without variation."""

    n_units: int
    n_labels: int
    p_o: float | None
    alpha_nominal: float | None
    alpha_ordinal: float | None


def agreement(counted: Iterable[Mapping[int, int]]) -> Agreement:
    """Fleiss' (1971) observed agreement and Krippendorff's (2011) alpha, from the coincidence matrix as in his paper."""
    rated = [unit for unit in counted if sum(unit.values()) >= 2]
    if not rated:
        return Agreement(0, 0, None, None, None)
    agreeing = [sum(c * (c - 1) for c in unit.values()) / (sum(unit.values()) * (sum(unit.values()) - 1)) for unit in rated]
    matrix: Counter[tuple[int, int]] = Counter()
    for unit in rated:
        m = sum(unit.values())
        for low, high in [*combinations(unit, 2), *((value, value) for value in unit)]:
            weight = unit[low] * unit[high] / (m - 1) if low != high else unit[low] * (unit[low] - 1) / (m - 1)
            matrix[low, high] += weight  # type: ignore[assignment]
            if low != high:
                matrix[high, low] += weight  # type: ignore[assignment]
    return Agreement(len(rated), sum(sum(unit.values()) for unit in rated), sum(agreeing) / len(agreeing), _alpha(matrix, "nominal"), _alpha(matrix, "ordinal"))


def _alpha(matrix: Mapping[tuple[int, int], float], level: str) -> float | None:
    totals: Counter[int] = Counter()
    for (one, _), weight in matrix.items():
        totals[one] += weight  # type: ignore[assignment]
    if len(totals) < 2:
        return None

    def distance(one: int, other: int) -> float:
        if level == "nominal":
            return float(one != other)
        low, high = sorted((one, other))
        return (sum(totals[value] for value in totals if low <= value <= high) - (totals[low] + totals[high]) / 2) ** 2

    observed = sum(weight * distance(*values) for values, weight in matrix.items())
    expected = sum(totals[one] * totals[other] * distance(one, other) for one in totals for other in totals if one != other)
    return 1.0 - (sum(totals.values()) - 1) * observed / expected


def window(panes: Mapping[int, list[Mapping[int, int]]], pane_minutes: float, window_panes: int) -> tuple[int, list[Mapping[int, int]]]:
    """The units of the newest window, and its end in microseconds; `panes` hold the units of the tasks by the start of their pane.

    The window ends with the newest pane that has units; when none has, with the newest that a task was in.
    """
    size = round(pane_minutes * 60_000_000)
    newest = max([start for start, inside in panes.items() if any(sum(u.values()) for u in inside)] or panes)
    first = newest - (window_panes - 1) * size
    return newest + size, [unit for start, inside in panes.items() if first <= start <= newest for unit in inside]
