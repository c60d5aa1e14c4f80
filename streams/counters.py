"""What became of every record: nothing is dropped without being counted."""

from collections import Counter


class Counters:
    """Counts records by topic and outcome."""

    def __init__(self) -> None:
        self.totals: Counter[tuple[str, str]] = Counter()
        self._told = 0

    def add(self, counts: Counter[tuple[str, str]]) -> None:
        """Add the counts of a batch, once its effects are durable."""
        self.totals.update(counts)

    def news(self) -> str | None:
        """Return one line about all counts, or None when nothing was added since the last time.

        >>> counters = Counters()
        >>> counters.add(Counter({("traces", "sampled"): 3}))
        >>> counters.news(), counters.news()
        ('traces sampled=3', None)
        """
        total = self.totals.total()
        if total == self._told:
            return None
        self._told = total
        topics: dict[str, list[str]] = {}
        for (topic, outcome), count in sorted(self.totals.items()):
            topics.setdefault(topic, []).append(f"{outcome}={count}")
        return "; ".join(f"{topic} {' '.join(outcomes)}" for topic, outcomes in topics.items())
