"""The sink worker: everything from the topics into ClickHouse. No Faust here: it keeps no tables, and owns its offsets."""

from trueloop.config import Settings


def run(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT. Raises as `trueloop.adapters.clickhouse.worker.run` does."""
    from trueloop.adapters.clickhouse import worker

    worker.run(settings)
