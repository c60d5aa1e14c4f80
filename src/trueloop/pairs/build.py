"""Pairs of one task: from ratings, preferences and rewrites of all its labels."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import fsum
from typing import NamedTuple

from trueloop.events import DimensionOutcome, Label, PairSource, ReviewTask
from trueloop.events.identity import derive_id
from trueloop.pairs.comparison import majority, net_wins
from trueloop.rubrics import OVERALL, Rubric
from trueloop.rubrics.policy import Pairs


@dataclass(frozen=True, slots=True)
class Pair:
    """What a task says of two completions, before it becomes an event.

    `members` are the ids of the better and the worse candidate; a rewrite has none of its own, so there it is the id of its label. `weight` is in
    (0, 1], 1 being a full pair.
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


def build_pairs(task: ReviewTask, labels: Sequence[Label], rubric: Rubric, policy: Pairs, weights: Mapping[str, float] | None = None) -> tuple[Pair, ...]:
    """Return the pairs of a task. Their content depends on the set of labels and not on its order.

    `weights` says what a reviewer's votes count, [0, 1]; 1 for one who is not named. A label of weight 0 has no vote, and no pair stands on it; the
    weight of a pair is the mean weight of all labels that spoke of it, those of weight 0 too, so that a pair that quarantined reviewers had a part
    in is no full pair. Ties, margins under `policy.min_margin` and pairs of equal texts give nothing; of the others the
    `policy.max_pairs_per_task` widest stay.
    """
    ordered = [Voice(label, 1.0 if weights is None else weights.get(label.reviewer_id, 1.0)) for label in sorted(labels, key=lambda label: label.event_id)]
    found = [*_from_rewrites(task, ordered), *_from_preferences(task, ordered, rubric), *_from_ratings(task, ordered, rubric)]
    kept = [pair for pair in found if pair.margin >= policy.min_margin and pair.chosen != pair.rejected]
    return tuple(sorted(kept, key=lambda pair: (-pair.margin, pair.pair_id))[: policy.max_pairs_per_task])


class Voice(NamedTuple):
    """A label, and what it counts."""

    label: Label
    weight: float


class _Heard:
    """The labels that spoke of a pair."""

    def __init__(self) -> None:
        self._weights: dict[str, float] = {}

    def note(self, voice: Voice) -> None:
        self._weights[voice.label.event_id] = voice.weight

    @property
    def weight(self) -> float:
        """Return their mean weight."""
        return fsum(self._weights.values()) / len(self._weights)

    @property
    def label_ids(self) -> tuple[str, ...]:
        """Return those that count."""
        return tuple(sorted(label_id for label_id, weight in self._weights.items() if weight > 0))


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
            order.margin, heard.weight, outcomes, heard.label_ids,
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
        chosen.completion, rejected.completion, margin, heard.weight, outcomes, heard.label_ids,
    )  # fmt: skip


def _from_rewrites(task: ReviewTask, voices: Sequence[Voice]) -> Iterator[Pair]:
    texts = {candidate.candidate_id: candidate.completion for candidate in task.candidates}
    for label, weight in voices:
        if label.rewrite is None or weight <= 0:
            continue
        original, outcome = label.rewrite.candidate_id, DimensionOutcome(dimension=OVERALL, outcome=1)
        identity = _pair_id(task, PairSource.REWRITE, original, label.event_id)
        members = label.event_id, original
        yield Pair(identity, PairSource.REWRITE, members, label.rewrite.completion, texts[original], 1.0, weight, (outcome,), (label.event_id,))
