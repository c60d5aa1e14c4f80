"""A worker that has counted something, how it stands, and what is asked of it."""

import http.client
import socket
from typing import Any
from urllib.parse import urlsplit

from trueloop.adapters.metrics.standing import Drop, Lag, Standing, StateSize

BATCH: dict[str, Any] = {"processor": "sampling", "topic": "traces", "records": 500, "seconds": 0.012, "oldest_ms": 1000}


class Known(Standing):
    def lags(self) -> list[Lag]:
        return [Lag("sampling", "traces", 0, 3), Lag("sampling", "traces", 1, 4)]

    def drops(self) -> list[Drop]:
        return [Drop("sink", "traces", "expired", 7)]

    def states(self) -> list[StateSize]:
        return [StateSize("collection", "state", 12, 3456)]

    def rebalances(self) -> dict[str, int]:
        return {"sampling": 2}


def get(url: str, path: str = "/metrics") -> tuple[int, str, str]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    connection.request("GET", path)
    response = connection.getresponse()
    return response.status, response.headers["Content-Type"], response.read().decode()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
