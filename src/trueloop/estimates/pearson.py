"""Pearson's correlation of a judge with people."""

from collections.abc import Hashable, Sequence
from math import atanh, fsum, sqrt, tanh
from typing import Any

from trueloop.estimates.beta import t_quantile
from trueloop.estimates.estimate import Estimate, Undefined
from trueloop.estimates.frame import Column
from trueloop.estimates.paired_labels import PairedLabels, paired_labels

MIN_CLUSTERS = 4
"""Clusters below which no interval is given: with one of them left out, three points still have a correlation that says something."""
_PERFECT = 1 - 1e-12


def pearson_correlation(
    values: Column,
    predictions: Column,
    probabilities: Column | None = None,
    *,
    clusters: Column | None = None,
    data: Any = None,
    confidence: float = 0.95,
) -> Estimate:
    """Return Pearson's r of labels and a judge's scores, over the population that the labels were sampled from.

    The interval is Student's on Fisher's z scale with the jackknife's standard error over clusters: it asks for no normal distribution, and 0 / 1
    labels and skewed scores are what one has.

    Args:
        values: Label of each unit; rows without label or score do not count.
        predictions: Score of the judge, on any scale.
        probabilities: The logged probability of each unit to be labelled, (0, 1]; leave out for a simple random sample.
        clusters: What units belong together.
        data: Data frame; then columns may be given by name.
        confidence: Of the two-sided interval, (0, 1).

    Returns:
        Undefined (NO_VARIATION) when labels or scores are all equal; without interval for fewer than `MIN_CLUSTERS` clusters, and where r, or r
        without one of the clusters, is perfect or has nothing that varies. `std_error` is that of atanh(r).

    Raises:
        ValueError: As `hajek` does.

    References: Fisher, R. A. (1915). Frequency distribution of the values of the correlation coefficient. Biometrika 10, 507-521. Efron, B. (1982).
    The Jackknife, the Bootstrap and Other Resampling Plans. SIAM, chapter 3, for the jackknife of a correlation.

    >>> round(pearson_correlation([1, 2, 3, 5], [1, 2, 3, 4]).value, 4)
    0.9827
    """
    return pearson_correlation_of(paired_labels(values, predictions, probabilities, clusters, data), confidence=confidence)


def pearson_correlation_of(pairs: PairedLabels, *, confidence: float = 0.95) -> Estimate:
    """Return the correlation over units that have both. See `pearson_correlation`."""
    n, clusters = len(pairs.values), pairs.n_clusters
    if n == 0:
        return Estimate(None, 0, undefined=Undefined.NO_LABELS)
    y, m = pairs.centred(pairs.values), pairs.centred(pairs.predictions)
    yy, mm = pairs.product(y, y), pairs.product(m, m)
    if yy <= 0 or mm <= 0:
        return Estimate(None, n, n_clusters=clusters, undefined=Undefined.NO_VARIATION)
    r = max(-1.0, min(1.0, pairs.product(y, m) / sqrt(yy * mm)))
    if clusters < MIN_CLUSTERS:
        return Estimate(r, n, n_clusters=clusters, undefined=Undefined.TOO_FEW)
    std_error = _jackknife(pairs, [a / sqrt(yy) for a in y], [b / sqrt(mm) for b in m])
    if abs(r) > _PERFECT or std_error is None:
        return Estimate(r, n, n_clusters=clusters, undefined=Undefined.NO_VARIATION)
    reach = t_quantile(0.5 + confidence / 2, clusters - 2) * std_error
    return Estimate(r, n, tanh(atanh(r) - reach), tanh(atanh(r) + reach), std_error, clusters)


def _jackknife(pairs: PairedLabels, y: Sequence[float], m: Sequence[float]) -> float | None:
    """Return the standard error of atanh(r) from leaving out each cluster; None where what is left has no r, or a perfect one."""
    sums: dict[Hashable, list[list[float]]] = {}
    for cluster, w, a, b in zip(pairs.clusters, pairs.weights, y, m, strict=True):
        sums.setdefault(cluster, []).append([w, w * a, w * b, w * a * a, w * b * b, w * a * b])
    parts = [[fsum(column) for column in zip(*rows, strict=True)] for rows in sums.values()]
    whole = [fsum(column) for column in zip(*parts, strict=True)]
    left: list[float] = []
    for part in parts:
        w, a, b, aa, bb, ab = (total - out for total, out in zip(whole, part, strict=True))
        spread, other = aa / w - (a / w) ** 2, bb / w - (b / w) ** 2
        if min(spread, other) <= 1 - _PERFECT:  # columns have variance 1, so this is rounding
            return None
        r = (ab / w - a * b / w**2) / sqrt(spread * other)
        if abs(r) > _PERFECT:
            return None
        left.append(atanh(r))
    count, middle = len(left), fsum(left) / len(left)
    return sqrt((count - 1) / count * fsum((z - middle) ** 2 for z in left))
