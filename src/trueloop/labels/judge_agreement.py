"""How far a judge agrees with people: whether its scores go along with theirs, meet the same level, and are as kind."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import atanh, sqrt, tanh

from trueloop.agreement.estimate import Estimate as Agreement
from trueloop.agreement.gwet import gwet_ac2
from trueloop.estimates.calibration import calibration_in_the_large
from trueloop.estimates.estimate import Estimate
from trueloop.estimates.pearson import MIN_CLUSTERS, pearson_correlation
from trueloop.labels.rated_completions import RatedCompletion
from trueloop.rubrics.rubric import Scale


@dataclass(frozen=True, slots=True)
class JudgeAgreement:
    """Agreement of one judge with people on one dimension.

    Attributes:
        correlation: Pearson's r of mean rating and score, over the population that was sampled.
        ac2: Gwet's AC2 with linear weights, judge and mean rating being two raters on the scale.
        bias: Mean rating less score, as shares of the scale: below 0 for a judge that is too kind.
    """

    correlation: Estimate
    ac2: Agreement
    bias: Estimate


def judge_agreement(rated: Sequence[RatedCompletion], scores: Sequence[float | None], dimension: str, scale: Scale) -> JudgeAgreement:
    """Return how far the scores of completions agree with what people said of them.

    Correlation is what a gate needs of a judge: who says the same of every answer agrees often where most answers are good, and sees no
    regression. AC2 and bias say what correlation does not: whether the levels are those of people.

    Args:
        rated: Completions; those without a rating on the dimension do not count.
        scores: The judge's score of each, [0, 1]; None where it gave none, which does not count.
        dimension: What was judged.
        scale: Its scale.
    """
    pairs = [(unit, unit.ratings[dimension], score) for unit, score in zip(rated, scores, strict=True) if dimension in unit.ratings and score is not None]
    people, judge = [rating for _, rating, _ in pairs], [score for _, _, score in pairs]
    chances, clusters = [unit.probability for unit, _, _ in pairs], [unit.cluster for unit, _, _ in pairs]
    places = [_place(value, scale) for _, rating, score in pairs for value in (rating, score)]
    ac2 = gwet_ac2(
        [unit.unit_id for unit, _, _ in pairs for _ in range(2)],
        ["people", "judge"] * len(pairs),
        places,
        clusters=[cluster for cluster in clusters for _ in range(2)],
        categories=range(scale.min, scale.max + 1),
        weights="linear",
    )
    correlation = _bounded(pearson_correlation(people, judge, chances, clusters=clusters))
    return JudgeAgreement(correlation, ac2, calibration_in_the_large(people, judge, chances, clusters=clusters))


def _bounded(found: Estimate) -> Estimate:
    """Return the correlation with Fisher's interval where it is too good for the jackknife: perfect, or perfect without one of the clusters.

    The interval is that of 1 - 2 / n at most, as if one more unit could have disagreed: who agrees on all of ten has not shown more than that.
    """
    if found.value is None or found.ci_low is not None or found.n_clusters < MIN_CLUSTERS:
        return found
    n = found.n_clusters
    middle, reach = atanh(max(min(found.value, 1 - 2 / n), 2 / n - 1)), 1.96 / sqrt(n - 3)
    return replace(found, ci_low=tanh(middle - reach), ci_high=max(tanh(middle + reach), found.value), undefined=None)


def _place(share: float, scale: Scale) -> int:
    return scale.min + round(share * (scale.max - scale.min))
