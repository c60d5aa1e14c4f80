"""Ports of the embedded services: defaults when free, kept over restarts, others when taken. Loopback only."""

import contextlib
import errno
import json
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from trueloop.embedded.files import write_atomically

HOST = "127.0.0.1"
DEFAULT_PORTS: Mapping[str, int] = {"kafka": 19092, "kafka-controller": 19093, "registry": 18081, "clickhouse": 18123}


def is_free(port: int) -> bool:
    """Return whether a server can listen on the loopback port now. A connection in TIME_WAIT does not count, as for the servers themselves."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def pick_any() -> int:
    """Return a port that the kernel says is free."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def choose(
    wanted: Mapping[str, int],
    remembered: Mapping[str, int],
    *,
    is_free: Callable[[int], bool] = is_free,
    pick_any: Callable[[], int] = pick_any,
) -> dict[str, int]:
    """Return a distinct port for each name of `wanted`: the remembered one, else the wanted one, else any, the first that is free.

    >>> choose({"a": 1000, "b": 2000}, {"b": 2222}, is_free=lambda port: port != 1000, pick_any=lambda: 3333)
    {'a': 3333, 'b': 2222}
    """
    chosen: dict[str, int] = {}
    for name, default in wanted.items():
        candidates = [port for port in (remembered.get(name), default) if port is not None]
        port = next((port for port in candidates if port not in chosen.values() and is_free(port)), None)
        while port is None or port in chosen.values():
            port = pick_any()
        chosen[name] = port
    return chosen


class Claims:
    """Ports that one runtime has chosen and whose servers may not listen yet, kept from the other runtimes of this machine.

    Without a claim, two runtimes that start together choose the same port; the second then finds a server that answers there, the first's, takes
    it for its own, and loses it when the first stops. A claim is an abstract Unix socket: like ports it belongs to the network namespace, and it
    ends with the process, kill -9 included. Other systems than Linux have none; there nothing is claimed.
    """

    def __init__(self) -> None:
        self._held: dict[int, socket.socket] = {}

    def take(self, port: int) -> bool:
        """Return whether the port is now this runtime's, and nobody listens there."""
        if sys.platform == "linux" and port not in self._held:
            claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                claim.bind(f"\0trueloop-port-{port}")
            except OSError as error:
                claim.close()
                if error.errno != errno.EADDRINUSE:
                    raise
                return False
            self._held[port] = claim
        if is_free(port):
            return True
        self._give_back(port)
        return False

    def any(self) -> int:
        """Return a port that the kernel says is free and no other runtime has chosen."""
        while not self.take(port := pick_any()):
            pass
        return port

    def release(self) -> None:
        """Give every port back."""
        for port in list(self._held):
            self._give_back(port)

    def _give_back(self, port: int) -> None:
        if port in self._held:
            self._held.pop(port).close()


def choose_for(run_dir: Path, claims: Claims, wanted: Mapping[str, int] = DEFAULT_PORTS) -> dict[str, int]:
    """Choose and claim ports for a state directory, and remember them in `RUN_DIR/ports.json`."""
    chosen = choose(wanted, remembered(run_dir), is_free=claims.take, pick_any=claims.any)
    write_atomically(run_dir / "ports.json", json.dumps(chosen, indent=2))
    return chosen


def remembered(run_dir: Path) -> dict[str, int]:
    """Return the ports that the state directory used last; none when it is new or the file is not readable as such."""
    try:
        content = json.loads((run_dir / "ports.json").read_text(encoding="utf-8"))
        return {str(name): int(port) for name, port in content.items()}
    except (FileNotFoundError, ValueError, AttributeError, TypeError):
        return {}


def owner_of(port: int) -> str | None:
    """Return "NAME (pid N)" of the process that listens on the port, None when it cannot be told (another user's process)."""
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return None
