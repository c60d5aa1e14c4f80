"""Published tables of ratings, one row per unit and one column per rater; None is a missing rating."""

from collections.abc import Iterable, Sequence
from typing import Any

Table = Sequence[Sequence[Any]]

# Krippendorff (2011), Computing Krippendorff's alpha-reliability, section C: 4 observers, 12 units; also Krippendorff (2004), Content Analysis,
# section 11.3.3, and Gwet's cac.raw4raters.
KRIPPENDORFF_2011: Table = [
    [1, 1, None, 1], [2, 2, 3, 2], [3, 3, 3, 3], [3, 3, 3, 3], [2, 2, 2, 2], [1, 2, 3, 4], [4, 4, 4, 4], [1, 1, 2, 1], [2, 2, 2, 2],
    [None, 5, 5, 5], [None, None, 1, 1], [None, None, 3, None],
]  # fmt: skip
# Krippendorff (2004), Content Analysis, section 11.3.1, and (2011), section A: two observers, ten articles, presence of a reference.
JON_AND_HAN: Table = [[1, 0], [1, 1], [0, 1], [0, 0], [0, 0], [0, 1], [0, 0], [0, 1], [0, 0], [0, 0]]
# Krippendorff (2011), section B: two observers, twelve units, nominal values.
BEN_AND_GERRY: Table = list(zip("aabbdcccedda", "babbbccceddd", strict=True))
# Hayes and Krippendorff (2007), Answering the call for a standard reliability measure for coding data, table 1: five observers rate the tone
# of 40 newspaper articles from 0 (sure loser) to 3 (likely winner).
_HAYES = """
    112.2 1101. 2333. .00.0 000.0 000.0 102.1 1.20. 222.2 2111. .100. 0000. 1222. 33223 111.1 111.1 212.2 1233. 1101. 000.0
    0011. 00.00 2333. 0000. 12.22 0111. 00010 1212. 1122. 112.2 110.0 2121. 22.22 3222. 222.2 223.2 222.2 22.12 2222. 111.1
"""
HAYES_2007: Table = [[None if mark == "." else int(mark) for mark in row] for row in _HAYES.split()]
# Fleiss (1971), Measuring nominal scale agreement among many raters, table 1: 30 patients, 6 psychiatrists; how many chose depression,
# personality disorder, schizophrenia, neurosis, other. The first 15 are Gwet's distrib.6raters.
FLEISS_1971: Sequence[Sequence[int]] = [
    [0, 0, 0, 6, 0], [0, 3, 0, 0, 3], [0, 1, 4, 0, 1], [0, 0, 0, 0, 6], [0, 3, 0, 3, 0], [2, 0, 4, 0, 0], [0, 0, 4, 0, 2], [2, 0, 3, 1, 0],
    [2, 0, 0, 4, 0], [0, 0, 0, 0, 6], [1, 0, 0, 5, 0], [1, 1, 0, 4, 0], [0, 3, 3, 0, 0], [1, 0, 0, 5, 0], [0, 2, 0, 3, 1], [0, 0, 5, 0, 1],
    [3, 0, 0, 1, 2], [5, 1, 0, 0, 0], [0, 2, 0, 4, 0], [1, 0, 2, 0, 3], [0, 0, 0, 0, 6], [0, 1, 0, 5, 0], [0, 2, 0, 1, 3], [2, 0, 0, 4, 0],
    [1, 0, 0, 4, 1], [0, 5, 0, 1, 0], [4, 0, 0, 0, 2], [0, 2, 0, 4, 0], [1, 0, 5, 0, 0], [0, 0, 0, 0, 6],
]  # fmt: skip
# Gwet's cont3x3abstractors: 2 raters, 100 patients, as a contingency table.
ABSTRACTORS = [[13, 0, 0], [0, 20, 7], [0, 4, 56]]
# Cohen (1960), A coefficient of agreement for nominal scales, and (1968), Weighted kappa: 200 cases, two judges.
COHEN_1960 = [[88, 14, 18], [10, 40, 10], [2, 6, 12]]
# Fleiss, Cohen and Everitt (1969), Large sample standard errors of kappa and weighted kappa: 200 cases, two judges.
FLEISS_COHEN_EVERITT_1969 = [[106, 10, 4], [22, 28, 10], [2, 12, 6]]
# Feinstein and Cicchetti (1990), High agreement but low kappa, and Gwet (2008): the paradoxes of kappa.
PARADOX_OF_PREVALENCE = [[118, 5], [2, 0]]
BALANCED, PREVALENT = [[40, 9], [6, 45]], [[80, 10], [5, 5]]


def columns(table: Table) -> tuple[list[int], list[int], list[Any]]:
    """Return a table as three columns: unit, rater, value."""
    rows = [(unit, rater, value) for unit, ratings in enumerate(table) for rater, value in enumerate(ratings)]
    units, raters, values = zip(*rows, strict=True)
    return list(units), list(raters), list(values)


def of_counts(counts: Iterable[Sequence[int]]) -> Table:
    """Return ratings that give these counts per value."""
    return [[value for value, count in enumerate(row) for _ in range(count)] for row in counts]


def of_contingency(table: Sequence[Sequence[int]]) -> Table:
    """Return the ratings of two raters that give a contingency table."""
    return [[row, column] for row, cells in enumerate(table) for column, count in enumerate(cells) for _ in range(count)]
