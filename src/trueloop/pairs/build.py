"""Pairs of one task: from ratings, preferences, rewrites and edits of all its labels."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import combinations
from math import fsum
from typing import NamedTuple

from trueloop.events import Candidate, DimensionOutcome, Label, PairSource, ReviewTask
from trueloop.events.identity import derive_id
from trueloop.pairs.comparison import majority, net_wins
from trueloop.pairs.near_duplicates import are_alike
from trueloop.pairs.span_chain import SpanChain, span_chain
from trueloop.rubrics import OVERALL, Rubric
from trueloop.rubrics.policy import Pairs


class Dropped(StrEnum):
    """Why something that labels say gives no pair."""

    EQUAL_TEXTS = "equal_texts"
    LOW_MARGIN = "low_margin"
    NEAR_DUPLICATE = "near_duplicate"
    """Its two texts are nearly the same, or it is nearly the same as a pair of a wider margin."""
    OVER_LIMIT = "over_limit"
    OVERLAPPING_EDIT = "overlapping_edit"
    """A graver edit changes some of the same text."""
    GOLD = "gold"
    """The task's answer is known."""


@dataclass(frozen=True, slots=True)
class Pair:
    """What a task says of two completions, before it becomes an event.

    `members` are the ids of the better and the worse candidate; of a rewrite or an edit, which has none of its own, it is the id of its label. `weight`
    is > 0, 1 being a full pair. `reviewers` are those whose labels count.
    """

    pair_id: str
    source: PairSource
    members: tuple[str, str]
    chosen: str
    rejected: str
    margin: float
    weight: float
    outcomes: tuple[DimensionOutcome, ...]
    label_ids: tuple[str, ...]
    reviewers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TaskPairs:
    """The pairs of a task, and what was dropped: by the id of the pair or edit, why."""

    pairs: tuple[Pair, ...] = ()
    dropped: Mapping[str, Dropped] = field(default_factory=dict)


def build_pairs(task: ReviewTask, labels: Sequence[Label], rubric: Rubric, policy: Pairs, weights: Mapping[str, float] | None = None) -> TaskPairs:
    """Return the pairs of a task. Their content depends on the set of labels and not on its order.

    `weights` says what a reviewer's votes count, [0, 1]; 1 for one who is not named. A label of weight 0 has no vote, and no pair stands on it; the
    weight of a pair is the mean weight of all labels that spoke of it, those of weight 0 too, so that a pair that quarantined reviewers had a part
    in is no full pair. Ties give nothing. Of the others those are dropped whose texts are equal or nearly so, whose margin is under
    `policy.min_margin`, that say nearly what a wider one says, and all but the `policy.max_pairs_per_task` widest.

    The edits that a reviewer made in an answer count as one in that number, by the margin of the last version over the original, and weigh
    `policy.chain_weight` together. Versions of one answer are alike by nature, so only equal ones of them are dropped.
    """
    ordered = [Voice(label, 1.0 if weights is None else weights.get(label.reviewer_id, 1.0)) for label in sorted(labels, key=lambda label: label.event_id)]
    dropped: dict[str, Dropped] = {}
    groups = [[pair] for pair in (*_from_rewrites(task, ordered), *_from_preferences(task, ordered, rubric), *_from_ratings(task, ordered, rubric))]
    groups += _from_spans(task, ordered, policy, dropped)
    kept: list[list[Pair]] = []
    for group in sorted(groups, key=lambda group: (-group[0].margin, group[0].pair_id)):
        for pair in group:
            reason = _fault(pair, policy)
            if reason is None and _told(pair, kept, policy):
                reason = Dropped.NEAR_DUPLICATE
            if reason is None and len(kept) >= policy.max_pairs_per_task:
                reason = Dropped.OVER_LIMIT
            if reason is not None:
                dropped[pair.pair_id] = reason
        left = [pair for pair in group if pair.pair_id not in dropped]
        if left:
            kept.append(left)
    return TaskPairs(tuple(pair for group in kept for pair in group), dropped)


def _fault(pair: Pair, policy: Pairs) -> Dropped | None:
    """Return why a pair is none by itself."""
    if pair.chosen == pair.rejected:
        return Dropped.EQUAL_TEXTS
    if pair.margin < policy.min_margin:
        return Dropped.LOW_MARGIN
    if pair.source is not PairSource.SPAN and are_alike(pair.chosen, pair.rejected, policy.near_duplicate_above):
        return Dropped.NEAR_DUPLICATE
    return None


def _told(pair: Pair, kept: Sequence[Sequence[Pair]], policy: Pairs) -> bool:
    """Return whether a pair says again what a wider one says: then it is no second piece of evidence."""
    if pair.source is PairSource.SPAN:
        return any((pair.chosen, pair.rejected) == (other.chosen, other.rejected) for group in kept for other in group)
    above = policy.near_duplicate_above
    return any(are_alike(pair.chosen, other.chosen, above) and are_alike(pair.rejected, other.rejected, above) for (other, *_) in kept)


class Voice(NamedTuple):
    """A label, and what it counts."""

    label: Label
    weight: float


class _Heard:
    """The labels that spoke of a pair."""

    def __init__(self) -> None:
        self._weights: dict[str, float] = {}
        self._reviewers: dict[str, str] = {}

    def note(self, voice: Voice) -> None:
        self._weights[voice.label.event_id] = voice.weight
        self._reviewers[voice.label.event_id] = voice.label.reviewer_id

    @property
    def weight(self) -> float:
        """Return their mean weight."""
        return fsum(self._weights.values()) / len(self._weights)

    @property
    def label_ids(self) -> tuple[str, ...]:
        """Return those that count."""
        return tuple(sorted(label_id for label_id, weight in self._weights.items() if weight > 0))

    @property
    def reviewers(self) -> tuple[str, ...]:
        """Return who gave those."""
        return tuple(sorted({self._reviewers[label_id] for label_id in self.label_ids}))


def _pair_id(task: ReviewTask, source: PairSource, *members: str) -> str:
    return derive_id("pair", task.task_id, source.value, *sorted(members))


def _from_ratings(task: ReviewTask, voices: Sequence[Voice], rubric: Rubric) -> Iterator[Pair]:
    texts = {candidate.candidate_id: candidate.completion for candidate in task.candidates}
    rated = [(voice, {(r.candidate_id, r.dimension): r.value for r in voice.label.ratings}) for voice in voices]
    for first, second in combinations(sorted(texts), 2):
        results: dict[str, int] = {}
        means: dict[str, tuple[float, float]] = {}
        heard = _Heard()
        for dimension in (d.name for d in rubric.dimensions):
            both = [(voice, of[first, dimension], of[second, dimension]) for voice, of in rated if (first, dimension) in of and (second, dimension) in of]
            for voice, _, _ in both:
                heard.note(voice)
            counted = [(voice.weight, a, b) for voice, a, b in both if voice.weight > 0]
            if not counted:
                continue
            total = fsum(w for w, _, _ in counted)
            results[dimension] = majority([(a > b) - (a < b) for _, a, b in counted], [w for w, _, _ in counted])
            means[dimension] = fsum(w * a for w, a, _ in counted) / total, fsum(w * b for w, _, b in counted) / total
        order = net_wins(results, rubric)
        if order.direction == 0:
            continue
        chosen, rejected = (first, second) if order.direction > 0 else (second, first)
        outcomes = tuple(
            DimensionOutcome(
                dimension=name,
                outcome=result * order.direction,
                chosen_mean=means[name][0 if order.direction > 0 else 1],
                rejected_mean=means[name][1 if order.direction > 0 else 0],
            )
            for name, result in results.items()
        )
        yield Pair(
            _pair_id(task, PairSource.RATINGS, first, second), PairSource.RATINGS, (chosen, rejected), texts[chosen], texts[rejected],
            order.margin, heard.weight, outcomes, heard.label_ids, heard.reviewers,
        )  # fmt: skip


def _from_preferences(task: ReviewTask, voices: Sequence[Voice], rubric: Rubric) -> Iterator[Pair]:
    if len(task.candidates) != 2:
        return
    first, second = sorted(task.candidates, key=lambda candidate: candidate.candidate_id)
    votes: dict[str, list[tuple[int, float]]] = {}
    heard = _Heard()
    for voice in voices:
        for preference in voice.label.preferences:
            heard.note(voice)
            vote = 0 if preference.preferred is None else 1 if preference.preferred == first.candidate_id else -1
            if voice.weight > 0:
                votes.setdefault(preference.dimension or OVERALL, []).append((vote, voice.weight))
    results = {name: majority([vote for vote, _ in cast], [weight for _, weight in cast]) for name, cast in sorted(votes.items())}
    overall = votes.get(OVERALL)
    if overall:
        # Reviewers who say what they prefer over all have weighed the dimensions themselves.
        direction, margin = results[OVERALL], abs(fsum(vote * weight for vote, weight in overall)) / fsum(weight for _, weight in overall)
    else:
        order = net_wins(results, rubric)
        direction, margin = order.direction, order.margin
    if direction == 0:
        return
    chosen, rejected = (first, second) if direction > 0 else (second, first)
    outcomes = tuple(DimensionOutcome(dimension=name, outcome=result * direction) for name, result in results.items())
    yield Pair(
        _pair_id(task, PairSource.PAIRWISE, first.candidate_id, second.candidate_id), PairSource.PAIRWISE, (chosen.candidate_id, rejected.candidate_id),
        chosen.completion, rejected.completion, margin, heard.weight, outcomes, heard.label_ids, heard.reviewers,
    )  # fmt: skip


def _from_rewrites(task: ReviewTask, voices: Sequence[Voice]) -> Iterator[Pair]:
    texts = {candidate.candidate_id: candidate.completion for candidate in task.candidates}
    for label, weight in voices:
        if label.rewrite is None or weight <= 0:
            continue
        original, outcome = label.rewrite.candidate_id, DimensionOutcome(dimension=OVERALL, outcome=1)
        identity = _pair_id(task, PairSource.REWRITE, original, label.event_id)
        members = label.event_id, original
        yield Pair(
            identity, PairSource.REWRITE, members, label.rewrite.completion, texts[original], 1.0, weight, (outcome,), (label.event_id,), (label.reviewer_id,),
        )  # fmt: skip


def _from_spans(task: ReviewTask, voices: Sequence[Voice], policy: Pairs, dropped: dict[str, Dropped]) -> Iterator[list[Pair]]:
    """Yield the pairs of each chain of edits: the last version over the original first, then each version over the one before it.

    With one edit these are the same pair, with k edits k + 1 pairs.
    """
    for label, weight in voices:
        if weight <= 0:
            continue
        for candidate in task.candidates:
            marks = [mark for mark in label.spans if mark.candidate_id == candidate.candidate_id]
            chain = span_chain(candidate.completion, marks, policy.max_chain_steps)
            for mark in chain.overlapping:
                dropped[derive_id("edit", task.task_id, label.event_id, candidate.candidate_id, str(mark.start), str(mark.end))] = Dropped.OVERLAPPING_EDIT
            if chain.steps:
                yield _chain_pairs(task, label, candidate, chain, weight * policy.chain_weight)


def _chain_pairs(task: ReviewTask, label: Label, candidate: Candidate, chain: SpanChain, weight: float) -> list[Pair]:
    texts, steps = chain.texts, chain.steps
    whole = tuple(mark for step in steps for mark in step.marks)
    found = [("whole", texts[0], texts[-1], whole, 1.0)]
    if len(steps) > 1:
        found += [(str(n), texts[n], texts[n + 1], step.marks, step.severity / chain.severity) for n, step in enumerate(steps)]
    return [
        Pair(
            derive_id("pair", task.task_id, PairSource.SPAN.value, label.event_id, candidate.candidate_id, name), PairSource.SPAN,
            (label.event_id, candidate.candidate_id), after, before, margin, weight / len(found),
            tuple(DimensionOutcome(dimension=dimension, outcome=1) for dimension in sorted({mark.dimension for mark in marks})),
            (label.event_id,), (label.reviewer_id,),
        )
        for name, before, after, marks, margin in found
    ]  # fmt: skip
