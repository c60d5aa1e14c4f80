"""Operating characteristics by simulation: false alarms, coverage, discovery rates and false warnings are what was declared. `make operating-characteristics`.

Each prints the table that it checks (`pytest -s`). Rates are compared within three standard errors of the simulation, or by exact binomial bounds.
"""

from math import exp, log, sqrt
from statistics import NormalDist

import numpy as np
import pytest
from scipy.stats import binom

from trueloop.drift import (
    Detector,
    ShiryaevRoberts,
    average_run_length,
    betting_confidence_sequence,
    e_benjamini_hochberg,
    jensen_shannon_divergence,
    maximum_mean_discrepancy,
    population_stability_index,
    rebase,
    shiryaev_roberts,
    two_sample_e_value,
    update_batch,
    wasserstein_distance,
)
from trueloop.drift.shiryaev_roberts import run as run_bets
from trueloop.events import DriftState
from trueloop.rubrics.policy import Drift

pytestmark = pytest.mark.long

LOSSES = {
    "coins 0.05": lambda rng, n: (rng.random(n) < 0.05).astype(float),
    "coins 0.3": lambda rng, n: (rng.random(n) < 0.3).astype(float),
    "coins 0.5": lambda rng, n: (rng.random(n) < 0.5).astype(float),
    "ratings": lambda rng, n: rng.choice([0.0, 0.25, 0.5, 0.75, 1.0], n, p=[0.4, 0.3, 0.15, 0.1, 0.05]),
    "beta(3, 7)": lambda rng, n: rng.beta(3, 7, n),
    "beta(30, 70)": lambda rng, n: rng.beta(30, 70, n),
}


def alarms(changes):
    return [change for change in changes if change.detector.state is DriftState.ALARM]


def first_alarm(draw, rng, config, limit):
    """Losses from the beginning of the series until the first alarm; the limit when there is none before."""
    detector, done = Detector(), 0
    while done < limit:
        batch = draw(rng, min(1000, limit - done))
        detector, changes = update_batch(detector, batch, None, config)
        if alarms(changes):
            return done + alarms(changes)[0].count
        done += len(batch)
    return limit


@pytest.mark.parametrize(("threshold", "published"), [(28.02, 50), (56.04, 100), (280.19, 500), (560.37, 1000)])
def test_run_lengths_of_the_statistic_are_the_published_ones(threshold, published):
    """Moustakides, Polunchenko & Tartakovsky (2009), Communications in Statistics 38, 3225-3239, table 4: a normal mean, a shift of 1.

    Their thresholds are 0.5604 times the run length, its slope; the run length itself is about 0.9 longer, which is seen at 50 and 100.
    """
    rng, runs, lengths = np.random.default_rng(1), 2000, []
    for _ in range(runs):
        ratios = np.empty(0)
        while (at := shiryaev_roberts(ratios, threshold).at) is None:
            assert len(ratios) < 200 * published
            ratios = np.concatenate((ratios, np.exp(rng.normal(size=4 * published) - 0.5)))
        lengths.append(at)
    error = np.std(lengths) / sqrt(runs)
    print(f"\nthreshold {threshold}: average run length {np.mean(lengths):.1f} +- {error:.1f}, published {published}")
    assert published - 3 * error < np.mean(lengths) < published + 1.0 + 3 * error


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_average_run_length_of_the_e_detector_at_the_edge_of_the_null(share):
    """The mean loss is the null mean, known exactly: the contract is tight here, so that a wrong recursion would show on either side."""
    target, lengths = 500.0, []
    for seed in range(1000):
        losses = (np.random.default_rng(seed).random(20_000) < share).astype(float).tolist()
        lengths.append(run_bets(ShiryaevRoberts(), losses, share, 0.0, target).n)
    error = np.std(lengths) / sqrt(len(lengths))
    print(f"\nshare {share}: average run length {np.mean(lengths):.0f} +- {error:.0f}, target 500")
    assert np.mean(lengths) + 3 * error > target
    assert np.mean(lengths) < 2 * target


@pytest.mark.parametrize("name", LOSSES)
def test_average_run_length_keeps_its_target_with_estimated_references(name):
    """No tolerance, so that only bounds of references stand between noise and alarm. Cutting a run only lowers its length."""
    config, runs, limit = Drift(reference_size=100, arl_target=1000.0, tolerance=0.0), 200, 20_000
    lengths = [first_alarm(LOSSES[name], np.random.default_rng(seed), config, limit) for seed in range(runs)]
    print(
        f"\n{name}: average run length {np.mean(lengths):.0f}, cut at {limit}, declared {config.arl_target:.0f}; no alarm in {lengths.count(limit) / runs:.0%}"
    )
    assert np.mean(lengths) - 3 * np.std(lengths) / sqrt(runs) > config.arl_target


def life(seed, config, losses, release_every):
    """The false alarms in the life of a series whose releases are accepted one after the other, better or worse, some of them after an alarm.

    Each checkpoint has a mean loss of its own. An alarm is false unless the mean has risen above that of the reference in force.
    """
    rng, detector, false, true, later = np.random.default_rng(seed), Detector(), 0, 0, 0
    means = {}
    for number in range(losses // release_every):
        name = f"v{number}"
        means[name] = rng.uniform(0.05, 0.6)
        if number and rng.random() < 0.7:
            detector = rebase(detector)
        detector, changes = update_batch(detector, (rng.random(release_every) < means[name]).astype(float), name, config)
        for change in alarms(changes):
            if means[name] > max(means[each] for each in change.detector.reference.checkpoints):
                true += 1
            else:
                false += 1
                later += change.detector.reference.number > 1
    return false, later, true


@pytest.mark.parametrize("release_every", [500, 2000, 20_000])
def test_false_alarms_of_later_references_keep_the_contract(release_every):
    """At most t / A false alarms in t losses: over releases, new references, and after alarms that ended. The real alarms show that it is awake."""
    config, losses, series = Drift(reference_size=100, arl_target=500.0, tolerance=0.0), 20_000, 60
    lives = np.array([life(seed, config, losses, release_every) for seed in range(series)])
    false, later, true = lives.sum(axis=0)
    error = lives[:, 0].std() * sqrt(series)
    print(
        f"\nreleases every {release_every}: {false} +- {error:.0f} false alarms ({later} of later references), {series * losses / 500:.0f} allowed, {true} real"
    )
    assert false + 3 * error < series * losses / config.arl_target
    assert true > 0 or release_every == losses


def test_false_alarms_per_month_over_series_that_come_and_go():
    """One budget, 60 applications' months: series begin at any time, live long or shortly, and overlap; what each spends is its losses / A."""
    budget, months = 20.0, 40
    counted, spent = [], 0
    for month in range(months):
        rng = np.random.default_rng(month)
        ages = np.maximum(1, rng.exponential(1500, 60)).astype(int)  # half of them end before 1000 losses, many within their first reference
        config = Drift(reference_size=100, arl_target=average_run_length(budget, 100_000), tolerance=0.0)
        draws = list(LOSSES.values())
        counted.append(sum(len(alarms(update_batch(Detector(), draws[rng.integers(len(draws))](rng, age), None, config)[1])) for age in ages))
        spent += ages.sum()
    allowed = budget * spent / 100_000
    error = np.std(counted) * sqrt(months)
    print(f"\n{months} months of 60 series: {sum(counted)} +- {error:.0f} false alarms, {allowed:.0f} allowed")
    assert sum(counted) + 3 * error < allowed


@pytest.mark.parametrize("name", LOSSES)
def test_confidence_sequences_cover_at_all_times(name):
    """The interval only narrows, so that it covers at all times when it covers in the end. Beside it what people do: peek at a Wald interval."""
    runs, n, missed, peeked, width = 300, 1000, 0, 0, []
    truth = {"coins 0.05": 0.05, "coins 0.5": 0.5, "ratings": 0.275}.get(name, 0.3)
    for seed in range(runs):
        values = LOSSES[name](np.random.default_rng(seed), n)
        found = betting_confidence_sequence(values)
        missed += found.ci_low is None or not found.ci_low <= truth <= found.ci_high
        width.append((found.ci_high or 1.0) - (found.ci_low or 0.0))
        counts = np.arange(1, n + 1)
        means = np.cumsum(values) / counts
        spread = np.sqrt(np.maximum(np.cumsum(values**2) / counts - means**2, 0.0) / counts)
        peeked += np.any(np.abs(means - truth)[29:] > 1.96 * spread[29:])
    beside = f"mean width {np.mean(width):.3f}; a Wald interval that is peeked at in {peeked / runs:.0%}"
    print(f"\n{name}: the confidence sequence misses in {missed / runs:.1%} (declared 5 %), {beside}")
    assert missed <= binom.ppf(0.999, runs, 0.05)
    assert peeked > 2 * binom.ppf(0.999, runs, 0.05)


def z_test(before, now):
    error = sqrt(np.var(before) / len(before) + np.var(now) / len(now))
    return (np.mean(now) - np.mean(before)) / error if error else 0.0


@pytest.mark.parametrize("shift", [0.15, 0.3])
def test_e_bh_keeps_the_false_discovery_rate_over_slices(shift):
    """Twenty slices of which five became worse, and 'all', which holds them; references of 200 are estimated. Beside it a z-test per slice."""
    fdr, runs, share, power, naive = 0.1, 200, [], [], []
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        levels = rng.uniform(0.05, 0.5, 20)
        worse = set(range(5))
        before = [(rng.random(200) < level).astype(float) for level in levels]
        now = [(rng.random(300) < level + shift * (place in worse)).astype(float) for place, level in enumerate(levels)]
        found = set(e_benjamini_hochberg([two_sample_e_value(*pair).value for pair in zip(before, now, strict=True)], fdr).rejected)
        share.append(len(found - worse) / max(len(found), 1))
        power.append(len(found & worse) / 5)
        tests = {place for place, pair in enumerate(zip(before, now, strict=True)) if z_test(*pair) > NormalDist().inv_cdf(0.95)}
        naive.append(len(tests - worse) / max(len(tests), 1))
    print(f"\nshift {shift}: false discovery rate {np.mean(share):.3f} (declared {fdr}), power {np.mean(power):.2f}; a z-test per slice {np.mean(naive):.2f}")
    assert np.mean(share) - 3 * np.std(share) / sqrt(runs) <= fdr
    assert np.mean(power) > (0.9 if shift == 0.3 else 0.1)


def test_the_two_sample_e_value_keeps_markovs_promise():
    """P(e >= 1 / a) <= a when nothing changed, whatever the losses."""
    for name, draw in LOSSES.items():
        values = []
        for seed in range(1000):
            rng = np.random.default_rng(seed)
            values.append(two_sample_e_value(draw(rng, 100), draw(rng, 200)).value)
        mean_e = np.mean(np.exp(values))
        print(f"\n{name}: mean e-value {mean_e:.3f} (at most 1), largest {exp(max(values)):.1f}")
        assert mean_e <= 1.0
        assert sum(value >= log(20) for value in values) <= binom.ppf(0.999, 1000, 0.05)


METRICS = {
    "lognormal": lambda rng, n: rng.lognormal(6.0, 0.8, n),
    "geometric": lambda rng, n: rng.geometric(0.2, n).astype(float),
    "normal": lambda rng, n: rng.normal(0.0, 1.0, n),
}


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("sizes", [(100, 100), (1000, 200), (200, 1000)])
def test_bands_keep_their_rate_of_false_warnings(name, sizes):
    runs, rate = 400, 0.05
    found = {}
    for statistic in (population_stability_index, jensen_shannon_divergence, wasserstein_distance):
        rng = np.random.default_rng(5)
        seen = [statistic(METRICS[name](rng, sizes[0]), METRICS[name](rng, sizes[1]), false_warning_rate=rate) for _ in range(runs)]
        found[statistic.__name__] = sum(each.state is DriftState.WARNING for each in seen)
        if statistic is population_stability_index:
            rule = sum(each.value > 0.1 for each in seen) / runs
    rates = ", ".join(f"{statistic} {count / runs:.3f}" for statistic, count in found.items())
    print(f"\n{name} {sizes}: {rates} (declared {rate}); index above 0.1 in {rule:.0%}")
    for count in found.values():
        assert count <= binom.ppf(0.999, runs, rate * 1.3)  # the bootstrap is right to second order: a third is allowed for that
        assert count >= binom.ppf(0.001, runs, rate * 0.5)


@pytest.mark.parametrize(("n", "m"), [(60, 60), (500, 100), (100, 500)])
def test_the_band_of_the_discrepancy_keeps_its_rate(n, m):
    runs, rate, warned = 600, 0.05, 0
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        rows = (rng.normal(size=(n + m, 32)) + 2.0 * np.eye(32)[rng.integers(0, 3, n + m)]).astype(np.float32)
        warned += maximum_mean_discrepancy(rows[:n], rows[n:], false_warning_rate=rate).state is DriftState.WARNING
    print(f"\n{n} against {m} embeddings: false warnings {warned / runs:.3f} (declared {rate})")
    assert binom.ppf(0.001, runs, rate * 0.5) <= warned <= binom.ppf(0.999, runs, rate * 1.3)
