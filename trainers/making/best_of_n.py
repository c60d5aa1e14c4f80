"""The best of n samples: which it is, and how its reward grows with n."""

import math
from collections.abc import Sequence


def best(rewards: Sequence[float | None]) -> int | None:
    """Return the place of the highest reward, of equals the first; None when there is none.

    >>> best([0.1, None, 0.7, 0.7]), best([None])
    (2, None)
    """
    places = [place for place, reward in enumerate(rewards) if reward is not None]
    return max(places, key=lambda place: (rewards[place], -place), default=None)


def expected_best(rewards: Sequence[float], k: int) -> float:
    """Return the expected reward of the best of k samples, from all m >= k that there are: the mean over every choice of k of them.

    Sorted upwards, r_i is the best of C(i - 1, k - 1) of the C(m, k) choices.

    >>> [expected_best([0.0, 1.0, 0.5], k) for k in (1, 2, 3)]
    [0.5, 0.8333333333333333, 1.0]
    """
    if not 1 <= k <= len(rewards):
        raise ValueError(f"k is {k} with {len(rewards)} rewards; expected 1 <= k <= their number")
    total = math.comb(len(rewards), k)
    return math.fsum(math.comb(place, k - 1) / total * reward for place, reward in enumerate(sorted(rewards)))


def growth(rewards: Sequence[Sequence[float]], n: int) -> dict[int, float]:
    """Return the mean over prompts of `expected_best` for k = 1, 2, 4, .. and n, on the prompts that have all n rewards, so that the k compare.

    >>> growth([[0.0, 1.0], [0.5, 0.5], [1.0]], 2)
    {1: 0.5, 2: 0.75}
    """
    full = [scored for scored in rewards if len(scored) == n]
    sizes = sorted({1 << power for power in range(n.bit_length()) if 1 << power <= n} | {n})
    return {k: math.fsum(expected_best(scored, k) for scored in full) / len(full) for k in sizes} if full else {}
