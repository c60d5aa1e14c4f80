"""What is told of a reward model: accuracy and calibration by hand, groups, and a packet that leads back to the published pairs."""

import math

import pytest
from trueloop.trainers.reward_quality import ScoredPair, audit_packet, metrics_of, quality, quality_by_group


def test_accuracy_brier_and_calibration_by_hand() -> None:
    sure, unsure = math.log(0.85 / 0.15), math.log(0.55 / 0.45)  # p = 0.85 and 0.55
    found = quality([sure, sure, sure, -sure, unsure, -unsure])
    assert found is not None
    assert found.accuracy == pytest.approx(4 / 6)
    assert found.brier == pytest.approx((3 * 0.15**2 + 0.85**2 + 0.45**2 + 0.55**2) / 6)
    assert [(n, round(confidence, 6), accuracy) for n, confidence, accuracy in found.bins] == [(2, 0.55, 0.5), (4, 0.85, 0.75)]
    assert found.ece == pytest.approx((2 * 0.05 + 4 * 0.1) / 6)


def test_no_pair_is_no_quality_and_equal_scores_are_half() -> None:
    assert quality([]) is None
    assert quality_by_group([]) == {}
    assert metrics_of({}) == {}
    equal = quality([0.0, 0.0])
    assert equal is not None
    assert (equal.accuracy, equal.ece) == (0.5, 0.0)
    extreme = quality([1e9, -1e9])
    assert extreme is not None
    assert extreme.brier == pytest.approx(0.5)


def pair(number: int, chosen: float, rejected: float, *, turned: bool = False, **outcomes: int) -> ScoredPair:
    return ScoredPair(f"pair-{number}", chosen, rejected, outcomes, {"lang": "de" if number % 2 else "en"}, turned)


def test_groups_follow_the_outcome_on_their_dimension() -> None:
    pairs = [pair(1, 2.0, 1.0, tone=1), pair(2, 2.0, 1.0, tone=-1), pair(3, 1.0, 2.0, tone=0)]
    groups = quality_by_group(pairs)
    assert {name: (found.n, found.accuracy) for name, found in groups.items()} == {
        "all": (3, pytest.approx(2 / 3)),
        "dimension:tone": (2, 0.5),
        "slice:lang=de": (2, 0.5),
        "slice:lang=en": (1, 1.0),
    }
    assert metrics_of(groups)["accuracy/dimension:tone"] == 0.5


def test_the_packet_names_completions_by_the_sides_of_the_published_pair() -> None:
    packet = audit_packet("tone", [pair(1, 5.0, -5.0), pair(2, 3.0, -9.0, turned=True)])
    assert packet["lowest"][0] == {"pair_id": "pair-2", "side": "chosen", "score": -9.0}
    assert packet["highest"][0] == {"pair_id": "pair-1", "side": "chosen", "score": 5.0}
    assert packet["quality"]["all"]["n"] == 2
