"""How probable it is that a pair's order is right."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import fsum

from trueloop.agreement.position import TIE
from trueloop.events import Label, PairSource, ReviewTask, UnitTruth
from trueloop.labels.contributions import preference_dimension
from trueloop.pairs.build import Pair
from trueloop.reviewers.panel_truths import categories_of
from trueloop.reviewers.truth import fitted_truth
from trueloop.rubrics import OVERALL, Rubric

Unit = tuple[str, str]
Posteriors = Mapping[Unit, Mapping[int, float]]
"""Dimension and candidate ('' for a preference) -> value -> probability. Empty where nobody counts who spoke of it."""
Outcome = tuple[float, float, float]
"""Probability that the one side is better on a dimension, that neither is, and that the other is."""
_DIGITS = 6


def posteriors_of(units: Sequence[UnitTruth]) -> Posteriors:
    """Return the posteriors that a task's truth tells."""
    return {(unit.dimension, unit.candidate_id or ""): dict(zip(unit.categories, unit.probabilities, strict=True)) for unit in units}


def unfitted_posteriors(task: ReviewTask, labels: Sequence[Label], rubric: Rubric, weights: Mapping[str, float]) -> Posteriors:
    """Return the posteriors of a task before anything is known of how its reviewers err: all are as competent as a fit takes new ones to be."""
    place_of = {candidate.candidate_id: place for place, candidate in enumerate(task.candidates)}
    votes: dict[Unit, dict[str, int]] = defaultdict(dict)
    for label in labels:
        for rating in label.ratings:
            votes[rating.dimension, rating.candidate_id][label.reviewer_id] = rating.value
        for preference in label.preferences:
            value = TIE if preference.preferred is None else place_of[preference.preferred]
            votes[preference_dimension(preference.dimension), ""][label.reviewer_id] = value
    found: dict[Unit, dict[int, float]] = {}
    for unit, said in votes.items():
        categories = categories_of(unit[0], rubric, len(task.candidates))
        posterior = fitted_truth(said, None, categories, weights=weights) or {}
        found[unit] = {value: posterior[value] for value in categories if value in posterior}
    return found


def order_probability(pair: Pair, task: ReviewTask, posteriors: Posteriors, rubric: Rubric) -> float | None:
    """Return the probability that the chosen one is truly better, [0, 1]; None for a rewrite or an edit, and when no posterior speaks of the two.

    Of a preference over all it is that posterior. Otherwise it is the probability that the net-win rule (`net_wins`) puts the chosen one first when it
    is given the true outcome of each dimension; a true tie counts against the pair, which says that there is a difference.

    It takes what is true of the two candidates, and of the dimensions, as independent given the labels. They are not quite: an answer that is
    wrong in one respect is oftener wrong in another. Of a pair that stands on one dimension nothing hangs on that; over several that are alike
    the number is too sure.
    """
    if pair.source in (PairSource.REWRITE, PairSource.SPAN):
        return None
    chosen, rejected = pair.members
    if pair.source is PairSource.PAIRWISE:
        place_of = {candidate.candidate_id: place for place, candidate in enumerate(task.candidates)}
        overall = posteriors.get((OVERALL, ""))
        if overall:
            return round(min(overall.get(place_of[chosen], 0.0), 1.0), _DIGITS)
        names = {each.name: posteriors.get((preference_dimension(each.name), "")) for each in rubric.dimensions}
        outcomes = {name: (p.get(place_of[chosen], 0.0), p.get(TIE, 0.0), p.get(place_of[rejected], 0.0)) for name, p in names.items() if p}
    else:
        both = {each.name: (posteriors.get((each.name, chosen)), posteriors.get((each.name, rejected))) for each in rubric.dimensions}
        outcomes = {name: _compared(one, other) for name, (one, other) in both.items() if one and other}
    return round(min(win_probability(outcomes, rubric), 1.0), _DIGITS) if outcomes else None


def _compared(one: Mapping[int, float], other: Mapping[int, float]) -> Outcome:
    better = fsum(p * q for a, p in one.items() for b, q in other.items() if a > b)
    same = fsum(p * other.get(a, 0.0) for a, p in one.items())
    return better, same, max(0.0, 1.0 - better - same)


def win_probability(outcomes: Mapping[str, Outcome], rubric: Rubric) -> float:
    """Return the probability that the net-win rule finds the one side better, when the outcome of each dimension is random and independent.

    Exact, by going through the dimensions and keeping the distribution of net wins and of the first tie-break that differs.

    >>> from trueloop.rubrics import Rubric
    >>> scale = {"min": 0, "max": 1}
    >>> dimensions = [{"name": name, "description": name, "scale": scale} for name in ("right", "safe")]
    >>> rubric = Rubric(id="r", version=1, title="r", statement="r", dimensions=dimensions, vetoes=("safe",))
    >>> round(win_probability({"right": (0.9, 0.1, 0.0), "safe": (0.0, 0.8, 0.2)}, rubric), 4)
    0.72
    """
    won, undecided = 0.0, 1.0
    vetoes = [name for name in rubric.vetoes if name in outcomes]
    for name in vetoes:
        better, same, _ = outcomes[name]
        won += undecided * better
        undecided *= same
    # Vetoes that did not decide are ties: they change neither the net wins nor the tie-break.
    open_names = [name for name in outcomes if name not in vetoes]
    ordered = [*(name for name in dict.fromkeys(rubric.tie_break) if name in open_names), *(name for name in open_names if name not in rubric.tie_break)]
    standing: dict[tuple[int, int], float] = {(0, 0): undecided}
    for name in ordered:
        following: dict[tuple[int, int], float] = defaultdict(float)
        for (net, first), probability in standing.items():
            for result, share in zip((1, 0, -1), outcomes[name], strict=True):
                breaks = result if first == 0 and name in rubric.tie_break else first
                following[net + result, breaks] += probability * share
        standing = following
    return won + fsum(probability for (net, first), probability in standing.items() if net > 0 or (net == 0 and first > 0))
