"""What `accelerate launch` or a Kubernetes Job runs: a method's `main`, its order and its outcome in files (see `exchange`).

    accelerate launch --num_processes=2 -m trueloop.trainers.launched DIRECTORY

Every process trains; process 0 tells of it. With --while-parent it ends when its standard input does, that is, with the process that started
it; with --while-ordered when its order was taken away, which is how a pod learns that its job was cancelled or begun again elsewhere.
"""

import argparse
import os
import sys
import threading
import time
from pathlib import Path

from trueloop.trainers.exchange import Exchange
from trueloop.trainers.faults import describe
from trueloop.trainers.methods import find_method

ORDER_INTERVAL_S = 2.0
"""How often a process looks whether it is still wanted."""


def main() -> None:
    """Run from the command line. Exits with 1 when training failed; `ended.json` says of what."""
    parser = argparse.ArgumentParser(description="The training of one job, as an executor starts it")
    parser.add_argument("directory", type=Path, help="the job's working directory")
    parser.add_argument("--while-parent", action="store_true", help="end when standard input ends")
    parser.add_argument("--while-ordered", action="store_true", help="end when the order is no longer there")
    arguments = parser.parse_args()
    if arguments.while_parent:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    if arguments.while_ordered:
        threading.Thread(target=_end_with_order, args=(Exchange(arguments.directory),), daemon=True).start()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    sys.exit(run(arguments.directory))


def run(directory: Path) -> int:
    """Train and return the exit code."""
    first = os.environ.get("RANK", "0") == "0"
    exchange = Exchange(directory)
    try:
        method, settings = exchange.read_order()
        module = find_method(method).load()
        report = module.main(module.Config.model_validate(settings), exchange.progress if first else None)
    except Exception as error:  # whatever it fails of, the process that waits must hear of it; any rank may be the one that fails
        exchange.end(describe(error))
        return 1
    if first:
        exchange.end(report)
    return 0


def _end_with_parent() -> None:
    # Not by sys.stdin: a thread that waits in its buffer when the process ends is fatal to the interpreter, and the launcher would hold it for failed.
    while os.read(0, 1 << 16):
        pass
    os._exit(1)


def _end_with_order(exchange: Exchange) -> None:
    mine = exchange.order()
    while exchange.order() == mine:
        time.sleep(ORDER_INTERVAL_S)
    os._exit(1)


if __name__ == "__main__":
    main()
