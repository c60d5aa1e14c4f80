"""Pairs of one task: from ratings, preferences and rewrites of all its labels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from trueloop.events import DimensionOutcome, Label, PairSource, ReviewTask
from trueloop.events.identity import derive_id
from trueloop.pairs.comparison import majority, net_wins
from trueloop.rubrics import OVERALL, Rubric
from trueloop.rubrics.policy import Pairs


@dataclass(frozen=True, slots=True)
class Pair:
    """What a task says of two completions, before it becomes an event."""

    pair_id: str
    source: PairSource
    chosen: str
    rejected: str
    margin: float
    outcomes: tuple[DimensionOutcome, ...]
    label_ids: tuple[str, ...]


def build_pairs(task: ReviewTask, labels: Sequence[Label], rubric: Rubric, policy: Pairs) -> tuple[Pair, ...]:
    """Return the pairs of a task. Their content depends on the set of labels and not on its order.

    Ties, margins under `policy.min_margin` and pairs of equal texts give nothing; of the others the `policy.max_pairs_per_task` widest stay.
    """
    ordered = sorted(labels, key=lambda label: label.event_id)
    found = [*_from_rewrites(task, ordered), *_from_preferences(task, ordered, rubric), *_from_ratings(task, ordered, rubric)]
    kept = [pair for pair in found if pair.margin >= policy.min_margin and pair.chosen != pair.rejected]
    return tuple(sorted(kept, key=lambda pair: (-pair.margin, pair.pair_id))[: policy.max_pairs_per_task])


def _pair_id(task: ReviewTask, source: PairSource, *members: str) -> str:
    return derive_id("pair", task.task_id, source.value, *sorted(members))


def _from_ratings(task: ReviewTask, labels: Sequence[Label], rubric: Rubric) -> Iterator[Pair]:
    texts = {candidate.candidate_id: candidate.completion for candidate in task.candidates}
    values = {(label.event_id, r.candidate_id, r.dimension): r.value for label in labels for r in label.ratings}
    for first, second in combinations(sorted(texts), 2):
        results: dict[str, int] = {}
        means: dict[str, tuple[float, float]] = {}
        used: set[str] = set()
        for dimension in (d.name for d in rubric.dimensions):
            both = [
                (label.event_id, values[label.event_id, first, dimension], values[label.event_id, second, dimension])
                for label in labels
                if (label.event_id, first, dimension) in values and (label.event_id, second, dimension) in values
            ]
            if not both:
                continue
            results[dimension] = majority([(a > b) - (a < b) for _, a, b in both])
            means[dimension] = (sum(a for _, a, _ in both) / len(both), sum(b for _, _, b in both) / len(both))
            used.update(label_id for label_id, _, _ in both)
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
        identity = _pair_id(task, PairSource.RATINGS, first, second)
        yield Pair(identity, PairSource.RATINGS, texts[chosen], texts[rejected], order.margin, outcomes, tuple(sorted(used)))


def _from_preferences(task: ReviewTask, labels: Sequence[Label], rubric: Rubric) -> Iterator[Pair]:
    if len(task.candidates) != 2:
        return
    first, second = sorted(task.candidates, key=lambda candidate: candidate.candidate_id)
    votes: dict[str, list[int]] = {}
    used: set[str] = set()
    for label in labels:
        for preference in label.preferences:
            vote = 0 if preference.preferred is None else 1 if preference.preferred == first.candidate_id else -1
            votes.setdefault(preference.dimension or OVERALL, []).append(vote)
            used.add(label.event_id)
    overall = votes.get(OVERALL)
    if overall:
        # Reviewers who say what they prefer over all have weighed the dimensions themselves.
        direction, margin = majority(overall), abs(sum(overall)) / len(overall)
    else:
        order = net_wins({name: majority(cast) for name, cast in votes.items()}, rubric)
        direction, margin = order.direction, order.margin
    if direction == 0:
        return
    chosen, rejected = (first, second) if direction > 0 else (second, first)
    outcomes = tuple(DimensionOutcome(dimension=name, outcome=majority(cast) * direction) for name, cast in sorted(votes.items()))
    identity = _pair_id(task, PairSource.PAIRWISE, first.candidate_id, second.candidate_id)
    yield Pair(identity, PairSource.PAIRWISE, chosen.completion, rejected.completion, margin, outcomes, tuple(sorted(used)))


def _from_rewrites(task: ReviewTask, labels: Sequence[Label]) -> Iterator[Pair]:
    texts = {candidate.candidate_id: candidate.completion for candidate in task.candidates}
    for label in labels:
        if label.rewrite is None:
            continue
        original = label.rewrite.candidate_id
        identity = _pair_id(task, PairSource.REWRITE, original, label.event_id)
        outcome = DimensionOutcome(dimension=OVERALL, outcome=1)
        yield Pair(identity, PairSource.REWRITE, label.rewrite.completion, texts[original], 1.0, (outcome,), (label.event_id,))
