"""The calibration set as it is now, with its version: a new one is due when its content changed."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

from trueloop.trainers.job_context import JobContext

from trueloop.adapters.kafka import read_events
from trueloop.adapters.topic_range import read_range
from trueloop.datasets.calibration import CalibrationSet, build_calibration_set
from trueloop.datasets.pairs_dataset import seen_prompts
from trueloop.events import CalibrationItem, DatasetKind, DatasetVersion, FreezeCause, derive_id
from trueloop.rubrics import InForce
from trueloop.topics import CALIBRATION, DATASET_VERSIONS


@dataclass(frozen=True, slots=True)
class CalibrationSnapshot:
    """The set, its version (0 when there was never an item), and the event that announces the version when it is new."""

    items: CalibrationSet
    version: int
    announcement: DatasetVersion | None


def take_snapshot(context: JobContext, in_force: InForce) -> CalibrationSnapshot:
    """Read the calibration topic to its end. Raises UnavailableError."""
    request = context.request
    name = f"{request.application}/calibration"
    versions = [cast("DatasetVersion", event) for event in read_events(context.settings.kafka, context.codec, DATASET_VERSIONS)]
    newest = max((version for version in versions if version.name == name), key=lambda version: version.version, default=None)
    log = ((offset, cast("CalibrationItem", event)) for offset, event in read_range(context.settings.kafka, context.codec, CALIBRATION))
    found = build_calibration_set(
        log,
        request.application,
        in_force.policy.gate.max_items,
        trained_prompts=seen_prompts(context.pair_log, in_force.policy.sampling.split_by),
        split_by=in_force.policy.sampling.split_by,
        since=newest.end_offset if newest else 0,
    )
    if newest is None and not found.items:
        return CalibrationSnapshot(found, 0, None)
    if newest is not None and newest.content_hash == found.content_hash:
        return CalibrationSnapshot(found, newest.version, None)
    version = newest.version + 1 if newest else 1
    return CalibrationSnapshot(found, version, _announcement(name, version, found, in_force))


def _announcement(name: str, version: int, found: CalibrationSet, in_force: InForce) -> DatasetVersion:
    policy = in_force.policy
    return DatasetVersion(
        event_id=derive_id("dataset-version", name, str(version), found.content_hash),
        occurred_at=datetime.now(UTC),
        application=policy.application,
        name=name,
        version=version,
        kind=DatasetKind.CALIBRATION,
        content_hash=found.content_hash,
        parent=version - 1 or None,
        topic=CALIBRATION.name,
        partition=0,
        end_offset=found.end_offset,
        n_items=len(found.items),
        n_new=found.n_new,
        rubric_id=policy.rubric.id,
        rubric_version=policy.rubric.version,
        policy_version=policy.version,
        frozen_by=FreezeCause.EVALUATION,
        changelog=f"{len(found.items)} held-out prompts, {found.n_new} of them new",
    )
