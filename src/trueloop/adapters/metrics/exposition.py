"""The numbers of a worker as Prometheus reads them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from trueloop import __version__
from trueloop.adapters.metrics.distribution import Buckets
from trueloop.adapters.metrics.record_metrics import Flow, RecordMetrics
from trueloop.adapters.metrics.standing import Standing

_HELP = {
    "trueloop_worker_start_time_seconds": "When the worker started, seconds since the epoch.",
    "trueloop_records": "Records whose effects are durable, by what became of them.",
    "trueloop_dead_letters": "Records that were refused and are in the dead letters of their topic, by reason.",
    "trueloop_dropped_outputs": "What records would have led to and did not, such as preference pairs that are near-duplicates, by reason.",
    "trueloop_dropped_records": "Records that this worker can no longer deal with and that are no dead letters, by reason.",
    "trueloop_retries": "Attempts that failed because a service did not answer, and that were made again.",
    "trueloop_batch_records": "Records per batch.",
    "trueloop_batch_seconds": "Seconds from taking a batch until its effects are durable.",
    "trueloop_end_to_end_seconds": "Seconds from the timestamp of a record until its effects are durable; all of a batch count with the age of its first.",
    "trueloop_lag_records": "Records that are not dealt with yet, in offsets, as the last fetch told it.",
    "trueloop_state_keys": "Keys in the state of a processor, over the partitions that this worker holds.",
    "trueloop_state_bytes": "Bytes of the keys and values in the state of a processor.",
    "trueloop_rebalances": "Times that the partitions of the consumer group were divided anew, the first time included.",
}
_FLOW = ("processor", "topic")


def registry_of(worker: str, started: float, metrics: RecordMetrics, standing: Standing) -> CollectorRegistry:
    """Return what a scrape of this worker collects: its own numbers, and CPU, memory and open files of the process.

    `started` is in seconds since the epoch.
    """
    registry = CollectorRegistry()
    registry.register(_WorkerCollector(worker, started, metrics, standing))
    ProcessCollector(registry=registry)
    return registry


class _WorkerCollector(Collector):
    def __init__(self, worker: str, started: float, metrics: RecordMetrics, standing: Standing) -> None:
        self._worker = worker
        self._started = started
        self._metrics = metrics
        self._standing = standing

    def describe(self) -> Iterable[Metric]:
        """Return nothing, so that registering does not collect."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        yield _gauge("trueloop_worker_start_time_seconds", ("name", "version"), [((self._worker, __version__), self._started)])
        flows = self._metrics.flows()
        yield _by_flow("trueloop_records", "outcome", flows, [flow.outcomes for flow in flows])
        yield _by_flow("trueloop_dead_letters", "reason", flows, [flow.rejected for flow in flows])
        yield _by_flow("trueloop_dropped_outputs", "reason", flows, [flow.drops for flow in flows])
        drops = CounterMetricFamily("trueloop_dropped_records", _HELP["trueloop_dropped_records"], labels=(*_FLOW, "reason"))
        for processor, topic, reason, records in self._standing.drops():
            drops.add_metric((processor, topic, reason), records)
        yield drops
        yield _histogram("trueloop_batch_records", flows, [flow.batch_records for flow in flows])
        yield _histogram("trueloop_batch_seconds", flows, [flow.batch_seconds for flow in flows])
        yield _histogram("trueloop_end_to_end_seconds", flows, [flow.end_to_end_seconds for flow in flows])
        yield _by_processor("trueloop_retries", self._metrics.retries())
        yield _by_processor("trueloop_rebalances", self._standing.rebalances())
        lags = [((lag.processor, lag.topic, str(lag.partition)), lag.records) for lag in self._standing.lags()]
        yield _gauge("trueloop_lag_records", (*_FLOW, "partition"), lags)
        states = self._standing.states()
        yield _gauge("trueloop_state_keys", ("processor", "table"), [((state.processor, state.table), state.keys) for state in states])
        yield _gauge("trueloop_state_bytes", ("processor", "table"), [((state.processor, state.table), state.size_bytes) for state in states])


def _gauge(name: str, labels: Sequence[str], values: Iterable[tuple[tuple[str, ...], float]]) -> Metric:
    family = GaugeMetricFamily(name, _HELP[name], labels=labels)
    for place, value in values:
        family.add_metric(place, value)
    return family


def _by_processor(name: str, values: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, _HELP[name], labels=("processor",))
    for processor, value in sorted(values.items()):
        family.add_metric((processor,), value)
    return family


def _by_flow(name: str, label: str, flows: Sequence[Flow], counts: Sequence[Mapping[str, int]]) -> Metric:
    family = CounterMetricFamily(name, _HELP[name], labels=(*_FLOW, label))
    for flow, values in zip(flows, counts, strict=True):
        for what, count in sorted(values.items()):
            family.add_metric((flow.processor, flow.topic, what), count)
    return family


def _histogram(name: str, flows: Sequence[Flow], spreads: Sequence[Buckets]) -> Metric:
    family = HistogramMetricFamily(name, _HELP[name], labels=_FLOW)
    for flow, spread in zip(flows, spreads, strict=True):
        below, cumulative = 0.0, []
        for bound, count in zip((*map(str, spread.bounds), "+Inf"), spread.counts, strict=True):
            below += count
            cumulative.append((bound, below))
        family.add_metric((flow.processor, flow.topic), cumulative, spread.total)
    return family
