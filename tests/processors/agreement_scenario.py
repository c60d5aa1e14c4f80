"""A rubric with a dimension of every level of measurement, a policy with panes of an hour, and makers of contributions to agreement."""

from datetime import UTC, datetime, timedelta

from tests.factories import example
from trueloop.agreement import Evidence, Moments, Replicates, evidence_of
from trueloop.agreement.pattern import pattern_of
from trueloop.events import AgreementUnits, PolicyPublished, RubricPublished
from trueloop.events.agreement import WindowKind
from trueloop.processors.agreement import PROCESSOR
from trueloop.processors.processor import Context
from trueloop.rubrics import Governance
from trueloop.rubrics.policy import Policy
from trueloop.rubrics.rubric import Rubric
from trueloop.testing import Clock, ProcessorDriver

APPLICATION = "billing-support"

NOON = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)

LONG_AGO = NOON - timedelta(days=365)

SCALE = range(1, 6)


def rubric_event(version=2):
    rubric = Rubric.model_validate(
        {
            "id": "billing",
            "version": version,
            "title": "Billing",
            "statement": "Answer well.",
            "dimensions": [
                {"name": "tone", "description": "Kind.", "scale": {"min": SCALE[0], "max": SCALE[-1]}},
                {"name": "kind", "description": "Which.", "scale": {"min": 0, "max": 2, "level": "nominal"}},
                {"name": "minutes", "description": "How long.", "scale": {"min": 0, "max": 100, "level": "ratio"}},
                {"name": "degrees", "description": "How warm.", "scale": {"min": -10, "max": 10, "level": "interval"}},
            ],
        }
    )
    return example(RubricPublished, rubric_id="billing", version=version, content_hash="rubric", document=rubric.model_dump_json())


def policy_event(version=1, since=LONG_AGO, **agreement):
    """Panes of an hour, windows of three hours."""
    policy = Policy.model_validate(
        {
            "id": "billing-policy",
            "version": version,
            "application": APPLICATION,
            "rubric": {"id": "billing", "version": 2},
            "sampling": {"rate": 1.0},
            "agreement": {"pane_minutes": 60.0, "window_panes": 3} | agreement,
            "gate": {"dimensions": [{"dimension": "tone", "evaluator": "check:tone"}]},
        }
    )
    return example(
        PolicyPublished,
        event_id=f"policy-{version}",
        policy_id="billing-policy",
        version=version,
        content_hash=f"policy-{version}",
        occurred_at=since,
        document=policy.model_dump_json(),
    )


def driver(*policies, at=NOON + timedelta(days=1)):
    return ProcessorDriver(PROCESSOR, Context(Governance([rubric_event()], policies or [policy_event()])), Clock(at))


def units(task, counts=(), *, at=NOON, revision=1, **changes):
    """A contribution: one unit per mapping of value to raters."""
    values = {
        "event_id": f"units-{task}-{revision}-{changes.get('series_id', '')}",
        "task_id": task,
        "task_at": at,
        "revision": revision,
        "units": [{"unit_id": f"{task}-{n}", "values": sorted(c), "counts": [c[value] for value in sorted(c)]} for n, c in enumerate(counts)],
    }
    return example(AgreementUnits, **(values | changes))


def minutes(count):
    return NOON + timedelta(minutes=count)


def rolling(drive):
    return [event for event in drive.out if event.window_kind is WindowKind.ROLLING]


def panes(drive):
    return [event for event in drive.out if event.window_kind is WindowKind.PANE]


def batch(tasks, level="ordinal", weights="ordinal"):
    """The evidence of tasks, each given with its units."""
    clusters = ((task, tuple((pattern_of(counts), 1) for counts in counted)) for task, counted in tasks.items())
    return evidence_of(clusters, Evidence(moments=Moments(weights), replicates=Replicates(level)))
