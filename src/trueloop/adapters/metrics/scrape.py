"""The numbers of a worker as they are read back from its endpoint."""

import http.client
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf
from urllib.parse import urlsplit

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from trueloop.adapters.metrics.distribution import Buckets
from trueloop.errors import ConfigurationError, UnavailableError

TIMEOUT_S = 2.0
MAX_BYTES = 16 * 1024**2
"""Largest answer that is read: a sink with every topic in use tells about half a MiB."""


@dataclass(frozen=True, slots=True)
class TopicReading:
    """What a processor has done with a topic since its process started. `lag` is None while it is not known; the spreads are None before the
    first batch."""

    outcomes: Mapping[str, int]
    dead_letters: Mapping[str, int]
    dropped: Mapping[str, int]
    lag: int | None
    batch_seconds: Buckets | None
    end_to_end_seconds: Buckets | None

    @property
    def records(self) -> int:
        """Records that were dealt with."""
        return sum(self.outcomes.values())


@dataclass(frozen=True, slots=True)
class ProcessorReading:
    """What is told of a processor as a whole. The sizes are None when it keeps no state, `rebalances` when it has told none."""

    retries: int
    rebalances: int | None
    state_keys: int | None
    state_bytes: int | None


@dataclass(frozen=True, slots=True)
class WorkerReading:
    """A scrape: `at` is when, in monotonic seconds; `started` is when the process did, in seconds since the epoch."""

    worker: str
    version: str
    at: float
    started: float
    cpu_seconds: float | None
    memory_bytes: int | None
    topics: Mapping[tuple[str, str], TopicReading] = field(default_factory=dict)
    processors: Mapping[str, ProcessorReading] = field(default_factory=dict)


def scrape(url: str) -> WorkerReading:
    """Ask a worker. Raises ConfigurationError for an address that is none, UnavailableError when no worker answers there."""
    return parse(_get(url), time.monotonic())


def parse(text: str, at: float) -> WorkerReading:
    """Return what the text of a scrape says. Raises UnavailableError when it is not that of a worker."""
    try:
        families = {family.name: family for family in text_string_to_metric_families(text)}
        (start,) = families["trueloop_worker_start_time_seconds"].samples
    except (ValueError, KeyError):
        raise UnavailableError("what answers is no Trueloop worker; expected its metrics, see the README on `trueloop top`") from None
    return WorkerReading(
        worker=start.labels["name"],
        version=start.labels["version"],
        at=at,
        started=start.value,
        cpu_seconds=_single(families.get("process_cpu_seconds")),
        memory_bytes=_whole(_single(families.get("process_resident_memory_bytes"))),
        topics=_topics(families),
        processors=_processors(families),
    )


def _get(url: str) -> str:
    parts = urlsplit(url)
    kind = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}.get(parts.scheme)
    if kind is None or not parts.hostname:
        raise ConfigurationError(f"{url!r} is no address of metrics; expected one such as http://127.0.0.1:9464/metrics")
    connection = kind(parts.netloc, timeout=TIMEOUT_S)  # not urllib, which would ask a proxy
    try:
        connection.request("GET", parts.path or "/metrics")
        response = connection.getresponse()
        if response.status != http.client.OK:
            raise UnavailableError(f"{url} answers with status {response.status}; expected 200")
        return str(response.read(MAX_BYTES), "utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        raise UnavailableError(f"{url} does not answer: {error}") from None
    finally:
        connection.close()


def _topics(families: Mapping[str, Metric]) -> dict[tuple[str, str], TopicReading]:
    outcomes = _labelled(families.get("trueloop_records"), "outcome")
    letters = _labelled(families.get("trueloop_dead_letters"), "reason")
    drops = _labelled(families.get("trueloop_dropped_records"), "reason")
    lags = _labelled(families.get("trueloop_lag_records"), "partition")
    processing, whole = _spreads(families.get("trueloop_batch_seconds")), _spreads(families.get("trueloop_end_to_end_seconds"))
    places = sorted({*outcomes, *letters, *drops, *lags, *processing})
    return {
        place: TopicReading(
            outcomes=outcomes.get(place, {}),
            dead_letters=letters.get(place, {}),
            dropped=drops.get(place, {}),
            lag=sum(lags[place].values()) if place in lags else None,
            batch_seconds=processing.get(place),
            end_to_end_seconds=whole.get(place),
        )
        for place in places
    }


def _processors(families: Mapping[str, Metric]) -> dict[str, ProcessorReading]:
    names = ("trueloop_retries", "trueloop_rebalances", "trueloop_state_keys", "trueloop_state_bytes")
    retries, rebalances, keys, sizes = ({s.labels["processor"]: s.value for s in _samples(families.get(name))} for name in names)
    return {
        name: ProcessorReading(int(retries.get(name, 0)), _whole(rebalances.get(name)), _whole(keys.get(name)), _whole(sizes.get(name)))
        for name in sorted({*retries, *rebalances, *keys})
    }


def _samples(family: Metric | None) -> Iterable[Sample]:
    return family.samples if family is not None else ()


def _labelled(family: Metric | None, label: str) -> dict[tuple[str, str], dict[str, int]]:
    found: defaultdict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for sample in _samples(family):
        found[sample.labels["processor"], sample.labels["topic"]][sample.labels[label]] = int(sample.value)
    return dict(found)


def _spreads(family: Metric | None) -> dict[tuple[str, str], Buckets]:
    cumulative: defaultdict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    totals: dict[tuple[str, str], float] = {}
    for sample in _samples(family):
        place = sample.labels["processor"], sample.labels["topic"]
        if sample.name.endswith("_bucket"):
            cumulative[place].append((float(sample.labels["le"]), sample.value))
        elif sample.name.endswith("_sum"):
            totals[place] = sample.value
    return {place: _buckets(sorted(points), totals.get(place, 0.0)) for place, points in cumulative.items()}


def _buckets(points: list[tuple[float, float]], total: float) -> Buckets:
    below = [0.0, *(count for _, count in points)]
    counts = tuple(count - before for before, count in pairwise(below))
    return Buckets(tuple(bound for bound, _ in points if bound != inf), counts, total)


def _single(family: Metric | None) -> float | None:
    return next((sample.value for sample in _samples(family)), None)


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
