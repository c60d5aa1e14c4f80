"""Apicurio Registry as a child process: the Confluent API, its database in a file."""

import http.client
import json
from collections.abc import Mapping

from trueloop.embedded import jvm
from trueloop.embedded.artifacts import REGISTRY
from trueloop.embedded.layout import Layout
from trueloop.embedded.ports import HOST
from trueloop.embedded.service import ServiceSpec
from trueloop.embedded.store import ArtifactStore

NAME = "registry"
COMPATIBILITY = "FULL_TRANSITIVE"
_API = "/apis/ccompat/v7"
_HEAP_MIB = 192
_PROBE_TIMEOUT_S = 2.0


def url(port: int) -> str:
    """Return the URL of the Confluent API."""
    return f"http://{HOST}:{port}{_API}"


def properties(layout: Layout, port: int) -> dict[str, str]:
    """Return the registry's settings."""
    return {
        "quarkus.http.host": HOST,
        "quarkus.http.port": str(port),
        # The management interface listens on every address at port 9000 unless told otherwise; nobody here asks for it.
        "quarkus.management.host": HOST,
        "quarkus.management.port": "0",
        "quarkus.http.access-log.enabled": "false",
        "quarkus.banner.enabled": "false",
        "apicurio.storage.kind": "sql",
        "apicurio.storage.sql.kind": "h2",
        # Without WRITE_DELAY=0 a kill -9 loses the last half second, schema ids that are already in records included.
        "apicurio.datasource.url": f"jdbc:h2:file:{(layout.registry / 'registry').absolute()};WRITE_DELAY=0",
    }


def service(layout: Layout, ports: Mapping[str, int], store: ArtifactStore, cache: jvm.ClassCache) -> ServiceSpec:
    """Return the registry as a service of the supervisor."""
    port, scratch = ports["registry"], layout.scratch(NAME)

    def prepare() -> None:
        layout.clear_scratch(NAME)
        layout.registry.mkdir(parents=True, exist_ok=True)

    return ServiceSpec(
        name=NAME,
        command=jvm.command(
            heap_mib=_HEAP_MIB,
            cache=cache,
            temporary=scratch,
            properties=properties(layout, port),
            launch=["-jar", str(store.directory(REGISTRY) / "quarkus-run.jar")],
        ),
        env=jvm.environment(scratch),
        cwd=scratch,
        log_file=layout.logs / f"{NAME}.log",
        stage=1,
        prepare=prepare,
        probe=lambda: require_compatibility(port),
        endpoint=url(port),
    )


def require_compatibility(port: int) -> bool:
    """Make the registry check every new schema against all earlier ones; return whether it answered.

    This is the readiness probe: a registry that does not check yet, as a new one does not, must not be taken for ready.
    """
    connection = http.client.HTTPConnection(HOST, port, timeout=_PROBE_TIMEOUT_S)  # not urllib, which would ask a proxy
    try:
        connection.request("PUT", f"{_API}/config", json.dumps({"compatibility": COMPATIBILITY}), {"Content-Type": "application/json"})
        return bool(json.loads(connection.getresponse().read())["compatibility"] == COMPATIBILITY)
    except (OSError, http.client.HTTPException, ValueError, KeyError):
        return False
    finally:
        connection.close()
