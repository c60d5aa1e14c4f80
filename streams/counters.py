"""What became of every record: nothing is dropped without being counted."""

from trueloop.adapters.metrics.record_metrics import RecordMetrics


class Counters(RecordMetrics):
    """The counters of the apps of one process, which also tell the log."""

    _told = 0

    def news(self) -> str | None:
        """Return one line about all records by processor, topic and outcome, or None when none was added since the last time.

        >>> counters = Counters()
        >>> counters.batch(processor="sampling", topic="traces", records=3, seconds=0.002, oldest_ms=-1, outcomes={"sampled": 1, "not_sampled": 2})
        >>> counters.news(), counters.news()
        ('sampling traces not_sampled=2 sampled=1', None)
        """
        flows = self.flows()
        total = sum(sum(flow.outcomes.values()) for flow in flows)
        if total == self._told:
            return None
        self._told = total
        return "; ".join(f"{flow.processor} {flow.topic} {' '.join(f'{name}={count}' for name, count in sorted(flow.outcomes.items()))}" for flow in flows)
