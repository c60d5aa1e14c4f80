"""How uncertain it is what reviewers will say of a trace, from what is known before they are asked. Columns in, columns out; NaN is unknown."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]


def score_entropy(scores: npt.ArrayLike) -> Doubles:
    """Return the entropy of scores that are read as chances to be good, in bits, [0, 1]: 1 at a score of 0.5, 0 at 0 and 1, NaN where there is none.

    Raises:
        ValueError: A score is not in [0, 1].

    Reference: Shannon, C. E. (1948). A mathematical theory of communication. Bell System Technical Journal 27, 379-423.

    >>> score_entropy([0.5, 1.0, float("nan")]).tolist()
    [1.0, 0.0, nan]
    """
    p = _checked(scores, "scores")
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = [np.where(share > 0, -share * np.log2(share), np.where(share == 0, 0.0, np.nan)) for share in (p, 1 - p)]
    return np.asarray(terms[0] + terms[1], np.float64)


def judge_disagreement(judges: Sequence[npt.ArrayLike]) -> Doubles:
    """Return how far judges are apart: twice the standard deviation of their scores of a trace, [0, 1], which is 1 for as many 0s as 1s.

    Args:
        judges: A column of scores in [0, 1] per judge; NaN where a judge says nothing.

    Returns:
        NaN where fewer than two judges say something: one judge cannot disagree.

    Raises:
        ValueError: A score is not in [0, 1], or there is no judge.

    >>> judge_disagreement([[1.0, 0.5, 0.2], [0.0, 0.5, float("nan")]]).tolist()
    [1.0, 0.0, nan]
    """
    if not judges:
        raise ValueError("judges is empty; expected a column of scores for each judge")
    scores = np.stack([_checked(column, "scores") for column in judges])
    known = ~np.isnan(scores)
    n = known.sum(axis=0)
    some = np.maximum(n, 1)
    mean = np.where(known, scores, 0.0).sum(axis=0) / some
    variance = (np.where(known, scores - mean, 0.0) ** 2).sum(axis=0) / some
    return np.where(n > 1, 2 * np.sqrt(variance), np.nan)


def uncertainty(sources: Sequence[npt.ArrayLike]) -> Doubles:
    """Return the uncertainty of traces from several sources, each in [0, 1]: the largest that is known, NaN where none is.

    The largest, because one good reason to look is enough, and because a source that never has doubts should not silence the others. Sources are
    `score_entropy`, `judge_disagreement`, and the disagreement of reviewers in the slice of the trace (1 less the observed agreement).

    Raises:
        ValueError: A number is not in [0, 1], or there is no source.

    >>> uncertainty([[0.2, float("nan"), float("nan")], [0.7, 0.1, float("nan")]]).tolist()
    [0.7, 0.1, nan]
    """
    if not sources:
        raise ValueError("sources is empty; expected a column for each source of uncertainty")
    columns = np.stack([_checked(column, "sources") for column in sources])
    highest = np.where(np.isnan(columns), -1.0, columns).max(axis=0)
    return np.where(highest < 0, np.nan, highest)


def _checked(column: npt.ArrayLike, name: str) -> Doubles:
    values = np.asarray(column, np.float64)
    wrong = np.flatnonzero((values < 0) | (values > 1))
    if len(wrong):
        raise ValueError(f"{name}[{wrong[0]}] is {values.flat[wrong[0]]!r}; expected numbers in [0, 1], or NaN")
    return values
