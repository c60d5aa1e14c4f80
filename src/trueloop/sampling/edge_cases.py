"""Traces that are out of the ordinary, by what is known of them before anybody reads them."""

from collections.abc import Iterator, Mapping

import numpy as np

from trueloop.columns.walk import Doubles, Flags, Ints
from trueloop.rubrics.sampling_policy import Anomalies, EdgeCase
from trueloop.sampling.rows import TraceRows


def edge_cases(anomalies: Anomalies, rows: TraceRows) -> Ints:
    """Return what is out of the ordinary about each trace: the place in `EdgeCase` of the first case that holds, -1 where none does.

    What was not measured is no edge case; neither is NaN, nor a slice that the trace does not have.
    """
    found = np.full(len(rows.places), -1, np.int64)
    for place, case in reversed(list(enumerate(EdgeCase))):
        holds = _holds(case, anomalies, rows)
        if holds is not None:
            found[holds] = place
    return found


def failed_with_answer(rows: TraceRows) -> Flags:
    """Return which requests failed and may have left an answer: those of no tokens have not, of the others it shows when they are read."""
    found: Flags = rows.failed & (rows.measures["completion_tokens"] != 0)
    return found


def common_values(counts: Mapping[str, int], least_share: float) -> frozenset[str]:
    """Return the values of a slice that have at least this share of its traces, by value -> traces of an earlier period.

    >>> sorted(common_values({"de": 60, "fr": 39, "mt": 1}, 0.05))
    ['de', 'fr']
    """
    total = sum(counts.values())
    return frozenset(value for value, count in counts.items() if count >= least_share * total > 0)


def _holds(case: EdgeCase, anomalies: Anomalies, rows: TraceRows) -> Flags | None:
    """Return for which traces a case holds; None where the policy does not look. Comparisons with NaN are false."""
    match case:
        case EdgeCase.FAILED:
            return failed_with_answer(rows) if anomalies.failed else None
        case EdgeCase.EMPTY_ANSWER:
            return rows.measures["completion_tokens"] == 0 if anomalies.empty_answer else None
        case EdgeCase.SLOW | EdgeCase.LONG_PROMPT | EdgeCase.LONG_ANSWER:
            name = {EdgeCase.SLOW: "latency_ms", EdgeCase.LONG_PROMPT: "prompt_tokens", EdgeCase.LONG_ANSWER: "completion_tokens"}[case]
            return _above(rows, name, getattr(anomalies, name))
        case EdgeCase.LOW_SCORE:
            return _any(rows.scores[name] < least for name, least in anomalies.scores.items() if name in rows.scores)
        case EdgeCase.RARE_SLICE:
            rare = [any(name in slices and slices[name] not in values for name, values in anomalies.common.items()) for slices in rows.slice_values]
            return np.array(rare, np.bool_)[rows.slices.codes]


def _above(rows: TraceRows, name: str, limit: float | None) -> Flags | None:
    values: Doubles = rows.measures[name]
    return None if limit is None else values > limit


def _any(columns: Iterator[Flags]) -> Flags | None:
    found: Flags | None = None
    for column in columns:
        found = column if found is None else found | column
    return found
