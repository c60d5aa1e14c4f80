"""A real HTTP server on loopback that speaks OpenAI's chat completions, well or badly, as its script says."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Request = dict[str, Any]


@dataclass
class Reply:
    """What the server sends: a completion (`text`), or anything else by `body`."""

    text: str | None = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    finish: str = "stop"
    wait_s: float = 0.0
    drip_s: float = 0.0
    hang_up: bool = False

    def content(self) -> bytes:
        if self.body is not None:
            return self.body
        return json.dumps({"choices": [{"message": {"role": "assistant", "content": self.text}, "finish_reason": self.finish}]}).encode()


@dataclass
class ChatServer:
    url: str
    requests: list[Request] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    most_at_once: int = 0


Script = Callable[[Request], Reply | str]


@contextlib.contextmanager
def chat_server(script: Script) -> Iterator[ChatServer]:
    """Serve `script`, which gets each request's JSON and returns what to send."""
    lock, leaving = threading.Lock(), threading.Event()
    current = 0

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            self._serve()

        def do_POST(self) -> None:
            self._serve()

        def _serve(self) -> None:
            nonlocal current
            with lock:
                current += 1
                state.most_at_once = max(state.most_at_once, current)
            try:
                self._answer()
            except (BrokenPipeError, ConnectionResetError):
                pass
            finally:
                with lock:
                    current -= 1

        def _answer(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "{}")
            with lock:
                state.requests.append(request)
                state.headers.append({key.lower(): value for key, value in self.headers.items()})
                state.paths.append(self.path)
            found = script(request)
            reply = Reply(found) if isinstance(found, str) else found
            leaving.wait(reply.wait_s)
            if reply.hang_up:
                self.connection.close()
                return
            content = reply.content()
            self.send_response(reply.status)
            for key, value in ({"Content-Type": "application/json", "Content-Length": str(len(content))} | reply.headers).items():
                self.send_header(key, value)
            self.end_headers()
            for start in range(0, len(content), 1 if reply.drip_s else 1 << 20):
                self.wfile.write(content[start : start + (1 if reply.drip_s else 1 << 20)])
                if reply.drip_s:
                    self.wfile.flush()
                    time.sleep(reply.drip_s)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state = ChatServer(f"http://127.0.0.1:{server.server_address[1]}/v1")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        leaving.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
