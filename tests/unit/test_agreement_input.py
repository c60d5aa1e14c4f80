"""What the public functions take, and what they make of bad input: a defined result or an error that says what to do, never a made-up number."""

import math

import numpy as np
import pandas as pd
import pytest

from trueloop.agreement import (
    Evidence,
    cohen_kappa,
    fleiss_kappa,
    gwet_ac1,
    gwet_ac2,
    krippendorff_alpha,
    observed_agreement,
    span_alpha,
    span_f1,
)
from trueloop.events import Undefined

EVERY = [krippendorff_alpha, gwet_ac1, gwet_ac2, fleiss_kappa, observed_agreement, cohen_kappa]
UNITS, RATERS, VALUES = ["a", "a", "b", "b", "c", "c"], ["x", "y"] * 3, [1, 1, 2, 2, 1, 2]
every = pytest.mark.parametrize("coefficient", EVERY, ids=lambda coefficient: coefficient.__name__)


@every
def test_columns_and_frames_of_every_kind_are_the_same(coefficient):
    wanted = coefficient(UNITS, RATERS, VALUES)
    frame = pd.DataFrame({"unit": UNITS, "rater": RATERS, "value": VALUES})
    renamed = frame.rename(columns={"unit": "document", "value": "score"})
    assert coefficient(frame) == wanted
    assert coefficient({"unit": UNITS, "rater": RATERS, "value": VALUES}) == wanted
    assert coefficient(frame["unit"], frame["rater"], frame["value"]) == wanted
    assert coefficient("document", "rater", "score", data=renamed) == wanted
    assert coefficient(np.array(UNITS), np.array(RATERS), np.array(VALUES)) == wanted
    assert coefficient(iter(UNITS), iter(RATERS), iter(VALUES)) == wanted
    assert coefficient(frame.astype({"unit": "category", "rater": "string", "value": "Int64"})) == wanted


@every
@pytest.mark.parametrize("missing", [None, math.nan, np.nan, pd.NA, pd.NaT])
def test_missing_ratings_are_left_out(coefficient, missing):
    wanted = coefficient(UNITS, RATERS, VALUES)
    assert coefficient([*UNITS, "d", "d"], [*RATERS, "x", "y"], [*VALUES, missing, missing]) == wanted
    if coefficient is not cohen_kappa:  # the table of two raters has no use for a third
        assert coefficient([*UNITS, "a"], [*RATERS, "z"], [*VALUES, missing]) == wanted


@every
@pytest.mark.parametrize("rows", [[], [("a", "x", None), ("a", "y", None)], [("a", "x", 1), ("b", "y", 1)], [("a", "x", 1), ("b", "x", 2)]])
def test_no_pairs_are_no_evidence(coefficient, rows):
    """Nothing, all missing, units of one label, one rater: undefined, and not 0 or 1."""
    estimate = coefficient([row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows])
    assert (estimate.value, estimate.n, estimate.n_labels, estimate.interval, estimate.std_error) == (None, 0, 0, None, None)
    assert estimate.undefined is Undefined.NO_PAIRABLE_UNITS


def test_a_constant_column_shows_agreement_and_no_agreement_beyond_chance():
    constant = UNITS, RATERS, [3] * 6
    for coefficient in (krippendorff_alpha, fleiss_kappa, cohen_kappa, gwet_ac1, gwet_ac2):
        estimate = coefficient(*constant)
        assert (estimate.value, estimate.n, estimate.undefined) == (None, 3, Undefined.NO_VARIATION), coefficient
    assert observed_agreement(*constant).value == 1.0
    assert gwet_ac1(*constant, categories=[1, 2, 3]).value == 1.0  # raters could have chosen otherwise, and did not
    assert gwet_ac2(*constant, categories=[1, 2, 3]).value == 1.0


def test_a_rater_with_one_label_counts_for_what_he_said():
    estimate = krippendorff_alpha([*UNITS, "a"], [*RATERS, "z"], [*VALUES, 1])
    assert (estimate.n_units, estimate.n_labels) == (3, 7)
    assert krippendorff_alpha([*UNITS, "d"], [*RATERS, "z"], [*VALUES, 1]) == krippendorff_alpha(UNITS, RATERS, VALUES)


@every
def test_contradictions_are_refused_and_rows_named_but_not_quoted(coefficient):
    with pytest.raises(ValueError, match=r"row 6 is a second, different value of one rater for one unit") as refused:
        coefficient([*UNITS, "a"], [*RATERS, "x"], [*VALUES, 2])
    assert "'x'" not in str(refused.value)
    with pytest.raises(ValueError, match=r"row 6 has a value, but lacks its unit, rater or cluster"):
        coefficient([*UNITS, None], [*RATERS, "x"], [*VALUES, 2])
    with pytest.raises(ValueError, match=r"columns differ in length"):
        coefficient(UNITS, RATERS, VALUES[1:])
    with pytest.raises(ValueError, match=r"raters and values are not both given"):
        coefficient(UNITS, RATERS)
    with pytest.raises(ValueError, match=r"data has no column 'unit'"):
        coefficient(pd.DataFrame({"item": UNITS}))
    with pytest.raises(ValueError, match=r"row 1 puts its unit into a second cluster"):
        coefficient(UNITS, RATERS, VALUES, clusters=[1, 2, 3, 3, 4, 4])


@pytest.mark.parametrize("coefficient", [krippendorff_alpha, gwet_ac1, gwet_ac2, cohen_kappa])
def test_labels_off_the_scale_are_refused(coefficient):
    with pytest.raises(ValueError, match=r"values\[2\] is none of the 1 categories"):
        coefficient(UNITS, RATERS, VALUES, categories=[1])


@pytest.mark.parametrize("bad", [math.inf, -math.inf, "high", b"1", object()])
def test_numbers_have_to_be_numbers(bad):
    values = [*VALUES[:5], bad]
    for level in ("ordinal", "interval", "ratio"):
        with pytest.raises(ValueError, match=r"values\[5\] is a \w+ that is not a finite number"):
            krippendorff_alpha(UNITS, RATERS, values, level=level)
    for weights in ("ordinal", "linear", "quadratic", "ratio"):
        with pytest.raises(ValueError, match=r"values\[5\] is a \w+ that is not a finite number"):
            gwet_ac2(UNITS, RATERS, values, weights=weights)
        with pytest.raises(ValueError, match=r"values\[5\] is a \w+ that is not a finite number"):
            cohen_kappa(UNITS, RATERS, values, weights=weights)


def test_a_ratio_scale_has_nothing_below_zero():
    below = [*VALUES[:5], -1]
    with pytest.raises(ValueError, match=r"0 or above"):
        krippendorff_alpha(UNITS, RATERS, below, level="ratio")
    with pytest.raises(ValueError, match=r"0 or above"):
        gwet_ac2(UNITS, RATERS, below, weights="ratio")
    zeros = krippendorff_alpha(UNITS, RATERS, [0, 0, 2, 2, 0, 2], level="ratio")
    assert zeros.value == krippendorff_alpha(UNITS, RATERS, VALUES, level="nominal").value  # 0 is as far as can be from everything


def test_names_need_an_order_where_one_is_asked_for():
    grades = ["good", "good", "bad", "bad", "good", "bad"]
    assert krippendorff_alpha(UNITS, RATERS, grades).value == krippendorff_alpha(UNITS, RATERS, VALUES).value
    with pytest.raises(ValueError, match=r"name the categories in their order"):
        krippendorff_alpha(UNITS, RATERS, grades, level="ordinal")
    assert krippendorff_alpha(UNITS, RATERS, grades, level="ordinal", categories=["bad", "good"]).value is not None
    mixed = krippendorff_alpha(UNITS, RATERS, [None, "a", 1, ("t",), 1.5, True])
    assert mixed.n == 2


def test_wrong_choices_name_the_right_ones():
    with pytest.raises(ValueError, match="level is 'cardinal'; expected one of 'nominal', 'ordinal', 'interval', 'ratio'"):
        krippendorff_alpha(UNITS, RATERS, VALUES, level="cardinal")
    with pytest.raises(ValueError, match="weights is 'square'; expected one of 'ordinal', 'linear', 'quadratic', 'ratio'"):
        gwet_ac2(UNITS, RATERS, VALUES, weights="square")
    with pytest.raises(ValueError, match="weights is 'square'; expected None or one of"):
        cohen_kappa(UNITS, RATERS, VALUES, weights="square")
    with pytest.raises(ValueError, match="there are 3 raters; Cohen's kappa compares two"):
        cohen_kappa([*UNITS, "a"], [*RATERS, "z"], [*VALUES, 1])
    with pytest.raises(ValueError, match="weights is 'linear', but the evidence was counted with None"):
        gwet_ac2(Evidence(), weights="linear")
    with pytest.raises(ValueError, match="match is 'fuzzy'; expected 'exact' or 'character'"):
        span_f1(["d"], ["x"], [[]], match="fuzzy")


def test_evidence_without_what_an_interval_needs():
    evidence = Evidence(moments=None)
    for number in range(30):
        evidence.add(str(number), ((((1, 1 + number % 2), (2, 1)), 1),))
    alpha = krippendorff_alpha(evidence)
    assert (alpha.interval, alpha.undefined) == (None, Undefined.NOT_ESTIMATED)
    with pytest.raises(ValueError, match="evidence has no moments"):
        gwet_ac1(evidence)


@pytest.mark.parametrize("spans", [[(3, 2)], [(2, 2)], [(-1, 2)], [(0, 11)]])
def test_spans_outside_their_document_are_refused(spans):
    with pytest.raises(ValueError, match=r"row 1 has a span that is empty or lies outside its document"):
        span_alpha(["d", "d"], ["x", "y"], [[(0, 1)], spans], [10, 10])


def test_readings_that_contradict_each_other_are_refused():
    with pytest.raises(ValueError, match=r"row 1 is a second reading of one document by one rater"):
        span_f1(["d", "d"], ["x", "x"], [[], []])
    with pytest.raises(ValueError, match=r"row 1 gives its document a second length"):
        span_alpha(["d", "d"], ["x", "y"], [[], []], [10, 11])
    with pytest.raises(ValueError, match=r"row 0 has spans, but lacks its document or rater"):
        span_f1([None], ["x"], [[]])
    with pytest.raises(ValueError, match=r"raters, spans and lengths are not all given"):
        span_alpha(["d"], ["x"], [[]])
