"""The policy of the application that tests train and judge: everything is reviewed, and a gate that each test gives."""

from collections.abc import Mapping
from typing import Any

from trueloop.rubrics import Policy

APPLICATION = "billing-support"


def billing_policy(gate: Mapping[str, Any], **changes: Any) -> Policy:
    """Return the policy with this gate, and with changes to what stands beside it."""
    values = {
        "id": "billing",
        "version": 1,
        "application": APPLICATION,
        "rubric": {"id": "billing", "version": 1},
        "sampling": {"rate": 1.0},
        "gate": gate,
    }
    return Policy.model_validate(values | changes)
