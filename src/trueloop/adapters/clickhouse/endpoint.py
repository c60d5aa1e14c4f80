"""ClickHouse's HTTP protocol over the embedded engine, for reading only, on loopback only.

Enough of it for clickhouse-connect, curl and Grafana's data source: GET or POST, the query in `query` or the body, `database`,
`default_format`, `param_NAME`, `/ping`. Settings are taken and ignored: what a reader may use is fixed.
"""

import json
import logging
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from typing import Any
from urllib.parse import parse_qs, urlsplit

from trueloop.adapters.clickhouse.embedded_engine import EmbeddedEngine
from trueloop.adapters.clickhouse.engine import ClickHouseError
from trueloop.adapters.clickhouse.guard import check
from trueloop.config import ClickHouseSettings
from trueloop.errors import ConfigurationError, UnavailableError

logger = logging.getLogger(__name__)

MAX_QUERY_BYTES = 1024**2
MAX_DISCARDED_BYTES = 16 * 1024**2
IDLE_TIMEOUT_S = 60.0
DEFAULT_FORMAT = "TabSeparated"
_LOCAL_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
_STATUS = {
    "READONLY": HTTPStatus.FORBIDDEN,
    "INTO_OUTFILE_NOT_ALLOWED": HTTPStatus.FORBIDDEN,
    "ACCESS_DENIED": HTTPStatus.FORBIDDEN,
    "QUERY_IS_PROHIBITED": HTTPStatus.FORBIDDEN,
    "UNKNOWN_TABLE": HTTPStatus.NOT_FOUND,
    "UNKNOWN_DATABASE": HTTPStatus.NOT_FOUND,
    "UNKNOWN_FUNCTION": HTTPStatus.NOT_FOUND,
    "UNKNOWN_IDENTIFIER": HTTPStatus.NOT_FOUND,
    "UNKNOWN_FORMAT": HTTPStatus.NOT_FOUND,
    "SYNTAX_ERROR": HTTPStatus.BAD_REQUEST,
    "BAD_ARGUMENTS": HTTPStatus.BAD_REQUEST,
    "BAD_QUERY_PARAMETER": HTTPStatus.BAD_REQUEST,
    "UNKNOWN_QUERY_PARAMETER": HTTPStatus.BAD_REQUEST,
    "TYPE_MISMATCH": HTTPStatus.BAD_REQUEST,
    "TIMEOUT_EXCEEDED": HTTPStatus.REQUEST_TIMEOUT,
    "TOO_MANY_SIMULTANEOUS_QUERIES": HTTPStatus.SERVICE_UNAVAILABLE,
}
"""As a ClickHouse server maps them; any other error is a 500."""


@contextmanager
def serving(engine: EmbeddedEngine, settings: ClickHouseSettings) -> Iterator[None]:
    """Answer HTTP at `settings.url` while the context lasts.

    Raises ConfigurationError when the address is not this machine's own, UnavailableError when the port is taken.
    """
    host, port = _address(settings.url)
    try:
        server = _Server((host, port), engine)
    except OSError as error:
        raise UnavailableError(f"cannot listen at clickhouse.url {settings.url!r}: {error.strerror}; is another runtime up? see `trueloop status`") from None
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="clickhouse-http", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    host = "127.0.0.1" if parts.hostname == "localhost" else parts.hostname or ""
    try:
        loopback = parts.scheme == "http" and ip_address(host).version == 4 and ip_address(host).is_loopback
        port = parts.port
    except ValueError:
        loopback, port = False, None
    if not loopback or not port:
        raise ConfigurationError(
            f"clickhouse.url is {url!r}; expected http://127.0.0.1:PORT, for the embedded ClickHouse has no accounts. "
            "Set clickhouse.embedded = false to use a server"
        )
    return host, port


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], engine: EmbeddedEngine) -> None:
        self.engine = engine
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up; the default prints a traceback."""


class _Refused(Exception):
    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "trueloop"
    sys_version = ""
    timeout = IDLE_TIMEOUT_S
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        """Answer a query in the URL, or /ping."""
        self._answer()

    def do_POST(self) -> None:
        """Answer a query in the URL, the body, or one continuing in the other."""
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: requests hold queries, and those may quote human text."""

    def _answer(self) -> None:
        try:
            self._refuse_foreigners()
            body = self._body()
            url = urlsplit(self.path)
            if url.path in ("/ping", "/replicas_status"):
                self._send(HTTPStatus.OK, b"Ok.\n", {})
            elif url.path not in ("/", "/play"):
                raise _Refused(HTTPStatus.NOT_FOUND, f"There is no handle {url.path}; queries go to /")
            else:
                arguments = {name: values[-1] for name, values in parse_qs(url.query, keep_blank_values=True, max_num_fields=1000).items()}
                self._query(arguments, body)
        except _Refused as refusal:
            self.close_connection = True
            self._send(refusal.status, f"{refusal}\n".encode(), {})
        except ClickHouseError as error:
            status = _STATUS.get(error.name, HTTPStatus.INTERNAL_SERVER_ERROR)
            self._send(status, f"{error}\n".encode(), {"X-ClickHouse-Exception-Code": str(error.code)})
        except ValueError as error:
            self._send(HTTPStatus.BAD_REQUEST, f"Malformed request: {error}\n".encode(), {})

    def _refuse_foreigners(self) -> None:
        """Refuse what a foreign web page makes a browser send: by name (DNS rebinding), by origin, or by site."""
        port = self.server.server_address[1]
        hosts = {f"{name}:{port}" for name in _LOCAL_NAMES} | {f"[::1]:{port}"}
        if self.headers.get("Host", "") not in hosts:
            raise _Refused(HTTPStatus.MISDIRECTED_REQUEST, f"This endpoint answers to 127.0.0.1:{port} only")
        origin = self.headers.get("Origin")
        site = self.headers.get("Sec-Fetch-Site", "none")
        if (origin is not None and urlsplit(origin).netloc not in hosts) or site not in ("none", "same-origin"):
            raise _Refused(HTTPStatus.FORBIDDEN, "Requests of web pages from elsewhere are refused")

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "identity").lower() == "chunked":
            return self._chunked_body()
        length = int(self.headers.get("Content-Length") or 0)
        if not 0 <= length <= MAX_QUERY_BYTES:
            # Taking it in first lets a client that is still sending see the answer, and not a broken connection.
            self.rfile.read(min(max(length, 0), MAX_DISCARDED_BYTES))
            raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The query has {length} bytes; at most {MAX_QUERY_BYTES} are taken")
        return self.rfile.read(length)

    def _chunked_body(self) -> bytes:
        body = bytearray()
        while size := int(self.rfile.readline(100).split(b";")[0], 16):
            if not 0 < len(body) + size <= MAX_QUERY_BYTES:
                raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The query has more than {MAX_QUERY_BYTES} bytes")
            body += self.rfile.read(size)
            self.rfile.readline(100)
        while self.rfile.readline(1000) not in (b"\r\n", b"\n", b""):
            continue
        return bytes(body)

    def _query(self, arguments: dict[str, str], body: bytes) -> None:
        if self.headers.get_content_type() == "multipart/form-data" and body:
            raise _Refused(HTTPStatus.NOT_IMPLEMENTED, "Send the query as the plain body and parameters in the URL; forms and external tables are not taken")
        sql = "\n".join(part for part in (arguments.get("query", ""), body.decode()) if part)
        if not sql.strip():
            self._send(HTTPStatus.OK, b"Ok.\n", {})
            return
        wanted = arguments.get("default_format") or self.headers.get("X-ClickHouse-Format") or DEFAULT_FORMAT
        database = arguments.get("database") or self.headers.get("X-ClickHouse-Database")
        parameters = {name.removeprefix("param_"): value for name, value in arguments.items() if name.startswith("param_")}
        with self.server.engine.reader() as reader:
            allowed = check(reader, sql)
            result = reader.query(sql, wanted, parameters, None if database == "default" else database)
            data = result.bytes()
        summary = {"read_rows": str(result.rows_read()), "read_bytes": str(result.bytes_read()), "elapsed_ns": str(int(result.elapsed() * 1e9))}
        self._send(
            HTTPStatus.OK,
            data,
            {
                "X-ClickHouse-Format": allowed.output_format or wanted,
                "X-ClickHouse-Query-Id": arguments.get("query_id") if _is_token(arguments.get("query_id")) else str(uuid.uuid4()),
                "X-ClickHouse-Timezone": "UTC",
                "X-ClickHouse-Server-Display-Name": "trueloop",
                "X-ClickHouse-Summary": json.dumps(summary),
            },
        )

    def _send(self, status: HTTPStatus, body: bytes, headers: dict[str, Any]) -> None:
        self.send_response(status)
        output_format = str(headers.get("X-ClickHouse-Format", ""))
        self.send_header("Content-Type", _content_type(output_format))
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)


def _content_type(output_format: str) -> str:
    if output_format.startswith("JSON"):
        return "application/json; charset=UTF-8"
    if output_format.startswith("CSV"):
        return "text/csv; charset=UTF-8"
    if output_format.startswith(("TabSeparated", "TSV")):
        return "text/tab-separated-values; charset=UTF-8"
    # Never text/html, whatever the format says: results hold hostile text.
    return "text/plain; charset=UTF-8" if not output_format or output_format.startswith("Pretty") else "application/octet-stream"


def _is_token(text: str | None) -> bool:
    return text is not None and len(text) <= 100 and text.replace("-", "").isalnum() and text.isascii()
