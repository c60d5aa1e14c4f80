"""Identities of drift series."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from trueloop.events.identity import derive_id

ALL = "all"


@dataclass(frozen=True, slots=True)
class DriftSeries:
    """A series of losses: one metric of one application, over all traces or one slice."""

    series_id: str
    metric: str
    slice: str


def drift_series(application: str, metric: str, slices: Mapping[str, str], wanted: Sequence[str]) -> Iterator[DriftSeries]:
    """Yield the series that an observation belongs to: 'all', and one per wanted slice that it has a value of.

    >>> [series.slice for series in drift_series("shop", "score:judge", {"locale": "de"}, ("locale", "plan"))]
    ['all', 'locale=de']
    """
    names = [ALL, *(f"{name}={slices[name]}" for name in wanted if name in slices)]
    for name in names:
        yield DriftSeries(derive_id("drift", application, metric, name), metric, name)
