"""The best of n, how it grows with n, and the examples in the docstrings of what makes data for training."""

import doctest
import itertools
import statistics

import pytest
from trueloop.trainers import lamarckian
from trueloop.trainers.making import best_of_n
from trueloop.trainers.making.best_of_n import best, expected_best, growth


@pytest.mark.parametrize("module", [best_of_n, lamarckian])
def test_the_examples_hold(module: object) -> None:
    result = doctest.testmod(module)  # type: ignore[arg-type]
    assert result.attempted
    assert not result.failed


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_the_expected_best_is_the_mean_over_every_choice(k: int) -> None:
    rewards = [0.3, -1.0, 0.3, 2.5, 0.9]
    assert expected_best(rewards, k) == pytest.approx(statistics.mean(max(chosen) for chosen in itertools.combinations(rewards, k)))


def test_no_reward_is_no_best_and_other_numbers_of_answers_do_not_compare() -> None:
    assert best([]) is None
    assert growth([], 4) == {}
    assert growth([[1.0, 2.0]], 4) == {}
    assert list(growth([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]], 6)) == [1, 2, 4, 6]
    with pytest.raises(ValueError, match="k is 3 with 2 rewards"):
        expected_best([1.0, 2.0], 3)
