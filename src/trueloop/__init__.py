"""Trueloop: production traces, human labels and user appeals turned into gated model updates, as one replayable stream."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trueloop.client import Client

__all__ = ["Client", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import the client on first use, so that `import trueloop` costs nothing."""
    if name == "Client":
        from trueloop.client import Client

        return Client
    raise AttributeError(f"module 'trueloop' has no attribute {name!r}")
