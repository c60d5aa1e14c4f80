"""A runtime with every worker of the loop, and what tests of it share."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from trueloop.config import Settings, load_settings
from trueloop.embedded.runtime import EmbeddedRuntime
from trueloop.embedded.stack import loop_stack


def start(state_dir: Path) -> EmbeddedRuntime:
    """Start the whole loop in `state_dir`, ready."""
    runtime = EmbeddedRuntime(state_dir, loop_stack(state_dir))
    runtime.start()
    try:
        runtime.wait_ready(180.0)
    except BaseException:
        runtime.stop()
        raise
    return runtime


def settings_of(runtime: EmbeddedRuntime) -> Settings:
    """Settings that reach the runtime, whatever the tester's own environment says."""
    return load_settings(state_dir=runtime.layout.state_dir)


def trueloop(runtime: EmbeddedRuntime, *arguments: str, timeout_s: float = 120.0) -> subprocess.CompletedProcess[str]:
    """Run the command line against the runtime."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRUELOOP_")}
    environment["TRUELOOP_STATE_DIR"] = str(runtime.layout.state_dir)
    command = [sys.executable, "-m", "trueloop.cli", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False)


def until(condition: Callable[[], bool], what: str, deadline_s: float = 240.0) -> None:
    """Return when the condition holds; fail, saying what did not come, at the deadline: much later than it comes, for another file runs beside this one."""
    ends = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < ends, f"not within {deadline_s:g} s: {what}"
        time.sleep(0.1)


def pid_of(runtime: EmbeddedRuntime, name: str) -> int | None:
    """The pid of a service, None while it has none."""
    return next((service.pid for service in runtime.status.services if service.name == name), None)
