"""How far reviewers disagree in the slices of traces, as it was told for the time of each: one of the sources of uncertainty."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from trueloop.columns.walk import Doubles
from trueloop.events import SliceDisagreement
from trueloop.sampling.rows import TraceRows

_ALL = "all"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
Known = Mapping[tuple[str, str], float]
"""Dimension and slice -> 1 less the observed agreement."""


def disagreement_in(slices: Mapping[str, str], dimensions: Sequence[str], known: Known) -> float:
    """Return how far reviewers disagree where a trace with these slices is, [0, 1]; NaN where nothing is known.

    Of each dimension the largest over the slices of the trace of which something is known, and without any that over all traces; of these the largest,
    as with all doubts: one good reason to look is enough.

    >>> known = {("tone", "all"): 0.1, ("tone", "locale=de"): 0.4, ("accuracy", "all"): 0.2}
    >>> [disagreement_in({"locale": value}, ("tone", "accuracy"), known) for value in ("de", "fr")]
    [0.4, 0.2]
    >>> disagreement_in({"locale": "de"}, ("accuracy",), {})
    nan
    """
    found: list[float] = []
    for dimension in dimensions:
        own = [known[key] for name, value in slices.items() if (key := (dimension, f"{name}={value}")) in known]
        found += own or [known[key] for key in ((dimension, _ALL),) if key in known]
    return max(found, default=float("nan"))


def disagreements_of(rows: TraceRows, dimensions: Sequence[str], told: Sequence[SliceDisagreement]) -> Doubles:
    """Return the disagreement for each trace, [0, 1]; NaN where nothing was told.

    It is looked up once per combination of slices and stretch of time, of which a batch has few: what is told begins at full hours.

    Args:
        rows: The traces, all of one application.
        dimensions: Whose disagreement counts.
        told: In the order of `Governance.disagreements`; of those of one dimension and slice that have begun the last one holds.
    """
    if not told or not dimensions:
        return np.full(len(rows.places), np.nan)
    starts = np.array([(each.starts_at - _EPOCH) // _MICROSECOND for each in told], np.int64)
    begun = np.searchsorted(starts, rows.occurred_at, side="right")
    found = np.full(len(rows.places), np.nan)
    for count in np.unique(begun).tolist():
        known = {(each.dimension, each.slice): each.disagreement for each in told[:count]}
        values = np.array([disagreement_in(slices, dimensions, known) for slices in rows.slice_values], np.float64)
        found = np.where(begun == count, values[rows.slices.codes], found)
    return found
