"""Which policy and rubric govern an event, and what sampling was told for its time: review quotas, and how far reviewers disagree."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from trueloop.errors import ConfigurationError
from trueloop.events import PolicyPublished, ReviewQuota, RubricPublished, SliceDisagreement
from trueloop.rubrics.policy import Policy
from trueloop.rubrics.rubric import Rubric


@dataclass(frozen=True, slots=True)
class InForce:
    """A policy with its rubric, and the hashes that are stamped on what used them."""

    policy: Policy
    policy_hash: str
    rubric: Rubric
    rubric_hash: str
    since: datetime


class Governance:
    """All published policies and rubrics, and what sampling was told. Immutable; answers by event time, so that a replay finds the policy of that day."""

    def __init__(
        self,
        rubrics: Iterable[RubricPublished] = (),
        policies: Iterable[PolicyPublished] = (),
        quotas: Iterable[ReviewQuota] = (),
        disagreements: Iterable[SliceDisagreement] = (),
    ) -> None:
        self._rubrics = {(e.rubric_id, e.version): (Rubric.model_validate_json(e.document), e.content_hash) for e in rubrics}
        self._policies: dict[str, list[InForce]] = {}
        self._by_version: dict[tuple[str, int], InForce] = {}
        for event in sorted(policies, key=lambda e: (e.occurred_at, e.version)):
            self._add(event)
        self._quotas: dict[str, list[ReviewQuota]] = {}
        # Those of a slice first: of two that ask for the same, a trace is told the narrower.
        for quota in sorted(quotas, key=lambda e: (e.slice == "all", e.starts_at, e.quota_id)):
            self._quotas.setdefault(quota.application, []).append(quota)
        self._disagreements: dict[str, dict[tuple[str, str, str, int], list[SliceDisagreement]]] = {}
        for told in sorted(disagreements, key=lambda e: (e.starts_at, e.occurred_at, e.disagreement_id)):
            series = told.dimension, told.slice, told.rubric_id, told.rubric_version
            self._disagreements.setdefault(told.application, {}).setdefault(series, []).append(told)

    def _add(self, event: PolicyPublished) -> None:
        policy = Policy.model_validate_json(event.document)
        found = self._rubrics.get((policy.rubric.id, policy.rubric.version))
        if found is None:
            raise ConfigurationError(
                f"policy {policy.id!r} version {policy.version} names rubric {policy.rubric.id!r} version {policy.rubric.version}, "
                "which is not published; publish the rubric first"
            )
        in_force = InForce(policy, event.content_hash, found[0], found[1], event.occurred_at)
        self._policies.setdefault(policy.application, []).append(in_force)
        self._by_version[policy.id, policy.version] = in_force

    def in_force(self, application: str, at: datetime) -> InForce | None:
        """Return the newest policy published at or before `at`; for earlier events the first; None for an unknown application."""
        versions = self._policies.get(application)
        if not versions:
            return None
        return next((version for version in reversed(versions) if version.since <= at), versions[0])

    def versions(self, application: str) -> tuple[InForce, ...]:
        """Return every version of an application's policy, oldest first: what `in_force` chooses from."""
        return tuple(self._policies.get(application, ()))

    def quotas(self, application: str, since: datetime, until: datetime) -> tuple[ReviewQuota, ...]:
        """Return the application's review quotas that are open at some time from `since` to `until`, both included."""
        return tuple(quota for quota in self._quotas.get(application, ()) if quota.starts_at <= until and since < quota.ends_at)

    def disagreements(self, application: str, rubric: Rubric, since: datetime, until: datetime) -> tuple[SliceDisagreement, ...]:
        """Return what holds of an application's reviewers, under a rubric version, at some time from `since` to `until`; ascending by when it begins."""
        found: list[SliceDisagreement] = []
        for (_, _, *version), told in self._disagreements.get(application, {}).items():
            if version == [rubric.id, rubric.version]:
                first, last = (bisect_right(told, moment, key=lambda each: each.starts_at) for moment in (since, until))
                found += told[max(first - 1, 0) : last]
        return tuple(sorted(found, key=lambda each: each.starts_at))

    def policy(self, policy_id: str, version: int) -> InForce | None:
        """Return that version of a policy, or None when it was never published."""
        return self._by_version.get((policy_id, version))

    def rubric(self, rubric_id: str, version: int) -> Rubric | None:
        """Return that version of a rubric, or None when it was never published."""
        found = self._rubrics.get((rubric_id, version))
        return found[0] if found else None

    @property
    def applications(self) -> tuple[str, ...]:
        """Applications that have a policy."""
        return tuple(sorted(self._policies))
