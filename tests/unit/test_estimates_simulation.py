"""Operating characteristics of the estimates by simulation: bias, coverage and width, under the sampler that we use and on skewed labels.

Long: `pytest -m long tests/unit/test_estimates_simulation.py -s` prints the tables.
"""

import math
import random
from itertools import count
from statistics import fmean

import pytest
from scipy.stats import binom

from trueloop.estimates import Estimate, aipw_of, hajek, hajek_of, partial_pooling, pearson_correlation, prediction_powered_mean_of, sample_moments

LOW, HIGH = 0.935, 0.965
"""Coverage of 95 % intervals that is asked for."""
RUNS = 1600
CHANCE = 0.0055
"""Standard error of a coverage near 0.95 over that many runs: what is not outside the band by more than this is not shown to be outside."""
SEED = 20261121


class Tally:
    """Bias, coverage and width of one estimator over runs."""

    def __init__(self):
        self.errors, self.covered, self.widths = [], 0, []

    def add(self, value, low, high, truth):
        self.errors.append(value - truth)
        self.covered += low <= truth <= high
        self.widths.append(high - low)

    @property
    def coverage(self):
        return self.covered / len(self.errors)

    def row(self, name):
        spread = math.sqrt(fmean(e * e for e in self.errors) / len(self.errors))
        return f"  {name:28s} bias {fmean(self.errors):+.4f} (± {1.96 * spread:.4f})   coverage {self.coverage:.3f}   width {fmean(self.widths):.4f}"


def naive(values):
    """What people do: the plain mean of the labels that came, with its textbook interval."""
    labels = [value for value in values if value is not None]
    mean = fmean(labels)
    reach = 1.96 * math.sqrt(sum((y - mean) ** 2 for y in labels) / (len(labels) - 1) / len(labels))
    return mean, mean - reach, mean + reach


def population(rng, n, judge_noise, per_cluster, rate):
    """Traces of subjects: quality varies between subjects; a judge sees it with noise; the sampler looks where the judge is unsure or sees faults."""
    values, probabilities, predictions, clusters = [], [], [], []
    for number in count():
        if len(values) >= n:
            break
        subject, size = rng.betavariate(6, 1.5), rng.randint(1, 2 * per_cluster - 1)
        for _ in range(size):
            quality = min(1.0, max(0.0, subject + rng.gauss(0, 0.05)))
            good = rng.random() < quality
            judge = min(1.0, max(0.0, (0.8 if good else 0.4) + rng.gauss(0, judge_noise)))
            probability = min(1.0, rate * (0.2 + 0.8 * 3.0 * (1 - judge)))
            values.append(float(good) if rng.random() < probability else None)
            probabilities.append(probability)
            predictions.append(judge)
            clusters.append(number)
    return values, probabilities, predictions, clusters


@pytest.fixture(scope="module")
def mean_quality():
    """Mean quality of the process, by one large draw; the cut at [0, 1] leaves no closed form."""
    rng = random.Random(99)
    return fmean(min(1.0, max(0.0, rng.betavariate(6, 1.5) + rng.gauss(0, 0.05))) for _ in range(2_000_000))


@pytest.mark.long
@pytest.mark.parametrize(
    ("n", "rate", "noise", "per_cluster"),
    [(1500, 0.25, 0.15, 1), (1500, 0.25, 2.0, 1), (400, 0.3, 0.15, 1), (1500, 0.25, 0.15, 5)],
    ids=["good judge", "poor judge", "small", "subjects"],
)
def test_active_sampling(n, rate, noise, per_cluster, mean_quality, capsys):
    """Intervals cover and estimates have no bias, whatever the sampler preferred; the plain mean has both wrong."""
    rng = random.Random(SEED)
    names = ("plain mean of the labels", "Hajek", "AIPW", "PPI++")
    tallies = {name: Tally() for name in names}
    labels = fallbacks = 0
    for _ in range(RUNS):
        values, probabilities, predictions, clusters = population(rng, n, noise, per_cluster, rate)
        moments = sample_moments(values, probabilities, predictions, clusters)
        found = {
            "Hajek": hajek_of(moments, scale=(0, 1)),
            "AIPW": aipw_of(moments, scale=(0, 1)),
            "PPI++": prediction_powered_mean_of(moments, scale=(0, 1)),
        }
        tallies["plain mean of the labels"].add(*naive(values), mean_quality)
        for name, estimate in found.items():
            tallies[name].add(estimate.value, estimate.ci_low, estimate.ci_high, mean_quality)
        labels += found["Hajek"].n
        fallbacks += found["PPI++"].fallback is not None
    with capsys.disabled():
        print(f"\nActive sampling, {n} traces, {labels / RUNS:.0f} labels, judge noise {noise}, {per_cluster} traces per subject, {RUNS} runs, seed {SEED}")
        print(f"  truth {mean_quality:.4f}; PPI++ fell back to labels only in {fallbacks / RUNS:.1%}")
        for name in names:
            print(tallies[name].row(name))
    assert fmean(tallies["plain mean of the labels"].errors) < -0.02
    assert tallies["plain mean of the labels"].coverage < 0.8
    for name in names[1:]:
        assert LOW - CHANCE <= tallies[name].coverage <= HIGH + CHANCE, name
        # A ratio of sums has a bias of the order of 1 / n: a tenth of a standard error here.
        assert abs(fmean(tallies[name].errors)) < 0.15 * fmean(tallies[name].widths) / 3.92, name
    assert fmean(tallies["PPI++"].widths) <= 1.01 * min(fmean(tallies["Hajek"].widths), fmean(tallies["AIPW"].widths))


@pytest.mark.long
def test_scores_that_are_almost_always_right(capsys):
    """Means near 1 of n labels, by enumeration: Wilson's interval with the effective number covers, Student's collapses."""
    with capsys.disabled():
        print("\nMeans near 1, equal probabilities, exact coverage over means from 0.90 to 0.99")
        for n in (50, 100, 300):
            ends = []
            for right in range(n + 1):
                values, ones = [1.0] * right + [0.0] * (n - right), [1.0] * n
                scaled, bare = hajek(values, ones, scale=(0, 1)), hajek(values, ones)
                ends.append(((scaled.ci_low, scaled.ci_high), (bare.value, bare.value) if bare.ci_low is None else (bare.ci_low, bare.ci_high)))
            means = [0.9 + step / 1000 for step in range(91)]
            covered = [
                [sum(binom.pmf(right, n, mean) for right in range(n + 1) if ends[right][kind][0] <= mean <= ends[right][kind][1]) for mean in means]
                for kind in (0, 1)
            ]
            print(
                f"  n {n:4d}   with scale {fmean(covered[0]):.3f}, least {min(covered[0]):.3f}   without {fmean(covered[1]):.3f}, least {min(covered[1]):.3f}"
            )
            assert LOW <= fmean(covered[0]) <= HIGH
            assert min(covered[0]) > 0.88


@pytest.mark.long
def test_correlation_covers(capsys):
    """Labels of 0 and 1, sampled unequally: far from normal."""
    rng = random.Random(8)
    tally = Tally()

    def draw(n, everyone):
        rows = []
        for _ in range(n):
            judge = rng.random()
            good = float(rng.random() < 0.2 + 0.7 * judge)
            probability = 0.1 + 0.4 * (1 - judge)
            if everyone or rng.random() < probability:
                rows.append((good, judge, 1.0 if everyone else probability))
        return [list(column) for column in zip(*rows, strict=True)]

    exact = pearson_correlation(*draw(300_000, everyone=True)).value
    for _ in range(RUNS):
        estimate = pearson_correlation(*draw(800, everyone=False))
        tally.add(estimate.value, estimate.ci_low, estimate.ci_high, exact)
    with capsys.disabled():
        print(f"\nJudge-human correlation {exact:.3f}, about 240 labels of 0 / 1, {RUNS} runs, seed 8\n{tally.row('Pearson, weighted')}")
    assert LOW - CHANCE <= tally.coverage <= HIGH + CHANCE


@pytest.mark.long
def test_pooled_slices_cover_on_average(capsys):
    """Twelve slices with unequal evidence: pooled intervals cover 95 % of slices on average, and the pooled means are nearer to the truth."""
    rng = random.Random(9)
    alone, pooled = Tally(), Tally()
    for _ in range(RUNS):
        slices, truths = {}, {}
        for name in range(12):
            truths[name] = rng.gauss(0.8, 0.05)
            error = rng.choice((0.02, 0.05, 0.1))
            slices[name] = Estimate(rng.gauss(truths[name], error), 50, std_error=error)
        for name, each in partial_pooling(slices).items():
            own = slices[name]
            alone.add(own.value, own.value - 1.96 * own.std_error, own.value + 1.96 * own.std_error, truths[name])
            pooled.add(each.value, each.ci_low, each.ci_high, truths[name])
    ratio = fmean(e * e for e in pooled.errors) / fmean(e * e for e in alone.errors)
    with capsys.disabled():
        print(f"\nTwelve slices, {RUNS} runs, seed 9; squared error of pooled over own {ratio:.2f}")
        print(alone.row("each alone"))
        print(pooled.row("partially pooled"))
    assert LOW - CHANCE <= pooled.coverage <= HIGH + CHANCE
    assert ratio < 0.6
