"""An endpoint on loopback that criticises, revises and compares billing answers by a script that reads the prompt: it stands for a model that can.

It heeds the one principle that it is asked by, and is wrong about that in a share of its revisions; of its comparisons the same share is turned.
"""

import json
import re
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

from billing_edits import DIMENSION_OF_REVISION, edited
from billing_pairs import RUBRIC, compared

from trueloop.demo.billing_checks import check
from trueloop.events import unit_interval
from trueloop.pairs.comparison import net_wins

_PART = re.compile(r"<<<BEGIN ([^\n]+) ([0-9a-f]{16})>>>\n(.*?)\n<<<END \2>>>", re.DOTALL)
_ROLE = "message of the "


class ScriptedCritic:
    """The endpoint, in a process of its own, so that its time is nobody's training time. As a context it gives its address."""

    def __init__(self, noise: float, seed: int) -> None:
        self._ours, theirs = get_context("fork").Pipe()
        self._process = get_context("fork").Process(target=_serve, args=(noise, seed, theirs), daemon=True)

    def __enter__(self) -> str:
        """Start it and return its address."""
        self._process.start()
        return f"http://127.0.0.1:{self._ours.recv()}/v1"

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End it."""
        self._process.terminate()
        self._process.join()


def _serve(noise: float, seed: int, parent: Connection) -> None:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            message = {"role": "assistant", "content": reply(request["messages"][-1]["content"], noise, seed)}
            body = json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    parent.send(server.server_address[1])
    server.serve_forever()


def reply(question: str, noise: float, seed: int) -> str:
    """Return what the script says to a question of the product's judges or of its constitution."""
    parts = [(name, text) for name, _, text in _PART.findall(question)]
    messages = [{"role": name.removeprefix(_ROLE), "content": text} for name, text in parts if name.startswith(_ROLE)]
    named = dict(parts)
    if "answer A" in named:
        return _preferred(messages, named["answer A"], named["answer B"], noise, seed)
    dimension = next((name for revision, name in DIMENSION_OF_REVISION.items() if revision in question), None)
    if dimension is None:
        return "See the principle."
    errs = unit_interval("critic", str(seed), messages[-1]["content"], messages[0]["content"], dimension) < noise
    return edited(messages, named["answer"], dimension, errs=errs)


def _preferred(messages: Sequence[Mapping[str, str]], first: str, second: str, noise: float, seed: int) -> str:
    direction = net_wins(compared(check(messages, first), check(messages, second)), RUBRIC).direction
    if unit_interval("judge", str(seed), messages[0]["content"], *sorted((first, second))) < noise:
        direction = -direction
    return json.dumps({"better": ("tie", "A", "B")[direction]})
