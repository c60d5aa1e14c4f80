"""Where the embedded services listen, written where every other command looks."""

import json
from dataclasses import dataclass
from pathlib import Path

from trueloop.embedded import schema_registry
from trueloop.embedded.files import write_atomically
from trueloop.embedded.ports import HOST


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Addresses of the embedded services, all on loopback."""

    kafka: str
    """`host:port` of the broker."""
    registry: str
    """URL of the registry's Confluent API."""
    clickhouse: str
    """URL of the read-only ClickHouse interface, which the sink worker serves."""

    @classmethod
    def from_ports(cls, ports: dict[str, int]) -> "Endpoints":
        """Return the endpoints of services on these ports."""
        return cls(
            kafka=f"{HOST}:{ports['kafka']}",
            registry=schema_registry.url(ports["registry"]),
            clickhouse=f"http://{HOST}:{ports['clickhouse']}",
        )

    def write(self, run_dir: Path) -> None:
        """Write `endpoints.json`, whose keys are those of `trueloop.config.Settings`."""
        content = {
            "kafka": {"bootstrap_servers": self.kafka},
            "registry": {"url": self.registry},
            "clickhouse": {"url": self.clickhouse, "embedded": True},
        }
        write_atomically(run_dir / "endpoints.json", json.dumps(content, indent=2) + "\n")

    def environment(self) -> dict[str, str]:
        """Return the settings for a worker's environment, where they take precedence over a `trueloop.toml` made for production."""
        return {
            "TRUELOOP_KAFKA__BOOTSTRAP_SERVERS": self.kafka,
            "TRUELOOP_REGISTRY__URL": self.registry,
            "TRUELOOP_CLICKHOUSE__URL": self.clickhouse,
            "TRUELOOP_CLICKHOUSE__EMBEDDED": "true",
        }


def remove(run_dir: Path) -> None:
    """Delete `endpoints.json`: nothing listens there any more."""
    (run_dir / "endpoints.json").unlink(missing_ok=True)
