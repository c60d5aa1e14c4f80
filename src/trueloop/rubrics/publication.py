"""What may be published: a version never changes once published, versions rise, and a policy fits its rubric."""

from collections.abc import Sequence
from datetime import datetime

from trueloop.errors import ConfigurationError
from trueloop.events import PolicyPublished, RubricPublished, derive_id
from trueloop.rubrics.canonical import canonical_json, content_hash
from trueloop.rubrics.policy import Policy
from trueloop.rubrics.rubric import OVERALL, Rubric

EVERY_APPLICATION = "all"
"""Stands in the event of a rubric for its application: a rubric belongs to whichever policies name it."""


def rubric_event(rubric: Rubric, now: datetime) -> RubricPublished:
    """Return the event that publishes a rubric. The same version with the same content has the same id."""
    digest = content_hash(rubric)
    return RubricPublished(
        event_id=derive_id("rubric", rubric.id, str(rubric.version), digest),
        occurred_at=now,
        application=EVERY_APPLICATION,
        rubric_id=rubric.id,
        version=rubric.version,
        content_hash=digest,
        document=canonical_json(rubric),
    )


def policy_event(policy: Policy, now: datetime) -> PolicyPublished:
    """Return the event that publishes a policy. The same version with the same content has the same id."""
    digest = content_hash(policy)
    return PolicyPublished(
        event_id=derive_id("policy", policy.id, str(policy.version), digest),
        occurred_at=now,
        application=policy.application,
        policy_id=policy.id,
        version=policy.version,
        content_hash=digest,
        document=canonical_json(policy),
    )


def is_new(document: Rubric | Policy, published: Sequence[RubricPublished] | Sequence[PolicyPublished]) -> bool:
    """Return whether a document is still to be published, given what is; False when this very content already is.

    Raises:
        ConfigurationError: When its version was published with other content, or is below the newest.
    """
    noun = type(document).__name__.lower()
    versions = {event.version: event.content_hash for event in published if _id(event) == document.id}
    digest = content_hash(document)
    if document.version in versions:
        if versions[document.version] == digest:
            return False
        raise ConfigurationError(
            f"{noun} {document.id!r} version {document.version} is published with other content ({versions[document.version][:12]}; yours is {digest[:12]}): "
            f"a version never changes once published; raise version to {max(versions) + 1}"
        )
    if versions and document.version < max(versions):
        raise ConfigurationError(
            f"{noun} {document.id!r} version {document.version} is below the newest published, {max(versions)}; raise version to {max(versions) + 1}"
        )
    return True


def check_policy(policy: Policy, rubric: Rubric) -> tuple[str, ...]:
    """Check a policy against its rubric and return warnings: what is allowed, but seldom meant.

    Raises:
        ConfigurationError: When the rubric is not the one that the policy names, or the gate names a dimension that the rubric lacks.
    """
    if (rubric.id, rubric.version) != (policy.rubric.id, policy.rubric.version):
        raise ConfigurationError(
            f"policy {policy.id!r} names rubric {policy.rubric.id!r} version {policy.rubric.version}, given {rubric.id!r} version {rubric.version}"
        )
    names = [dimension.name for dimension in rubric.dimensions]
    gated = [gate.dimension for gate in policy.gate.dimensions]
    for index, gate in enumerate(policy.gate.dimensions, 1):
        name = gate.dimension
        if name not in names and not (gate.people and name == OVERALL):
            raise ConfigurationError(
                f"policy {policy.id!r}: gate.dimensions[{index}].dimension = {name!r} is no dimension of rubric {rubric.id!r} version {rubric.version}; "
                f"expected one of {', '.join(names)}"
            )
    warnings = [f"dimension {name!r} is not gated: a candidate may lose on it and still be released" for name in names if name not in gated]
    warnings += [
        f"dimension {dimension.name!r} is gated without a floor: only its regression is bounded"
        for dimension in rubric.dimensions
        if dimension.name in gated and dimension.floor is None
    ]
    return tuple(warnings)


def _id(event: RubricPublished | PolicyPublished) -> str:
    return event.rubric_id if isinstance(event, RubricPublished) else event.policy_id
