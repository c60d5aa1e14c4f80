"""Standard errors and intervals of agreement, against published values and slow definitions. Coverage is measured in test_agreement_coverage."""

import random
from hashlib import sha512
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from scipy.stats import t as student

from tests.unit import agreement_tables as tables
from tests.unit.agreement_tables import columns, of_contingency, of_counts
from tests.unit.test_agreement import CATEGORIES, TABLES, WEIGHTS, rated_units, slow_alpha, slow_chance, slow_weight
from trueloop.agreement import cohen_kappa, fleiss_kappa, gwet_ac1, gwet_ac2, krippendorff_alpha, observed_agreement
from trueloop.agreement.interval import MIN_CLUSTERS, t_quantile
from trueloop.agreement.replicates import POISSON, REPLICATES, poisson_weights
from trueloop.events import Undefined

RAW = columns(tables.KRIPPENDORFF_2011)
EVERY_UNIT_TWICE = columns(tables.KRIPPENDORFF_2011[:11])


def test_standard_errors_are_what_gwet_published():
    """As irrCAC gives them, on tables where every unit has two raters or more: distrib.6raters and cac.raw4raters without its unit of one rater."""
    fleiss = columns(of_counts(tables.FLEISS_1971[:15]))
    assert gwet_ac1(*fleiss).std_error == pytest.approx(0.0841875668, abs=5e-11)
    assert fleiss_kappa(*fleiss).std_error == pytest.approx(0.0811929092, abs=5e-11)
    assert gwet_ac1(*EVERY_UNIT_TWICE).std_error == pytest.approx(0.125271926003, abs=1e-10)
    assert gwet_ac2(*EVERY_UNIT_TWICE, weights="ordinal").std_error == pytest.approx(0.073242470854, abs=1e-10)
    assert gwet_ac1(*columns(of_contingency(tables.ABSTRACTORS))).std_error == pytest.approx(0.0434351891, abs=5e-11)


def slow_influences(table, coefficient, weights, categories, *, gwet):
    """The linearisation of each unit as irrCAC has it; without `gwet`, less the variation in which units have two raters."""
    units = [unit for unit in rated_units(table) if unit]
    n, pairable = len(units), [unit for unit in units if len(unit) > 1]
    chance = float(slow_chance(units, coefficient, weights, categories))
    shares = {value: sum(unit.count(value) / len(unit) for unit in units) / n for value in categories}
    total = float(sum(slow_weight(weights, categories, one, other) for one in categories for other in categories))
    q = len(categories)
    agreement = {}
    for place, unit in enumerate(units):
        pairs = [float(slow_weight(weights, categories, unit[i], unit[j])) for i in range(len(unit)) for j in range(i)]
        agreement[place] = sum(pairs) / len(pairs) if pairs else None
    observed = sum(found for found in agreement.values() if found is not None) / len(pairable)
    value = (observed - chance) / (1 - chance)
    influences = []
    for place, unit in enumerate(units):
        centre = chance if gwet else observed
        own = 0.0 if agreement[place] is None else n / len(pairable) * (agreement[place] - centre) / (1 - chance)
        if coefficient == "fleiss":
            by_chance = sum(shares[value] * unit.count(value) / len(unit) for value in categories)
        else:
            by_chance = total / (q * (q - 1)) * sum((1 - shares[value]) * unit.count(value) / len(unit) for value in categories)
        influences.append(own - (value if gwet else 0.0) - 2 * (1 - value) * (by_chance - chance) / (1 - chance))
    return influences


def test_gwet_also_counts_which_units_have_two_raters():
    """irrCAC prints 0.14295 for cac.raw4raters, whose last unit has one rater. Ours is the same linearisation without that variation."""
    published = slow_influences(tables.KRIPPENDORFF_2011, "gwet", None, [1, 2, 3, 4, 5], gwet=True)
    assert sqrt(sum(z * z for z in published) / (12 * 11)) == pytest.approx(0.14295, abs=5e-6)
    ours = slow_influences(tables.KRIPPENDORFF_2011, "gwet", None, [1, 2, 3, 4, 5], gwet=False)
    assert gwet_ac1(*RAW).std_error == pytest.approx(sqrt(sum(z * z for z in ours) * 11 / 10 / 12**2), rel=1e-9)


@settings(max_examples=50)
@given(TABLES)
def test_standard_errors_equal_their_definition(table):
    units = [unit for unit in rated_units(table) if unit]
    clusters = sum(len(unit) > 1 for unit in units)
    if clusters < 2:
        return
    ratings = columns(table)
    found = {("gwet", None): gwet_ac1(*ratings, categories=CATEGORIES), ("fleiss", None): fleiss_kappa(*ratings)}
    found |= {("gwet", weights): gwet_ac2(*ratings, categories=CATEGORIES, weights=weights) for weights in WEIGHTS}
    for (coefficient, weights), estimate in found.items():
        if estimate.value is None or estimate.value == 1:
            assert estimate.std_error is None
            continue
        influences = slow_influences(table, coefficient, weights, CATEGORIES, gwet=False)
        expected = sqrt(sum(z * z for z in influences) * clusters / (clusters - 1)) / len(units)
        assert (estimate.std_error or 0.0) == pytest.approx(expected, rel=1e-6, abs=1e-7)


def test_cohen_kappa_has_the_standard_error_of_fleiss_cohen_and_everitt():
    p = np.array(tables.FLEISS_COHEN_EVERITT_1969) / 200
    rows, cols = p.sum(1), p.sum(0)
    for weights, w in ((None, np.eye(3)), ("quadratic", 1 - (np.arange(3)[:, None] - np.arange(3)) ** 2 / 4)):
        observed, chance = (w * p).sum(), (w * np.outer(rows, cols)).sum()
        inner = (w * (1 - chance) - ((w @ cols)[:, None] + (rows @ w)[None, :]) * (1 - observed)) ** 2
        variance = ((p * inner).sum() - (observed * chance - 2 * chance + observed) ** 2) / (200 * (1 - chance) ** 4)
        estimate = cohen_kappa(*columns(of_contingency(tables.FLEISS_COHEN_EVERITT_1969)), weights=weights)
        assert estimate.value == pytest.approx((observed - chance) / (1 - chance), abs=1e-12)
        assert estimate.std_error == pytest.approx(sqrt(variance * 200 / 199), rel=1e-9)


def test_weights_of_the_bootstrap_are_a_hash_of_the_id():
    weights = poisson_weights("task-1")
    assert len(weights) == REPLICATES
    for replicate in (0, 63, 64, 255):
        byte = sha512(f"{replicate // 64}:task-1".encode()).digest()[replicate % 64]
        assert weights[replicate] == next(weight for weight in range(6) if byte < sum(POISSON[: weight + 1]))
    assert (poisson_weights("task-2") != weights).any()


def test_weights_of_the_bootstrap_are_poisson():
    """Mean and variance are exactly 1 by construction; over 2000 ids each count is where Poisson(1) has it, to four standard errors."""
    values, total = np.arange(6), sum(POISSON)
    assert total == 256
    assert sum(values * POISSON) == total
    assert sum(values**2 * POISSON) == 2 * total
    drawn = np.concatenate([poisson_weights(f"task-{number}") for number in range(2000)])
    for value, count in enumerate(POISSON):
        share = count / total
        assert (drawn == value).mean() == pytest.approx(share, abs=4 * sqrt(share * (1 - share) / len(drawn)))
    pairs = np.array([poisson_weights(f"task-{number}") for number in range(2000)])
    assert abs(np.corrcoef(pairs[:, 0], pairs[:, 1])[0, 1]) < 4 / sqrt(2000)
    assert abs(np.corrcoef(pairs[0], pairs[1])[0, 1]) < 4 / sqrt(REPLICATES)


@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval", "ratio"])
def test_the_standard_error_of_alpha_is_that_of_units_drawn_with_their_weights(level):
    """The bootstrap by its definition: each unit as often as its weight says, alpha by its definition."""
    chance = random.Random(7)
    table = [[1 + (truth + (chance.random() < 0.3) * chance.randrange(4)) % 4 for _ in range(chance.choice((1, 2, 3)))] for truth in range(24)]
    weights = np.array([poisson_weights(str(unit)) for unit in range(24)])
    replicates = 60  # the slow definition takes its time; the mean of these is compared below
    slow = [slow_alpha([row for row, weight in zip(table, weights[:, b], strict=True) for _ in range(int(weight))], level) for b in range(replicates)]
    from trueloop.agreement import Replicates, evidence_of
    from trueloop.agreement.evidence import Evidence
    from trueloop.agreement.ratings import ratings_of

    encoding = {"nominal": "names", "ordinal": "places", "interval": "numbers", "ratio": "amounts"}[level]
    evidence = evidence_of(ratings_of(*columns(table), encoding=encoding).clusters(), Evidence(moments=None, replicates=Replicates(level)))
    alphas = evidence.replicates.alphas()
    assert alphas[:replicates] == pytest.approx(slow, abs=1e-9)
    estimate, clusters = krippendorff_alpha(*columns(table), level=level), evidence.clusters
    assert estimate.std_error == pytest.approx(sqrt(alphas.var(ddof=1) * clusters / (clusters - 1)), rel=1e-9)


@pytest.mark.parametrize("probability", [0.9, 0.975, 0.995])
@pytest.mark.parametrize("df", [MIN_CLUSTERS - 1, 30, 100, 10_000])
def test_quantiles_of_student(probability, df):
    assert t_quantile(probability, df) == pytest.approx(student.ppf(probability, df), abs=1e-4 if probability > 0.99 else 1e-5)


def test_intervals_hold_their_estimate_and_narrow_with_units_and_widen_with_confidence():
    rows = of_contingency(tables.FLEISS_COHEN_EVERITT_1969)
    for coefficient in (krippendorff_alpha, gwet_ac1, fleiss_kappa, observed_agreement, cohen_kappa):
        estimate = coefficient(*columns(rows))
        assert -1 <= estimate.ci_low < estimate.value < estimate.ci_high <= 1
        wide = coefficient(*columns(rows), confidence=0.99)
        assert wide.ci_low < estimate.ci_low < estimate.ci_high < wide.ci_high
        few = coefficient(*columns(rows[::4]))
        assert few.ci_high - few.ci_low > 1.5 * (estimate.ci_high - estimate.ci_low)


def test_clusters_are_what_was_sampled():
    """Every unit ten times is no more evidence than once, when one says so."""
    chance = random.Random(5)
    once = [[1 + (chance.random() < 0.2 + 0.6 * (unit % 2)) for _ in range(3)] for unit in range(40)]
    tenfold = [ratings for ratings in once for _ in range(10)]
    units, raters, values = columns(tenfold)
    clusters = [unit // 10 for unit in units]
    for coefficient in (krippendorff_alpha, gwet_ac1, fleiss_kappa, observed_agreement):
        plain, careless, careful = coefficient(*columns(once)), coefficient(units, raters, values), coefficient(units, raters, values, clusters=clusters)
        assert (careful.n_units, careful.n_clusters) == (400, 40)
        assert careful.std_error == pytest.approx(plain.std_error, rel=0.05)
        assert careless.std_error == pytest.approx(plain.std_error / sqrt(10), rel=0.12)
    two = [[row[0], row[1]] for row in tenfold]
    units, raters, values = columns(two)
    assert cohen_kappa(units, raters, values, clusters=[unit // 10 for unit in units]).std_error == pytest.approx(
        cohen_kappa(*columns(two[::10])).std_error, rel=1e-9
    )


def test_no_interval_says_why():
    few = krippendorff_alpha(*RAW)
    assert (few.interval, few.undefined, few.n_clusters) == (None, Undefined.TOO_FEW_UNITS, 11)
    assert few.std_error is not None
    alike = gwet_ac1(*columns([["a", "a"]] * 20 + [["b", "b"]] * 20))
    assert (alike.value, alike.interval, alike.std_error, alike.undefined) == (1.0, None, None, Undefined.NO_VARIATION)
    one = observed_agreement(*columns([[1, 2]]))
    assert (one.value, one.std_error, one.undefined) == (0.0, None, Undefined.TOO_FEW_UNITS)
    hangs_on_one = krippendorff_alpha(*columns([[1, 1]] * 40 + [[2, 2]]))
    assert (hangs_on_one.value, hangs_on_one.interval, hangs_on_one.undefined) == (1.0, None, Undefined.NO_VARIATION)
    with pytest.raises(ValueError, match="confidence is 95"):
        gwet_ac1(*RAW, confidence=95)
