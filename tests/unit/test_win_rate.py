"""What people's answers prove, looked at after every one of them."""

from itertools import permutations

import numpy as np
import pytest

from trueloop.gates.win_rate import WinRate, answered

ALPHA = 0.05


def answers(rate: float, ties: float, n: int, random: np.random.Generator) -> tuple[float, ...]:
    """Answers with this win rate, of which a share are ties."""
    won = (rate - 0.5 * ties) / (1.0 - ties)
    return tuple(np.where(random.random(n) < ties, 0.5, (random.random(n) < won).astype(float)).tolist())


def false_passes(limit: float, ties: float, n: int, runs: int, seed: int) -> float:
    """Share of candidates exactly at the limit that are shown to be above it at some moment up to n."""
    random = np.random.default_rng(seed)
    return sum(WinRate(answers(limit, ties, n, random), 0).p_above(limit) <= ALPHA for _ in range(runs)) / runs


@pytest.mark.parametrize(("limit", "ties"), [(0.4, 0.0), (0.4, 0.3), (0.5, 0.2)])
def test_a_candidate_at_the_limit_passes_seldom_though_the_gate_looks_after_every_answer(limit: float, ties: float) -> None:
    assert false_passes(limit, ties, 300, 600, seed=1) <= ALPHA


@pytest.mark.long
@pytest.mark.parametrize("ties", [0.0, 0.2, 0.5])
@pytest.mark.parametrize("limit", [0.3, 0.4, 0.45, 0.5])
def test_a_candidate_at_the_limit_passes_seldom_in_many_runs(limit: float, ties: float) -> None:
    runs = 5000
    assert false_passes(limit, ties, 1000, runs, seed=2) <= ALPHA + 2 * (ALPHA * (1 - ALPHA) / runs) ** 0.5


def test_a_test_for_one_look_would_fail_that() -> None:
    random, runs, n = np.random.default_rng(1), 300, 300
    wins = random.random((runs, n)) < 0.4
    sizes = np.arange(1, n + 1)
    z = (np.cumsum(wins, axis=1) / sizes - 0.4) / np.sqrt(0.24 / sizes)
    assert (z[:, 20:].max(axis=1) > 1.645).mean() > 3 * ALPHA


def test_the_order_of_the_same_candidates_is_caught_on_both_sides() -> None:
    random = np.random.default_rng(3)
    shown = [WinRate(answers(0.55, 0.3, 300, random), 0).p_above(0.4) <= 0.025 for _ in range(100)]
    missed = [WinRate(answers(0.25, 0.2, 300, random), 0).p_below(0.4) <= 0.025 for _ in range(100)]
    assert np.mean(shown) > 0.9
    assert np.mean(missed) > 0.9


def test_sides_mirror_each_other() -> None:
    rate = WinRate((1.0, 0.5, 0.0, 1.0, 1.0) * 8, 0)
    mirrored = WinRate(tuple(1.0 - value for value in rate.values), 0)
    assert rate.p_above(0.4) == pytest.approx(mirrored.p_below(0.6))
    low, high = rate.bounds(ALPHA)
    assert mirrored.bounds(ALPHA) == pytest.approx((1.0 - high, 1.0 - low))
    assert 0.0 < low < rate.mean < high < 1.0  # type: ignore[operator]


def test_bounds_and_p_values_say_the_same() -> None:
    rate = WinRate((1.0, 1.0, 0.0, 0.5) * 20, 0)
    low, high = rate.bounds(ALPHA)
    assert rate.p_above(low - 1e-6) <= ALPHA < rate.p_above(low + 1e-6)
    assert rate.p_below(high + 1e-6) <= ALPHA < rate.p_below(high - 1e-6)


def test_no_answer_is_no_evidence() -> None:
    nothing = WinRate((), 10)
    assert (nothing.mean, nothing.p_above(0.4), nothing.p_below(0.4), nothing.bounds(ALPHA)) == (None, 1.0, 1.0, (0.0, 1.0))


def test_only_the_longest_answered_beginning_counts() -> None:
    assert answered([]) == WinRate((), 0)
    assert answered([None, 1.0, 1.0]) == WinRate((), 1)
    assert answered([1.0, 0.5, None, 0.0, None]) == WinRate((1.0, 0.5), 2)


def test_whatever_is_answered_first_the_answers_that_count_are_a_beginning() -> None:
    said = {0: 1.0, 1: 0.0, 2: 0.5, 3: 1.0}
    for order in permutations(said):
        known: dict[int, float] = {}
        for place in order:
            known[place] = said[place]
            counted = answered([known.get(each) for each in said]).values
            assert counted == tuple(said.values())[: len(counted)]
        assert counted == tuple(said.values())


def test_what_was_shown_stays_shown() -> None:
    good = (1.0,) * 40
    shown = WinRate(good, 0).until_shown(0.4, 0.025)
    assert 0 < shown.n < 40
    assert shown.p_above(0.4) <= 0.025 < WinRate(shown.values[:-1], 0).p_above(0.4)
    assert WinRate(good + (0.0,) * 200, 0).until_shown(0.4, 0.025) == shown


def test_identical_answers_show_that_a_candidate_is_no_worse_and_not_that_it_is_better() -> None:
    same = WinRate((0.5,) * 60, 0)
    assert same.p_above(0.4) <= 0.025
    assert same.p_above(0.5) == 1.0
