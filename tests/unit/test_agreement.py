"""Agreement coefficients against the literature, against slow definitions, and against the laws that make them work on a stream."""

import random
from collections import Counter
from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit import agreement_tables as tables
from tests.unit.agreement_tables import columns, of_contingency, of_counts
from trueloop.agreement import (
    Evidence,
    Moments,
    Replicates,
    cohen_kappa,
    evidence_of,
    fleiss_kappa,
    gwet_ac1,
    gwet_ac2,
    krippendorff_alpha,
    observed_agreement,
)
from trueloop.agreement.pattern import pattern_of

LEVELS = ("nominal", "ordinal", "interval", "ratio")
WEIGHTS = ("ordinal", "linear", "quadratic", "ratio")
RAW = columns(tables.KRIPPENDORFF_2011)
FLEISS_15 = columns(of_counts(tables.FLEISS_1971[:15]))
THREE_BY_THREE = columns(of_contingency(tables.ABSTRACTORS))


# The literature.


@pytest.mark.parametrize(("level", "published"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849), ("ratio", 0.797)])
def test_alpha_is_what_krippendorff_published_in_2011(level, published):
    estimate = krippendorff_alpha(*RAW, level=level)
    assert estimate.value == pytest.approx(published, abs=0.0005)  # three digits are printed
    assert (estimate.n, estimate.n_labels) == (11, 40)  # unit 12 has one rating and cannot agree


def test_alpha_of_two_observers_is_what_krippendorff_published_in_2004():
    """Content Analysis, section 11.3.1: 0.095. Nominal data of two observers, in Krippendorff (2011), section B: 0.692."""
    assert krippendorff_alpha(*columns(tables.JON_AND_HAN)).value == pytest.approx(0.095, abs=0.0005)
    assert krippendorff_alpha(*columns(tables.BEN_AND_GERRY)).value == pytest.approx(0.692, abs=0.0005)


@pytest.mark.parametrize(("level", "published"), [("nominal", 0.477), ("ordinal", 0.7598), ("interval", 0.757)])
def test_alpha_is_what_hayes_and_krippendorff_published_in_2007(level, published):
    """0.7598 is printed in the paper, the others are what their macro gives for its table 1.

    The interval that they print, 0.7078 to 0.8078, draws pairs of ratings as if a unit's pairs were independent; ours draws units.
    """
    estimate = krippendorff_alpha(*columns(tables.HAYES_2007), level=level)
    assert estimate.value == pytest.approx(published, abs=0.0005)
    assert (estimate.n_units, estimate.n_labels) == (40, 159)


def test_fleiss_kappa_is_what_fleiss_published_in_1971():
    """0.430, from an observed agreement of 0.5556 and one by chance of 0.2199."""
    ratings = columns(of_counts(tables.FLEISS_1971))
    assert fleiss_kappa(*ratings).value == pytest.approx(0.430, abs=0.0005)
    assert observed_agreement(*ratings).value == pytest.approx(0.5556, abs=0.00005)


def test_cohen_kappa_is_what_cohen_published():
    """0.492 for 200 cases (Cohen 1960, 1968). Fleiss, Cohen and Everitt (1969): 0.429 with a standard error of 0.054."""
    assert cohen_kappa(*columns(of_contingency(tables.COHEN_1960))).value == pytest.approx(0.492, abs=0.0005)
    estimate = cohen_kappa(*columns(of_contingency(tables.FLEISS_COHEN_EVERITT_1969)))
    assert estimate.value == pytest.approx(0.429, abs=0.0005)
    assert estimate.std_error == pytest.approx(0.054, abs=0.0005)


def test_the_paradoxes_of_kappa():
    """Feinstein and Cicchetti (1990), Gwet (2008): 94 % agreement with kappa below 0, and 85 % with kappa 0.70 or 0.32 as one value prevails."""
    expected = {
        "PARADOX_OF_PREVALENCE": (0.944, -0.0234, 0.9408),
        "BALANCED": (0.85, 0.6995, 0.7007),
        "PREVALENT": (0.85, 0.3182, 0.8080),
    }
    for name, (observed, kappa, ac1) in expected.items():
        ratings = columns(of_contingency(getattr(tables, name)))
        assert observed_agreement(*ratings).value == pytest.approx(observed, abs=1e-12)
        assert cohen_kappa(*ratings).value == pytest.approx(kappa, abs=5e-5)
        assert gwet_ac1(*ratings).value == pytest.approx(ac1, abs=5e-5)


def test_coefficients_are_what_gwet_published():
    """Values as printed in the documentation of Gwet's irrCAC, to all digits given there."""
    assert observed_agreement(*RAW).value == pytest.approx(0.8181818, abs=5e-8)
    assert gwet_ac1(*RAW).value == pytest.approx(0.77544, abs=5e-6)
    assert fleiss_kappa(*RAW).value == pytest.approx(0.76117, abs=5e-6)
    assert krippendorff_alpha(*RAW).value == pytest.approx(0.74342, abs=5e-6)
    assert observed_agreement(*FLEISS_15).value == pytest.approx(0.5511111, abs=5e-8)
    assert gwet_ac1(*FLEISS_15).value == pytest.approx(0.4448007, abs=5e-8)
    assert krippendorff_alpha(*FLEISS_15).value == pytest.approx(0.4204384, abs=5e-8)
    assert observed_agreement(*THREE_BY_THREE).value == pytest.approx(0.89, abs=1e-12)
    assert gwet_ac1(*THREE_BY_THREE).value == pytest.approx(0.8493305, abs=5e-8)
    assert krippendorff_alpha(*THREE_BY_THREE).value == pytest.approx(0.7972585, abs=5e-8)


def test_small_table_by_hand():
    """Units {1,1} {1,2} {2,2}: n = 6, n_1 = n_2 = 3, o_12 = 1; alpha = 1 - (6 - 1) 1 / (3 * 3) = 4/9. p_o = 2/3; AC1 with q = 2:

    p_e = 1/2 * 1/2 + 1/2 * 1/2 = 1/2, so (2/3 - 1/2) / (1/2) = 1/3. Fleiss' p_e is 1/2 as well, and so is Cohen's when the raters split 2 : 1.
    """
    ratings = columns([[1, 1], [1, 2], [2, 2]])
    assert krippendorff_alpha(*ratings).value == 4 / 9
    assert observed_agreement(*ratings).value == 2 / 3
    assert gwet_ac1(*ratings).value == pytest.approx(1 / 3)
    assert fleiss_kappa(*ratings).value == pytest.approx(1 / 3)
    assert cohen_kappa(*ratings).value == pytest.approx((2 / 3 - 4 / 9) / (5 / 9))  # p_e = 2/3 * 1/3 + 1/3 * 2/3


# Slow definitions.


def rated_units(table):
    return [[value for value in ratings if value is not None] for ratings in table]


def slow_alpha(table, level):
    """Alpha by its definition: every ordered pair of values of a unit, against every ordered pair of all values."""
    units = [unit for unit in rated_units(table) if len(unit) > 1]
    pooled = [value for unit in units for value in unit]
    n = len(pooled)

    def distance(c, k):
        if level == "nominal":
            return Fraction(c != k)
        if level == "interval":
            return Fraction((c - k) ** 2)
        if level == "ratio":
            return Fraction(0) if c == k else Fraction((c - k) ** 2, (c + k) ** 2)
        low, high = min(c, k), max(c, k)
        between = sum(1 for value in pooled if low <= value <= high)
        return (between - Fraction(pooled.count(c) + pooled.count(k), 2)) ** 2

    observed = sum(sum(distance(c, k) for i, c in enumerate(unit) for j, k in enumerate(unit) if i != j) / (len(unit) - 1) for unit in units) / n
    expected = sum(distance(c, k) for i, c in enumerate(pooled) for j, k in enumerate(pooled) if i != j) / Fraction(n * (n - 1))
    return None if expected == 0 else float(1 - observed / expected)


def slow_weight(weights, categories, one, other):
    q, low, high = len(categories), min(categories), max(categories)
    steps = abs(categories.index(one) - categories.index(other))
    if weights is None:
        return Fraction(one == other)
    if weights == "ordinal":
        return 1 - Fraction(steps * (steps + 1), q * (q - 1))
    if weights == "linear":
        return 1 - Fraction(abs(one - other), high - low)
    if weights == "quadratic":
        return 1 - Fraction((one - other) ** 2, (high - low) ** 2)
    return Fraction(1) if one == other else 1 - Fraction((one - other) ** 2, (one + other) ** 2) / Fraction((high - low) ** 2, (high + low) ** 2)


def slow_agreement(units, weights, categories):
    pairs = [[slow_weight(weights, categories, u[i], u[j]) for i in range(len(u)) for j in range(i)] for u in units if len(u) > 1]
    return sum(sum(found) / len(found) for found in pairs) / len(pairs)


def slow_chance(units, coefficient, weights, categories):
    """Chance agreement of Gwet's AC and of Fleiss' kappa, unit by unit: the mean over units is the estimate."""
    q = len(categories)
    total = sum(slow_weight(weights, categories, one, other) for one in categories for other in categories)
    shares = {value: sum(Fraction(unit.count(value), len(unit)) for unit in units) / len(units) for value in categories}
    if coefficient == "fleiss":
        return sum(share * share for share in shares.values())
    return total * sum(share * (1 - share) for share in shares.values()) / (q * (q - 1))


def slow_corrected(table, coefficient, weights, categories):
    units = [unit for unit in rated_units(table) if unit]
    chance = slow_chance(units, coefficient, weights, categories)
    return None if chance == 1 else float((slow_agreement(units, weights, categories) - chance) / (1 - chance))


CATEGORIES = [1, 2, 3, 4]
TABLES = st.lists(st.lists(st.sampled_from([None, *CATEGORIES]), min_size=4, max_size=4), min_size=1, max_size=9)
COMPLETE = st.lists(st.tuples(st.sampled_from(CATEGORIES), st.sampled_from(CATEGORIES)), min_size=1, max_size=12)


@settings(max_examples=60)  # a busy machine is no failure
@given(TABLES)
def test_every_coefficient_equals_its_definition(table):
    ratings = columns(table)
    pairable = any(len(unit) > 1 for unit in rated_units(table))
    for level in LEVELS:
        found, expected = krippendorff_alpha(*ratings, level=level).value, slow_alpha(table, level) if pairable else None
        assert found is None if expected is None else found == pytest.approx(expected, abs=1e-12)
    for weights in (None, *WEIGHTS):
        ac = gwet_ac1(*ratings, categories=CATEGORIES) if weights is None else gwet_ac2(*ratings, weights=weights, categories=CATEGORIES)
        expected = slow_corrected(table, "gwet", weights, CATEGORIES) if pairable else None
        # Distances on a ratio scale are rounded to 2^-40, so that they add exactly.
        assert ac.value is None if expected is None else ac.value == pytest.approx(expected, abs=1e-10 if weights == "ratio" else 1e-12)
    expected = slow_corrected(table, "fleiss", None, CATEGORIES) if pairable else None
    assert fleiss_kappa(*ratings).value is None if expected is None else fleiss_kappa(*ratings).value == pytest.approx(expected, abs=1e-12)


@settings(max_examples=60)
@given(COMPLETE)
def test_cohen_kappa_equals_its_definition(table):
    n, ones, others = len(table), Counter(one for one, _ in table), Counter(other for _, other in table)
    for weights in (None, *WEIGHTS):
        # The scale ends where the values do: Cohen's weights depend on it only by a factor, which cancels.
        apart = {(a, b): 1 - slow_weight(weights, CATEGORIES, a, b) for a, b in product(CATEGORIES, CATEGORIES)}
        expected = sum(ones[a] * others[b] * apart[a, b] for a, b in apart)
        found = cohen_kappa(*columns(table), weights=weights, categories=CATEGORIES).value
        if expected == 0:
            assert found is None
        else:
            assert found == pytest.approx(float(1 - n * sum(apart[pair] for pair in table) / expected), abs=1e-10)


# Laws.


def members_of(units):
    return tuple((pattern_of(Counter(unit)), 1) for unit in units)


def counted(clusters, level="ordinal", weights="ordinal"):
    return evidence_of(((str(name), members_of(units)) for name, units in clusters), Evidence(moments=Moments(weights), replicates=Replicates(level)))


def told(evidence, level="ordinal"):
    """Everything that is told of evidence, to the last bit."""
    return (
        krippendorff_alpha(evidence, level=level),
        gwet_ac1(evidence, categories=CATEGORIES),
        gwet_ac2(evidence, categories=CATEGORIES, weights="ordinal"),
        fleiss_kappa(evidence),
        observed_agreement(evidence),
        evidence.canonical(),
    )


CLUSTERS = st.dictionaries(
    st.integers(0, 60), st.lists(st.lists(st.sampled_from(CATEGORIES), min_size=1, max_size=4), min_size=1, max_size=2), min_size=1, max_size=30
)


@settings(max_examples=40)
@given(CLUSTERS, st.randoms(use_true_random=False))
def test_panes_merge_into_the_batch_in_any_order(clusters, chance):
    items = list(clusters.items())
    whole = counted(items)
    shuffled = chance.sample(items, len(items))
    cut = chance.randrange(len(items) + 1)
    merged = counted(shuffled[:cut])
    merged.merge(counted(shuffled[cut:]))
    assert told(merged) == told(whole) == told(counted(shuffled))


@settings(max_examples=40)
@given(CLUSTERS, CLUSTERS)
def test_taking_away_what_was_added_is_an_identity(clusters, others):
    there = counted(clusters.items())
    before = told(there)
    other = counted((f"other-{name}", units) for name, units in others.items())
    there.merge(other)
    for name, units in others.items():
        there.add(f"other-{name}", members_of(units), -1)
    assert told(there) == before
    empty = counted(clusters.items())
    empty.merge(counted(clusters.items()), -1)
    assert told(empty) == told(counted(()))


def test_only_what_was_added_can_be_taken_away():
    with pytest.raises(ValueError, match="only what was added can be removed"):
        counted([("a", [[1, 2]])]).add("b", members_of([[1, 1]]), -1)


@settings(max_examples=40)
@given(TABLES, st.randoms(use_true_random=False))
def test_order_of_rows_and_names_of_raters_do_not_matter_and_a_doubled_row_counts_once(table, chance):
    rows = [(unit, rater, value) for unit, ratings in enumerate(table) for rater, value in enumerate(ratings)]
    names = chance.sample(["x", "y", "z", "w"], 4)
    other = [(unit, names[rater], value) for unit, rater, value in chance.sample(rows, len(rows)) + rows[:5]]
    for coefficient in (krippendorff_alpha, gwet_ac1, fleiss_kappa, observed_agreement):
        assert coefficient(*zip(*rows, strict=True)) == coefficient(*zip(*other, strict=True))


@settings(max_examples=40)
@given(TABLES, st.permutations(CATEGORIES))
def test_nominal_coefficients_do_not_depend_on_the_names_of_the_values(table, names):
    renamed = [[None if value is None else f"category {names[value - 1]}" for value in ratings] for ratings in table]
    assert krippendorff_alpha(*columns(table)) == krippendorff_alpha(*columns(renamed))
    for coefficient in (gwet_ac1, fleiss_kappa, observed_agreement):
        assert coefficient(*columns(table)).value == pytest.approx(coefficient(*columns(renamed)).value, abs=1e-12, nan_ok=True) or not any(
            len(unit) > 1 for unit in rated_units(table)
        )


@settings(max_examples=40)
@given(TABLES)
def test_interval_alpha_does_not_depend_on_shift_and_ordinal_only_on_order(table):
    def mapped(change):
        return columns([[None if value is None else change(value) for value in ratings] for ratings in table])

    interval, ordinal = krippendorff_alpha(*columns(table), level="interval"), krippendorff_alpha(*columns(table), level="ordinal")
    assert krippendorff_alpha(*mapped(lambda value: 3 * value + 7), level="interval").value == interval.value
    assert krippendorff_alpha(*mapped(lambda value: value**3), level="ordinal") == ordinal
    assert krippendorff_alpha(*mapped("abcde".__getitem__), level="ordinal", categories="abcde").value == ordinal.value
    ratio = krippendorff_alpha(*columns(table), level="ratio").value
    scaled = krippendorff_alpha(*mapped(lambda value: 2.5 * value), level="ratio").value
    assert ratio is scaled if ratio is None else scaled == pytest.approx(ratio, abs=1e-12)


@settings(max_examples=60)
@given(TABLES)
def test_coefficients_stay_in_range(table):
    ratings = columns(table)
    for estimate in (*(krippendorff_alpha(*ratings, level=level) for level in LEVELS), gwet_ac1(*ratings), observed_agreement(*ratings)):
        assert estimate.value is None or -1.0 <= estimate.value <= 1.0
    for estimate in (fleiss_kappa(*ratings), *(gwet_ac2(*ratings, weights=weights) for weights in WEIGHTS)):
        assert estimate.value is None or estimate.value <= 1.0


def test_many_raters_stay_exact():
    """Thirty sizes of units have a common denominator of 13 digits: beside the counts more than a float holds."""
    units = [[1] * (m // 2 + 1) + [2] * (m - m // 2) for m in range(1, 31)]
    whole, part = counted(enumerate([unit] for unit in units)), counted(enumerate([unit] for unit in units[:15]))
    rest = counted(enumerate(([unit] for unit in units[15:]), start=15))
    whole.merge(rest, -1)
    assert whole.canonical() == part.canonical()
    part.merge(rest)
    assert krippendorff_alpha(part).value == pytest.approx(slow_alpha(units, "nominal"), abs=1e-12)


def test_values_that_are_not_whole_and_have_a_large_offset_keep_their_digits():
    chance = random.Random(3)
    table = [[1e6 + round(truth + chance.gauss(0, 0.3), 3) for _ in range(3)] for truth in (chance.gauss(0, 1) for _ in range(40))]
    shifted = [[value - 1e6 for value in ratings] for ratings in table]
    there, here = krippendorff_alpha(*columns(table), level="interval"), krippendorff_alpha(*columns(shifted), level="interval")
    assert there.value == pytest.approx(here.value, abs=1e-9)
    assert there.interval == pytest.approx(here.interval, abs=1e-6)
    assert 0.8 < here.value < 1
