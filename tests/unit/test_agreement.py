"""Agreement coefficients against the literature, against slow definitions, and against the laws that make them work on a stream."""

import random
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trueloop.agreement import Coincidences, ac1, alpha, krippendorff_alpha, merge, observed_agreement, tally
from trueloop.events import Undefined

# Krippendorff (2011), section C: 4 observers x 12 units; the same data as Gwet's cac.raw4raters.
KRIPPENDORFF_2011 = [
    [1, 1, 1], [2, 2, 3, 2], [3, 3, 3, 3], [3, 3, 3, 3], [2, 2, 2, 2], [1, 2, 3, 4], [4, 4, 4, 4], [1, 1, 2, 1], [2, 2, 2, 2],
    [5, 5, 5], [1, 1], [3],
]  # fmt: skip
# Fleiss (1971), first 15 patients, 6 raters, 5 diagnoses; Gwet's distrib.6raters.
FLEISS_1971 = [
    {4: 6}, {2: 3, 5: 3}, {2: 1, 3: 4, 5: 1}, {5: 6}, {2: 3, 4: 3}, {1: 2, 3: 4}, {3: 4, 5: 2}, {1: 2, 3: 3, 4: 1}, {1: 2, 4: 4}, {5: 6},
    {1: 1, 4: 5}, {1: 1, 2: 1, 4: 4}, {2: 3, 3: 3}, {1: 1, 4: 5}, {2: 2, 4: 3, 5: 1},
]  # fmt: skip
# Gwet's cont3x3abstractors: 2 raters, 100 patients, as a contingency table.
ABSTRACTORS = [[13, 0, 0], [0, 20, 7], [0, 4, 56]]
LEVELS = ("nominal", "ordinal", "interval")


def of(units):
    return tally(Counter(unit) for unit in units)


def slow_alpha(units, level):
    """Alpha by its definition: every ordered pair of values of a unit, against every ordered pair of all values."""
    units = [unit for unit in units if len(unit) > 1]
    pooled = [value for unit in units for value in unit]
    n = len(pooled)

    def distance(c, k):
        if level == "nominal":
            return Fraction(c != k)
        if level == "interval":
            return Fraction((c - k) ** 2)
        low, high = min(c, k), max(c, k)
        between = sum(1 for value in pooled if low <= value <= high)
        return (between - Fraction(pooled.count(c) + pooled.count(k), 2)) ** 2

    observed = sum(sum(distance(c, k) for i, c in enumerate(unit) for j, k in enumerate(unit) if i != j) / (len(unit) - 1) for unit in units) / n
    expected = sum(distance(c, k) for i, c in enumerate(pooled) for j, k in enumerate(pooled) if i != j) / Fraction(n * (n - 1))
    return None if expected == 0 else float(1 - observed / expected)


def slow_p_o(units):
    shares = [
        Fraction(sum(unit[i] == unit[j] for i in range(len(unit)) for j in range(i)), len(unit) * (len(unit) - 1) // 2) for unit in units if len(unit) > 1
    ]
    return sum(shares) / len(shares)


def slow_ac1(units, q):
    units = [unit for unit in units if unit]
    shares = [sum(Fraction(unit.count(value), len(unit)) for unit in units) / len(units) for value in {v for unit in units for v in unit}]
    chance = sum(share * (1 - share) for share in shares) / (q - 1)
    return float((slow_p_o(units) - chance) / (1 - chance))


@pytest.mark.parametrize(("level", "published"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_is_what_krippendorff_published(level, published):
    estimate = alpha(of(KRIPPENDORFF_2011), level)
    assert estimate.value == pytest.approx(published, abs=0.0005)  # three digits are printed
    assert (estimate.n_units, estimate.n_labels) == (11, 40)  # unit 12 has one rating and cannot agree


def test_coefficients_are_what_gwet_published():
    """Values as printed in the documentation of Gwet's irrCAC, to all digits given there."""
    raw, fleiss = of(KRIPPENDORFF_2011), tally(FLEISS_1971)
    table = tally(Counter((row, column)) for row in range(3) for column in range(3) for _ in range(ABSTRACTORS[row][column]))
    assert observed_agreement(raw).value == pytest.approx(0.8181818, abs=5e-8)
    assert ac1(raw).value == pytest.approx(0.77544, abs=5e-6)
    assert alpha(raw, "nominal").value == pytest.approx(0.74342, abs=5e-6)
    assert observed_agreement(fleiss).value == pytest.approx(0.5511111, abs=5e-8)
    assert ac1(fleiss).value == pytest.approx(0.4448007, abs=5e-8)
    assert alpha(fleiss, "nominal").value == pytest.approx(0.4204384, abs=5e-8)
    assert observed_agreement(table).value == pytest.approx(0.89, abs=1e-12)
    assert ac1(table).value == pytest.approx(0.8493305, abs=5e-8)
    assert alpha(table, "nominal").value == pytest.approx(0.7972585, abs=5e-8)


def test_small_table_by_hand():
    """Units {1,1} {1,2} {2,2}: n = 6, n_1 = n_2 = 3, o_12 = 1; alpha = 1 - (6 - 1) 1 / (3 * 3) = 4/9. p_o = 2/3; AC1 with q = 2:

    p_e = 1/2 * 1/2 + 1/2 * 1/2 = 1/2, so (2/3 - 1/2) / (1/2) = 1/3.
    """
    state = of([[1, 1], [1, 2], [2, 2]])
    assert alpha(state, "nominal").value == 4 / 9
    assert observed_agreement(state).value == 2 / 3
    assert ac1(state).value == 1 / 3


def test_columns_are_the_same_code_and_a_doubled_row_counts_once():
    rows = [(unit, rater, value) for unit, ratings in enumerate(KRIPPENDORFF_2011) for rater, value in enumerate(ratings)]
    shuffled = rows + rows[:7]
    random.Random(3).shuffle(shuffled)
    for level in LEVELS:
        assert krippendorff_alpha(*zip(*shuffled, strict=True), level=level) == alpha(of(KRIPPENDORFF_2011), level)


def test_columns_refuse_two_values_of_one_rater_and_unequal_lengths():
    with pytest.raises(ValueError, match=r"rater 'x' gave unit 'a' two values, 1 and 2"):
        krippendorff_alpha(["a", "a"], ["x", "x"], [1, 2])
    with pytest.raises(ValueError, match="shorter"):
        krippendorff_alpha(["a", "a"], ["x"], [1, 2])


def test_no_evidence_is_not_zero():
    for state in (Coincidences(), of([[1], [2]]), tally([{}])):
        for estimate in (alpha(state, "nominal"), alpha(state, "ordinal"), ac1(state), observed_agreement(state)):
            assert (estimate.value, estimate.n_units, estimate.n_labels, estimate.undefined) == (None, 0, 0, Undefined.NO_PAIRABLE_UNITS)
    equal = of([[3, 3, 3], [3, 3]])
    for level in LEVELS:
        assert (alpha(equal, level).value, alpha(equal, level).undefined) == (None, Undefined.NO_VARIATION)
    assert alpha(equal, "nominal").n_labels == 5
    assert observed_agreement(equal).value == 1.0
    assert ac1(equal).undefined is Undefined.NO_VARIATION
    assert ac1(equal, categories=5).value == 1.0  # raters could have chosen otherwise, and did not


def test_one_skewed_table_shows_why_ac1_stands_beside_alpha():
    """94 of 100 units agreed on the same value, 6 split: raters agree, and alpha says that chance would do as well."""
    state = tally([{1: 2}] * 94 + [{1: 1, 2: 1}] * 6)
    assert observed_agreement(state).value == 0.94
    assert alpha(state, "nominal").value == pytest.approx(-0.025, abs=0.01)
    assert ac1(state).value == pytest.approx(0.94, abs=0.01)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="level is 'ratio'"):
        alpha(of([[1, 2]]), "ratio")
    with pytest.raises(ValueError, match="3 different values"):
        ac1(of([[1, 2, 3]]), categories=2)
    with pytest.raises(ValueError, match="at least 1 rater"):
        tally([{1: 0}])
    with pytest.raises(ValueError, match="only units that were added"):
        of([[1, 2]]).remove({1: 2})
    with pytest.raises(ValueError, match="version 2"):
        Coincidences.load('{"version":2,"units":[],"values":[],"pairs":[]}')


UNITS = st.lists(st.lists(st.integers(-2, 3), min_size=1, max_size=5), min_size=1, max_size=12)


@settings(deadline=None)  # a busy machine is no failure
@given(UNITS)
def test_every_prefix_equals_the_definition(units):
    state = Coincidences()
    for end, unit in enumerate(units, start=1):
        state = Coincidences.load(state.add(Counter(unit)).dump())  # through storage at each step
        seen = units[:end]
        if not any(len(u) > 1 for u in seen):
            assert alpha(state, "nominal").value is None
            continue
        # Both sides are exact until one last division, so the tolerance is a rounding or two.
        for level in LEVELS:
            expected = slow_alpha(seen, level)
            found = alpha(state, level).value
            assert found is None if expected is None else found == pytest.approx(expected, abs=1e-12)
        assert observed_agreement(state).value == pytest.approx(float(slow_p_o(seen)), abs=1e-12)
        assert ac1(state, categories=6).value == pytest.approx(slow_ac1(seen, 6), abs=1e-12)


@settings(deadline=None)
@given(UNITS, UNITS)
def test_merge_is_concatenation_and_order_does_not_matter(left, right):
    assert merge([of(left), of(right)]) == of(left + right) == of(right[::-1] + left[::-1])
    assert of(left + right).dump() == of(right + left).dump()


@settings(deadline=None)
@given(UNITS, UNITS)
def test_removing_what_was_added_is_an_identity(units, others):
    state = of(units)
    there = state
    for unit in others:
        there = there.add(Counter(unit))
    for unit in random.Random(5).sample(others, len(others)):
        there = there.remove(Counter(unit))
    assert there == state
    assert there.dump() == state.dump()
    assert of(units) - of(units) == Coincidences()


@settings(deadline=None)
@given(UNITS, st.permutations(range(-2, 4)))
def test_nominal_alpha_does_not_depend_on_names(units, names):
    renamed = [[names[value + 2] for value in unit] for unit in units]
    assert alpha(of(units), "nominal") == alpha(of(renamed), "nominal")
    assert ac1(of(units)) == ac1(of(renamed))


@settings(deadline=None)
@given(UNITS)
def test_interval_alpha_does_not_depend_on_shift_and_ordinal_only_on_order(units):
    state = of(units)
    assert alpha(state, "interval") == alpha(of([[3 * value + 7 for value in unit] for unit in units]), "interval")
    assert alpha(state, "ordinal") == alpha(of([[value**3 for value in unit] for unit in units]), "ordinal")


@settings(deadline=None)
@given(UNITS)
def test_coefficients_stay_in_range(units):
    for estimate in (*(alpha(of(units), level) for level in LEVELS), ac1(of(units))):
        assert estimate.value is None or -1.0 <= estimate.value <= 1.0


def test_many_raters_stay_exact():
    """Forty sizes of units have a common denominator of 16 digits, more than a float holds beside the counts."""
    units = [{1: m // 2 + 1, 2: m - m // 2} for m in range(1, 41)]
    state = tally(units)
    assert state - tally(units[20:]) == tally(units[:20])
    assert alpha(state, "nominal").value == pytest.approx(slow_alpha([list(Counter(u).elements()) for u in units], "nominal"), abs=1e-12)
