"""How things stand with a worker at the moment of a scrape: lag, state, rebalances."""

from typing import NamedTuple


class Lag(NamedTuple):
    """Records of a partition that a processor has not dealt with yet, as its last fetch told it."""

    processor: str
    topic: str
    partition: int
    records: int


class Drop(NamedTuple):
    """Records that a processor can no longer deal with and that are no dead letters.

    Reason `expired`: deleted by retention before they were read. Reason `gap`: offsets that held no record when they were read, which are
    records deleted by retention, or what transactional producers leave between theirs.
    """

    processor: str
    topic: str
    reason: str
    records: int


class StateSize(NamedTuple):
    """State that a processor holds: keys, and the bytes of keys and values."""

    processor: str
    table: str
    keys: int
    size_bytes: int


class Standing:
    """What a worker is asked for at the moment of a scrape, in the thread that scrapes. By default nothing; a worker overrides what it knows."""

    def lags(self) -> list[Lag]:
        """Return the lag of the partitions that this worker reads; those of which nothing is known yet are left out."""
        return []

    def drops(self) -> list[Drop]:
        """Return what was dropped since the process started, by topic and reason."""
        return []

    def states(self) -> list[StateSize]:
        """Return the size of each table."""
        return []

    def rebalances(self) -> dict[str, int]:
        """Return how often the consumer group of each processor was divided anew, its first division included."""
        return {}
