"""Where the runtime keeps what, below the state directory."""

import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Layout:
    """Directories of one state directory. `kafka` and `registry` hold data; `run` and `logs` may be deleted while nothing runs."""

    state_dir: Path

    @property
    def run(self) -> Path:
        """Lock, endpoints, ports, status and rendered configuration."""
        return self.state_dir / "run"

    @property
    def logs(self) -> Path:
        """One rotated log per process."""
        return self.state_dir / "logs"

    @property
    def kafka(self) -> Path:
        """The broker's log directory."""
        return self.state_dir / "kafka"

    @property
    def registry(self) -> Path:
        """The registry's database."""
        return self.state_dir / "registry"

    def scratch(self, name: str) -> Path:
        """Return the temporary and working directory of a service: empty at each start, so that no stray configuration is read from it."""
        return self.run / "scratch" / name

    def clear_scratch(self, name: str) -> None:
        """Empty the scratch directory of a service."""
        shutil.rmtree(self.scratch(name), ignore_errors=True)
        self.scratch(name).mkdir(parents=True)
