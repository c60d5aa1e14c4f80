"""`python -m trueloop.embedded`: the runtime without workers, as a plain Kafka broker with a schema registry."""

import sys

from trueloop.embedded.commands import build_app
from trueloop.errors import TrueloopError

if __name__ == "__main__":
    try:
        build_app()()
    except TrueloopError as error:
        sys.exit(f"trueloop: {error}")
