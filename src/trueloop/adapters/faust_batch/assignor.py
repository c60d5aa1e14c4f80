"""Who reads which partition, for apps whose topics cannot be divided together."""

from collections.abc import Mapping
from typing import Any

from faust.assignor.client_assignment import ClientAssignment
from faust.assignor.partition_assignor import PartitionAssignor


class SoleAssignor(PartitionAssignor):  # type: ignore[misc]
    """Gives everything to one member; the others stand by.

    For an app that joins topics with different numbers of partitions under one state: no division keeps what belongs together together.
    The member that has the partitions keeps them.
    """

    def _perform_assignment(self, cluster: Any, member_metadata: Mapping[str, Any]) -> dict[str, Any]:
        clients = {member: self._get_client_metadata(metadata) for member, metadata in member_metadata.items()}
        sole = min(clients, key=lambda member: (not clients[member].assignment.actives, member))
        assigned = super()._perform_assignment(cluster, {sole: member_metadata[sole]})
        self._update_member_urls(clients)
        others = {member: ClientAssignment(actives={}, standbys={}) for member in clients if member != sole}
        return {**assigned, **self._protocol_assignments(others, {}, {}, {})}

    @property
    def name(self) -> str:
        """Name under which the members agree on this way of assigning."""
        return "trueloop-sole"
