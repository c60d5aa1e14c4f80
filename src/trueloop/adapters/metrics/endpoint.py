"""The HTTP endpoint of a worker: GET /metrics, and nothing else. Threads of its own, so that a scrape never stops the event loop."""

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import TYPE_CHECKING, Any

from trueloop.adapters.metrics import targets
from trueloop.adapters.metrics.record_metrics import RecordMetrics
from trueloop.adapters.metrics.standing import Standing
from trueloop.config import Settings
from trueloop.errors import ConfigurationError

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

PATH = "/metrics"
CLIENT_TIMEOUT_S = 5.0
"""How long a client may take to ask and to read: whoever is slower loses the connection, not a thread of ours."""
_POLL_S = 0.2
"""How late the server notices that it is to stop."""
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared with, not bound

logger = logging.getLogger(__name__)


@contextmanager
def serving(settings: Settings, worker: str, metrics: RecordMetrics, standing: Standing) -> Iterator[str]:
    """Serve a worker's metrics while the context lasts; gives the URL.

    Raises ConfigurationError when the address cannot be had: a port that was set is taken, or the host is no address of this machine.
    """
    started = time.time()
    server = _listen(settings, lambda: _registry(worker, started, metrics, standing))
    host, port = settings.metrics.host, int(server.server_address[1])
    near = _WILDCARDS.get(host, host)
    address = f"[{near}]:{port}" if ":" in near else f"{near}:{port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": _POLL_S}, name="trueloop-metrics", daemon=True)
    thread.start()
    logger.info("metrics at http://%s%s", address, PATH)
    try:
        with targets.noted(settings.state_dir, worker, address):
            yield f"http://{address}{PATH}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _registry(worker: str, started: float, metrics: RecordMetrics, standing: Standing) -> "CollectorRegistry":
    # Imported with the first scrape: a worker's start does not wait for what it may never need.
    from trueloop.adapters.metrics.exposition import registry_of

    return registry_of(worker, started, metrics, standing)


def _listen(settings: Settings, registry: "Callable[[], CollectorRegistry]") -> "_Server":
    host, port = settings.metrics.host, settings.metrics.port
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return _Server(family, (host, port), registry)
    except OSError as error:
        raise ConfigurationError(
            f"metrics are to be served at {host}:{port}, but {error.strerror or error}; expected a free port of this machine. "
            "Set TRUELOOP_METRICS__PORT to another one, or to 0 for any that is free"
        ) from None


class _Server(ThreadingTCPServer):
    # Not HTTPServer, which asks DNS for the host's name before it listens.
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, family: socket.AddressFamily, address: tuple[str, int], registry: "Callable[[], CollectorRegistry]") -> None:
        self.address_family = family
        self._make_registry = registry
        self._registry: CollectorRegistry | None = None
        self._rendering = threading.Lock()
        super().__init__(address, _Handler)

    def render(self, accept: str) -> tuple[str, bytes]:
        """Return content type and text in the format that the client prefers. One at a time: however many ask, one core is the most it takes."""
        with self._rendering:
            from prometheus_client.exposition import choose_encoder

            if self._registry is None:
                self._registry = self._make_registry()
            encode, content_type = choose_encoder(accept)
            return content_type, encode(self._registry)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up; the default prints a traceback."""


class _Handler(BaseHTTPRequestHandler):
    server_version = "trueloop"
    sys_version = ""
    timeout = CLIENT_TIMEOUT_S
    server: _Server

    def do_GET(self) -> None:
        """Answer a scrape."""
        if self.path.partition("?")[0] != PATH:
            self._send(HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", f"nothing here; metrics are at {PATH}\n".encode())
            return
        try:
            content_type, body = self.server.render(self.headers.get("Accept", ""))
        except Exception as error:  # its text could quote anything, so only its class is told
            logger.warning("a scrape failed with %s", type(error).__name__, exc_info=logger.isEnabledFor(logging.DEBUG))
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", f"failed with {type(error).__name__}\n".encode())
            return
        self._send(HTTPStatus.OK, content_type, body)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: Prometheus asks every few seconds."""

    def _send(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)
