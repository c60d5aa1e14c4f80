"""`trueloop up`, `down`, `status`, `doctor` and `fetch`: the one-machine runtime with the workers of the loop."""

from pathlib import Path

from trueloop.embedded.commands import build_app
from trueloop.embedded.runtime import Stack


def _stack(state_dir: Path) -> Stack:
    from trueloop.embedded.stack import loop_stack

    return loop_stack(state_dir)


app = build_app(_stack, module="trueloop.cli")
