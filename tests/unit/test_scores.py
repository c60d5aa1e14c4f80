"""Scores per item to sufficient statistics: against sums done by hand, and laws."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trueloop.gates.scores import paired_scores, slice_name

SCORES = st.dictionaries(st.sampled_from([f"item-{number}" for number in range(12)]), st.floats(0, 1), max_size=12)


def test_a_worked_table() -> None:
    # Both right on a, candidate alone on b, baseline alone on c, neither on d; e has only one score and is no pair.
    candidate = {"a": 1.0, "b": 1.0, "c": 0.0, "d": 0.0, "e": 1.0}
    baseline = {"a": 1.0, "b": 0.0, "c": 1.0, "d": 0.0}
    slices_of = {"a": {"mood": "rude"}, "b": {"mood": "polite"}, "c": {"mood": "rude"}, "d": {}}

    found = paired_scores("tone", "check:x", candidate, baseline, slices_of=slices_of, slices=("mood", "absent"))

    summary = {s.slice: (s.n, s.sum_candidate, s.sum_baseline, s.sum_candidate_squares, s.sum_baseline_squares, s.sum_products, s.binary) for s in found}
    assert summary == {
        "all": (4, 2.0, 2.0, 2.0, 2.0, 1.0, True),
        "mood=polite": (1, 1.0, 0.0, 1.0, 0.0, 0.0, True),
        "mood=rude": (2, 1.0, 2.0, 1.0, 2.0, 1.0, True),
    }
    assert [s.slice for s in found] == ["all", "mood=polite", "mood=rude"]


def test_no_common_item_is_no_evidence_and_not_zero() -> None:
    assert paired_scores("tone", "check:x", {"a": 1.0}, {"b": 1.0}, slices_of={}) == []
    assert paired_scores("tone", "check:x", {}, {}, slices_of={}) == []


def test_one_score_between_makes_it_not_binary() -> None:
    (found,) = paired_scores("tone", "preference-accuracy", {"a": 0.5, "b": 1.0}, {"a": 1.0, "b": 0.0}, slices_of={})

    assert not found.binary
    assert (found.sum_candidate, found.sum_candidate_squares, found.sum_products) == (1.5, 1.25, 0.5)


@pytest.mark.parametrize("wrong", [-0.01, 1.01, math.nan, math.inf])
def test_a_score_off_the_scale_names_evaluator_and_item(wrong: float) -> None:
    with pytest.raises(ValueError, match=r"check:x.*tone.*item-1"):
        paired_scores("tone", "check:x", {"item-1": wrong}, {"item-1": 1.0}, slices_of={})


@given(SCORES, SCORES)
def test_slices_that_cut_the_set_add_up_to_all(candidate: dict[str, float], baseline: dict[str, float]) -> None:
    slices_of = {item: {"half": str(len(item) % 2)} for item in candidate}

    whole, *parts = paired_scores("tone", "check:x", candidate, baseline, slices_of=slices_of, slices=("half",)) or [None]

    if whole is None:
        assert not candidate.keys() & baseline.keys()
        return
    assert whole.n == sum(part.n for part in parts)
    # Each sum is rounded once, so 12 parts differ by a few units in the last place.
    assert whole.sum_products == pytest.approx(math.fsum(part.sum_products for part in parts), abs=1e-12)


@given(SCORES, SCORES)
def test_swapping_the_two_models_swaps_their_sums(candidate: dict[str, float], baseline: dict[str, float]) -> None:
    for ours, theirs in zip(
        paired_scores("tone", "check:x", candidate, baseline, slices_of={}), paired_scores("tone", "check:x", baseline, candidate, slices_of={}), strict=True
    ):
        assert (ours.sum_candidate, ours.sum_baseline_squares, ours.sum_products) == (theirs.sum_baseline, theirs.sum_candidate_squares, theirs.sum_products)


def test_long_slice_values_fit_an_event_and_stay_apart() -> None:
    names = {slice_name("locale", "x" * 1000 + end) for end in ("a", "b")}

    assert len(names) == 2
    assert all(len(name) <= 256 for name in names)
