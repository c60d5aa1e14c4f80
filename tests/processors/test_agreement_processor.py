"""The agreement processor: what reaches the estimates, in which window, what redelivery and restarts leave alone, and what is forgotten when."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.factories import example
from trueloop.agreement import Evidence, Moments, Replicates, evidence_of, fleiss_kappa, gwet_ac1, gwet_ac2, krippendorff_alpha, observed_agreement, span_f1
from trueloop.agreement.pattern import pattern_of
from trueloop.events import AgreementEstimate, AgreementUnits, PolicyPublished, RubricPublished, Undefined
from trueloop.events.agreement import MeasurementLevel, WindowKind
from trueloop.events.agreement_units import UnitKind
from trueloop.processors.agreement import PROCESSOR, pane_of
from trueloop.processors.processor import Context, Source
from trueloop.rejection import RejectReason
from trueloop.rubrics import Governance
from trueloop.rubrics.policy import Agreement, Policy
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


def test_the_estimate_is_what_the_library_says_of_the_same_ratings():
    drive = driver()
    drive.send(units("a", [{1: 2, 5: 1}, {2: 2}]), at=minutes(90))
    drive.send(units("b", [{4: 1}, {4: 3}]), at=minutes(91))
    estimate = rolling(drive)[-1]
    evidence = batch({"a": [{1: 2, 5: 1}, {2: 2}], "b": [{4: 1}, {4: 3}]})
    assert estimate.alpha == estimate.alpha_ordinal == krippendorff_alpha(evidence, level="ordinal").value
    assert estimate.alpha_nominal == krippendorff_alpha(evidence, level="nominal").value
    assert (estimate.alpha_interval, estimate.alpha_ratio) == (None, None)  # the numbers of an ordinal scale have no distances
    assert estimate.ac1 == gwet_ac1(evidence, categories=SCALE).value  # the scale has five values, of which four were given
    assert estimate.ac2 == gwet_ac2(evidence, weights="ordinal", categories=SCALE).value
    assert estimate.fleiss_kappa == fleiss_kappa(evidence).value
    assert estimate.p_o == observed_agreement(evidence).value
    assert (estimate.n_units, estimate.n_labels, estimate.n_tasks) == (3, 8, 2)
    assert (estimate.undefined, estimate.alpha_low, estimate.ac1_undefined) == (Undefined.TOO_FEW_UNITS, None, Undefined.TOO_FEW_UNITS)
    assert (estimate.application, estimate.series_id, estimate.dimension, estimate.slice) == (APPLICATION, "series-1", "tone", "locale=de")
    assert (estimate.kind, estimate.level, estimate.categories) == (UnitKind.RATING, MeasurementLevel.ORDINAL, list(SCALE))
    assert (estimate.window_start, estimate.window_end) == (NOON - timedelta(hours=2), NOON + timedelta(hours=1))
    assert estimate.occurred_at == minutes(91)
    assert drive.outcomes == {"counted": 2}


def test_intervals_are_what_the_library_says_of_the_same_ratings():
    drive, tasks = driver(), {}
    for number in range(60):
        tasks[f"t{number}"] = [{1 + number % 5: 2, 1 + (number * 7 + number // 9) % 5: 1} if number % 3 else {3: 3}]
        tasks[f"t{number}"] = [dict(Counter(tasks[f"t{number}"][0]))]
        drive.send(units(f"t{number}", tasks[f"t{number}"], at=minutes(number)))
    estimate, evidence = rolling(drive)[-1], batch(tasks)
    alpha, ac1 = krippendorff_alpha(evidence, level="ordinal"), gwet_ac1(evidence, categories=SCALE)
    assert (estimate.alpha, estimate.alpha_low, estimate.alpha_high, estimate.undefined) == (alpha.value, alpha.ci_low, alpha.ci_high, None)
    assert (estimate.ac1, estimate.ac1_low, estimate.ac1_high, estimate.ac1_undefined) == (ac1.value, ac1.ci_low, ac1.ci_high, None)
    assert (estimate.p_o_low, estimate.p_o_high) == observed_agreement(evidence).interval
    assert (estimate.fleiss_kappa_low, estimate.fleiss_kappa_high) == fleiss_kappa(evidence).interval
    assert (estimate.ac2_low, estimate.ac2_high) == gwet_ac2(evidence, weights="ordinal", categories=SCALE).interval
    assert alpha.ci_low < alpha.value < alpha.ci_high


@pytest.mark.parametrize(("dimension", "level", "weights"), [("kind", "nominal", None), ("degrees", "interval", "quadratic"), ("minutes", "ratio", "ratio")])
def test_each_level_of_measurement_has_its_coefficients(dimension, level, weights):
    drive = driver()
    tasks = {f"t{number}": [{number % 3: 2, (number + number // 7) % 3: 1} if number // 7 % 3 else {number % 3: 3}] for number in range(30)}
    for task, counted in tasks.items():
        drive.send(units(task, counted, dimension=dimension))
    estimate, evidence = rolling(drive)[-1], batch(tasks, level, weights)
    assert estimate.level is MeasurementLevel[level.upper()]
    alpha = krippendorff_alpha(evidence, level=level)
    assert (estimate.alpha, estimate.alpha_low, estimate.alpha_high) == (alpha.value, *alpha.interval)
    known = ["nominal", "ordinal", "interval", "ratio"]
    for other in known:
        value = getattr(estimate, f"alpha_{other}")
        assert (value is None) == (known.index(other) > known.index(level)), other
        assert value is None or value == krippendorff_alpha(evidence, level=other).value
    assert (estimate.ac2 is None) == (weights is None)
    if weights is not None:
        assert estimate.ac2 == gwet_ac2(evidence, weights=weights, categories=estimate.categories).value


def test_no_evidence_is_null_with_its_reason():
    drive = driver()
    drive.send(units("a", [{3: 1}]))
    estimate = rolling(drive)[-1]
    assert (estimate.n_units, estimate.alpha, estimate.p_o, estimate.ac1, estimate.fleiss_kappa) == (0, None, None, None, None)
    assert estimate.undefined is estimate.ac1_undefined is Undefined.NO_PAIRABLE_UNITS
    drive.send(units("b", [{3: 2}]))
    estimate = rolling(drive)[-1]
    assert (estimate.n_units, estimate.alpha, estimate.p_o, estimate.ac1, estimate.fleiss_kappa) == (1, None, 1.0, 1.0, None)
    assert (estimate.undefined, estimate.ac1_undefined, estimate.ac1_low) == (Undefined.NO_VARIATION, Undefined.TOO_FEW_UNITS, None)


def test_retraction_to_empty_says_null_in_the_window_it_held():
    drive = driver()
    drive.send(units("a", [{1: 1, 2: 1}], at=minutes(-30)))
    drive.send(units("a", [], at=minutes(-30), revision=2))
    for before, after in (rolling(drive), panes(drive)):
        assert (after.n_units, after.n_labels, after.alpha, after.undefined) == (0, 0, None, Undefined.NO_PAIRABLE_UNITS)
        assert (after.window_start, after.window_end) == (before.window_start, before.window_end)
        assert after.event_id != before.event_id


def test_a_newer_revision_replaces_and_an_older_one_does_not():
    drive = driver()
    drive.send(units("a", [{1: 1, 2: 1}], revision=2))
    drive.send(units("a", [{1: 3}], revision=3))
    drive.send(units("a", [{1: 1, 2: 1}], revision=2))
    assert drive.outcomes == {"counted": 1, "replaced": 1, "stale": 1}
    assert len(rolling(drive)) == len(panes(drive)) == 2
    assert (drive.out[-1].n_units, drive.out[-1].n_labels) == (1, 3)


def test_the_same_revision_with_other_content_replaces():
    """A contribution is a function of its labels: what came last is what was computed last."""
    drive = driver()
    drive.send(units("a", [{1: 2}]))
    drive.send(units("a", [{1: 3}]))
    assert drive.out[-1].n_labels == 3


def test_replay_changes_nothing():
    drive = driver()
    for number in range(6):
        drive.send(units(f"t{number}", [{1: 2, 2: number + 1}], at=minutes(20 * number)))
    drive.send(units("t3", [{4: 2}], at=minutes(60), revision=2))
    states = {key: drive.state(key) for key in drive.keys}
    out = list(drive.out)
    assert drive.replay() == []
    assert {key: drive.state(key) for key in drive.keys} == states
    assert drive.out == out
    assert drive.outcomes["duplicate"] == 6
    assert drive.outcomes["stale"] == 1


def test_windows_move_by_event_time_and_drop_old_panes():
    """Panes of an hour, windows of three:  | 12 a | 13 b | 14 c | 15 d |  d pushes a out."""
    drive = driver()
    for hour, task in enumerate("abcd"):
        drive.send(units(task, [{1: 2}], at=NOON + timedelta(hours=hour)))
    assert [estimate.n_units for estimate in rolling(drive)] == [1, 2, 3, 3]
    assert [estimate.window_end.hour for estimate in rolling(drive)] == [13, 14, 15, 16]
    assert [(estimate.n_units, estimate.window_start.hour, estimate.window_end.hour) for estimate in panes(drive)] == [(1, h, h + 1) for h in (12, 13, 14, 15)]


def test_the_edge_of_a_pane_belongs_to_the_next():
    drive = driver()
    drive.send(units("a", [{1: 2}], at=NOON - timedelta(microseconds=1)))
    drive.send(units("b", [{1: 2}], at=NOON))
    assert [estimate.window_end for estimate in rolling(drive)] == [NOON, NOON + timedelta(hours=1)]


def test_a_label_after_its_window_closed_corrects_its_pane_and_no_other():
    drive = driver()
    for hour in range(5):
        drive.send(units(f"t{hour}", [{1: 2}], at=NOON + timedelta(hours=hour)))
    before = {event.window_start: event for event in panes(drive)}
    drive.send(units("t0", [{1: 2, 4: 1}], at=NOON, revision=2))
    *_, corrected, window = drive.out
    assert (corrected.window_kind, corrected.window_start, corrected.n_labels, corrected.p_o) == (WindowKind.PANE, NOON, 3, 1 / 3)
    assert before[NOON].n_labels == 2
    assert window.event_id == rolling(drive)[-2].event_id  # the pane lies behind the rolling window, which says what it said before
    drive.send(units("t0", [{1: 2}], at=NOON, revision=3))
    assert panes(drive)[-1].event_id == before[NOON].event_id  # retracted again: the pane is what it was


def test_late_contributions_correct_their_pane_and_the_window():
    drive = driver()
    drive.send(units("new", [{1: 2}], at=minutes(150)))
    drive.send(units("late", [{2: 2}], at=minutes(10)))
    assert (rolling(drive)[-1].n_units, rolling(drive)[-1].alpha_nominal) == (2, 1.0)
    drive.send(units("too-late", [{3: 2}], at=minutes(-10)))
    assert rolling(drive)[-1].event_id == rolling(drive)[-2].event_id  # the same evidence: the same estimate
    assert drive.outcomes == {"counted": 3}


def test_a_pane_comes_back_when_all_newer_ones_were_retracted():
    drive = driver()
    drive.send(units("old", [{1: 2}], at=minutes(-300)))
    first = rolling(drive)[-1]
    drive.send(units("new", [{2: 2}]))
    drive.send(units("new", [], revision=2))
    assert rolling(drive)[-1].event_id == first.event_id


def test_order_of_arrival_does_not_matter():
    events = [units(f"t{n}", [{1: 1 + n % 3, 3: 1}], at=minutes(17 * n)) for n in range(12)]
    events += [units(f"t{n}", [{2: 2}], at=minutes(17 * n), revision=2) for n in range(0, 12, 4)]
    final = set()
    for seed in range(5):
        drive = driver()
        for event in random.Random(seed).sample(events, len(events)):
            drive.send(event)
        newest = {event.window_start: event.event_id for event in panes(drive)}
        final.add((rolling(drive)[-1].event_id, *sorted(newest.items())))
    assert len(final) == 1


@pytest.mark.parametrize("cut", range(6))
def test_restart_in_the_middle_changes_nothing(cut):
    events = [units(f"t{n % 4}", [{1: n + 1, 2: 2}], at=minutes(40 * (n % 4)), revision=n + 1) for n in range(6)]
    plain, restarted = driver(), driver()
    for number, event in enumerate(events):
        plain.send(event)
        if number == cut:
            restarted.restart()
        restarted.send(event)
    assert restarted.out == plain.out


RATED = st.lists(st.dictionaries(st.integers(1, 5), st.integers(1, 3), max_size=3), max_size=3)
CHANGES = st.lists(st.tuples(st.integers(0, 5), RATED), min_size=1, max_size=14)


@settings(max_examples=40)
@given(CHANGES, st.integers(0, 13))
def test_at_every_prefix_the_stream_equals_the_batch(changes, restart_at):
    """Tasks come, change and are emptied in any order, in four panes; window and panes are what a fresh count of what stands gives."""
    drive, standing = driver(), {}
    for number, (task, counted) in enumerate(changes):
        if number == restart_at:
            drive.restart()
        drive.send(units(f"t{task}", counted, at=minutes(45 * task), revision=number + 1))
        standing[task] = [counts for counts in counted if counts]
        newest = max(45 * task // 60 for task in ([t for t, c in standing.items() if c] or standing))
        inside = {f"t{t}": c for t, c in standing.items() if newest - 3 < 45 * t // 60 <= newest}
        same(rolling(drive)[-1], batch(inside))
        hour = 45 * task // 60
        same(panes(drive)[-1], batch({f"t{t}": c for t, c in standing.items() if 45 * t // 60 == hour}))


def same(estimate, evidence):
    alpha, ac1, ac2 = krippendorff_alpha(evidence, level="ordinal"), gwet_ac1(evidence, categories=SCALE), gwet_ac2(evidence, categories=SCALE)
    assert (estimate.n_units, estimate.n_labels, estimate.n_tasks) == (alpha.n_units, alpha.n_labels, evidence.clusters)
    assert (estimate.alpha, estimate.ac1, estimate.ac2, estimate.p_o) == (alpha.value, ac1.value, ac2.value, observed_agreement(evidence).value)
    assert (estimate.ac1_low, estimate.ac1_high) == (ac1.ci_low, ac1.ci_high)
    if estimate.window_kind is WindowKind.ROLLING:
        assert (estimate.alpha_low, estimate.alpha_high, estimate.undefined) == (alpha.ci_low, alpha.ci_high, alpha.undefined)


def test_one_estimate_per_series_window_and_batch():
    drive = driver()
    with drive.batch():
        for number in range(5):
            drive.send(units(f"t{number}", [{number + 1: 2}]))
            drive.send(units(f"t{number}", [{1: 2}], series_id="series-2", dimension="overall", slice="all", kind=UnitKind.PREFERENCE))
    assert [(estimate.series_id, estimate.n_units) for estimate in rolling(drive)] == [("series-1", 5), ("series-2", 5)]
    assert [(estimate.series_id, estimate.n_units) for estimate in panes(drive)] == [("series-1", 5), ("series-2", 5)]


def test_panes_carry_statistics_that_add_up_and_windows_carry_none():
    drive = driver()
    drive.send(units("a", [{1: 2, 5: 1}, {2: 2}], at=minutes(0)))
    drive.send(units("b", [{1: 1, 5: 1}, {3: 1}], at=minutes(70)))
    counted = Counter()
    for pane in panes(drive):
        assert pane.statistics_kept
        counted.update({(cell.raters, cell.low, cell.high): cell.pairs for cell in pane.coincidences})
    assert counted == {(3, 1, 1): 1, (3, 1, 5): 2, (2, 2, 2): 1, (2, 1, 5): 1}
    moments = {(m.raters, m.feature, m.other_raters, m.other_feature): m.total for m in panes(drive)[0].moments}
    # Task a has one unit of 3 raters, of whom 2 pairs differ, and one of 2 raters who agree. How far 1 and 5 are apart: 4 * 5 / 2 = 10.
    assert (moments[3, "apart", 3, "apart"], moments[3, "weighted", 3, "weighted"], moments[2, "units", 3, "value=1"]) == (4.0, 400.0, 2.0)
    for window in rolling(drive):
        assert (window.statistics_kept, window.sizes, window.ratings, window.coincidences, window.moments) == (False, [], [], [], [])


def test_statistics_of_too_many_values_are_left_out_and_said_to_be():
    drive = driver()
    rated = random.Random(1)
    with drive.batch():
        for number in range(200):
            drive.send(units(f"t{number}", [dict.fromkeys(rated.sample(range(101), 6), 1)], dimension="minutes"))
    estimate = panes(drive)[-1]
    assert (estimate.statistics_kept, estimate.moments) == (False, [])
    assert estimate.alpha is not None


def test_unknown_application_and_rubric_are_counted_and_keep_nothing():
    drive = driver()
    drive.send(units("a", [{1: 2}], application="nobody"))
    drive.send(units("a", [{1: 2}], rubric_id="unheard-of"))
    assert (drive.outcomes, drive.out, drive.keys) == ({"no_policy": 1, "no_rubric": 1}, [], ())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"units": [{"unit_id": "u", "values": [1, 2], "counts": [1]}]}, RejectReason.INVALID_EVENT),
        ({"units": [{"unit_id": "u", "values": [2, 1], "counts": [1, 1]}]}, RejectReason.INVALID_EVENT),
        ({"units": [{"unit_id": "u", "values": [1, 1], "counts": [1, 1]}]}, RejectReason.INVALID_EVENT),
        ({"units": [{"unit_id": "u", "values": [0, 1], "counts": [1, 1]}]}, RejectReason.OFF_SCALE),
        ({"units": [{"unit_id": "u", "values": [1, 6], "counts": [1, 1]}]}, RejectReason.OFF_SCALE),
        ({"units": [{"unit_id": "u", "values": [2], "counts": [1]}], "dimension": "spans:tone", "kind": UnitKind.SPAN}, RejectReason.OFF_SCALE),
        ({"units": [{"unit_id": "u", "values": [-2], "counts": [1]}], "dimension": "overall", "kind": UnitKind.PREFERENCE}, RejectReason.OFF_SCALE),
        ({"dimension": "charm"}, RejectReason.UNKNOWN_DIMENSION),
        ({"task_at": datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)}, RejectReason.INVALID_EVENT),
    ],
)
def test_what_cannot_count_is_rejected_with_its_reason_and_its_neighbours_count(changes, reason):
    drive = driver()
    drive.send(units("a", [{1: 2}]))
    drive.send(units("a", [{1: 2}], revision=9, **changes))
    assert drive.rejected[0][1].reason is reason
    assert drive.outcomes == {"counted": 1, "rejected": 1}
    drive.send(units("b", [{1: 2}]))
    assert drive.out[-1].n_units == 2


def test_preferences_have_a_category_more_than_candidates():
    """Places of two candidates, and a tie: three categories, also while only one was used."""
    drive, series = driver(), {"dimension": "overall", "kind": UnitKind.PREFERENCE}
    drive.send(units("a", [{0: 3}], **series))
    drive.send(units("b", [{0: 2, 1: 1}], **series))
    evidence = batch({"a": [{0: 3}], "b": [{0: 2, 1: 1}]}, "nominal", None)
    assert rolling(drive)[-1].ac1 == gwet_ac1(evidence, categories=[-1, 0, 1]).value
    assert rolling(drive)[-1].level is MeasurementLevel.NOMINAL
    drive.send(units("c", [{-1: 1, 3: 2}], **series))
    assert rolling(drive)[-1].categories == [-1, 0, 1, 2, 3]


def preferences(number, values, first, **changes):
    unit = {"unit_id": f"t{number}", "values": sorted(values), "counts": [values[value] for value in sorted(values)], "shown": 2, "shown_first": first}
    return units(f"t{number}", dimension="overall", kind=UnitKind.PREFERENCE, units=[unit], **changes)


def test_preferences_for_what_is_shown_first_are_noticed():
    drive = driver()
    for number in range(40):
        drive.send(preferences(number, {number % 2: 3}, first=3 if number % 4 else 0))
    biased = rolling(drive)[-1]
    assert (biased.n_preferences, biased.shown_first, biased.shown_first_expected) == (120, 0.75, 0.5)
    assert biased.position_p == pytest.approx(0.00157, abs=1e-5)  # 30 of 40 tasks: z = 20 / sqrt(40)
    assert 0.5 < biased.shown_first_low < 0.75 < biased.shown_first_high
    assert biased.alpha == 1.0  # they agree all the same
    for number in range(40):
        drive.send(preferences(number, {-1: 3}, first=0, revision=2))
    ties = rolling(drive)[-1]
    assert (ties.n_preferences, ties.shown_first, ties.position_p) == (0, None, None)


def test_ratings_have_no_position():
    drive = driver()
    drive.send(units("a", [{1: 2}]))
    assert (drive.out[-1].n_preferences, drive.out[-1].shown_first, drive.out[-1].span_f1) == (0, None, None)


def test_spans_are_characters_clustered_by_task():
    drive, clusters = driver(), []
    for number in range(30):
        marked = [(((0, 2),), 90 - number), (((1, 2),), 8), (((0, 1), (1, 1)), 2 + number % 3)]
        clusters.append((f"t{number}", tuple(marked)))
        counted = [{"unit_id": "c", "values": [v for v, _ in p], "counts": [c for _, c in p], "repeats": repeats} for p, repeats in marked]
        drive.send(units(f"t{number}", units=counted, dimension="spans:tone", kind=UnitKind.SPAN))
    estimate, evidence = rolling(drive)[-1], evidence_of(clusters, Evidence(replicates=Replicates("nominal")))
    alpha, f1 = krippendorff_alpha(evidence), span_f1(evidence)
    assert (estimate.n_units, estimate.n_tasks) == (sum(90 - n + 8 + 2 + n % 3 for n in range(30)), 30)
    assert (estimate.alpha, estimate.alpha_low, estimate.alpha_high) == (alpha.value, *alpha.interval)
    assert (estimate.span_f1, estimate.span_f1_low, estimate.span_f1_high) == (f1.value, *f1.interval)
    assert f1.value == pytest.approx(2 * 240 / (2 * 240 + 90))  # 8 characters both marked and 2, 3 or 4 that one did, on 30 tasks


def test_a_later_policy_moves_nothing_that_was_counted():
    drive = driver(policy_event(), policy_event(2, NOON, pane_minutes=30.0, window_panes=2))
    drive.send(units("before", [{1: 2}], at=minutes(-20)))
    drive.send(units("after", [{2: 2}], at=minutes(5)))
    assert [(e.window_start, e.window_end, e.n_units) for e in rolling(drive)] == [
        (minutes(-180), minutes(0), 1),
        (minutes(-30), minutes(30), 1),  # the old pane began before the new window does
    ]


def test_a_pane_in_which_the_policy_changed_is_told_as_one():
    drive = driver(policy_event(keep_days=2.0), policy_event(2, minutes(30), keep_days=1.0), at=NOON + timedelta(days=9))
    drive.send(units("before", [{1: 2}], at=minutes(20)))
    drive.send(units("after", [{2: 2}], at=minutes(40)))
    assert [(e.window_start, e.window_end, e.n_units) for e in panes(drive)] == [(minutes(0), minutes(60), 1), (minutes(0), minutes(60), 2)]
    drive.send(units("next", [{2: 2}], at=minutes(36 * 60)))  # by one policy the pane is final, by the other not
    drive.send(units("after", [{2: 3}], at=minutes(40), revision=2))
    assert (panes(drive)[-1].n_units, panes(drive)[-1].n_labels, len(drive.keys)) == (2, 5, 3)
    drive.send(units("last", [{2: 2}], at=minutes(49 * 60)))
    assert len(drive.keys) == 2


def test_a_task_dated_in_the_future_drags_no_window_and_counts_when_its_time_has_come():
    drive = driver(at=minutes(30))
    drive.send(units("a", [{1: 2}]))
    drive.send(units("ahead", [{2: 2}], at=NOON + timedelta(days=2)))
    window = rolling(drive)[-1]
    assert (window.window_end, window.n_units) == (minutes(60), 1)
    assert (panes(drive)[-1].window_start, panes(drive)[-1].n_units) == (NOON + timedelta(days=2), 1)
    drive.send(units("b", [{1: 2}], at=NOON + timedelta(days=2, minutes=1)), at=NOON + timedelta(days=2, minutes=2))
    window = rolling(drive)[-1]
    assert (window.window_end, window.n_units) == (NOON + timedelta(days=2, hours=1), 2)


def test_a_clock_that_is_a_little_wrong_is_allowed_for():
    drive = driver(policy_event(ahead_hours=3), at=NOON)
    drive.send(units("a", [{1: 2}]))
    drive.send(units("b", [{1: 2}], at=minutes(180)))
    drive.send(units("c", [{1: 2}], at=minutes(240)))
    assert [window.window_end for window in rolling(drive)] == [minutes(60), minutes(240), minutes(240)]


def test_a_series_that_lies_in_the_future_has_panes_and_no_window_yet():
    drive = driver(at=minutes(-300))
    drive.send(units("ahead", [{2: 2}]))
    assert [event.window_kind for event in drive.out] == [WindowKind.PANE]


@pytest.mark.parametrize("moment", [datetime(1, 1, 1, tzinfo=UTC), datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)])
def test_the_ends_of_time_do_not_stop_the_series(moment):
    drive = driver()
    drive.send(units("a", [{1: 2}], at=moment))
    assert drive.out[-1].n_units == 1
    assert drive.out[-1].window_start <= moment <= drive.out[-1].window_end


def test_the_end_of_time_does_not_stop_the_series_either():
    end = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    drive = driver(at=end)
    drive.send(units("a", [{1: 2}], at=end))
    assert drive.out[-1].window_start <= end <= drive.out[-1].window_end


def test_what_is_final_is_forgotten_by_event_time():
    drive = driver(policy_event(keep_days=1.0), at=NOON + timedelta(days=9))
    for day in range(4):
        for number in range(3):
            drive.send(units(f"t{day}-{number}", [{1: 2, 2: 1}], at=NOON + timedelta(days=day, minutes=number)))
    assert len(drive.keys) == 3
    assert drive.outcomes == {"counted": 12, "expired": 9}
    drive.restart()
    drive.send(units("t3-0", [{1: 3}], at=NOON + timedelta(days=3), revision=2))
    assert rolling(drive)[-1].n_labels == 9


def test_a_label_for_what_is_final_is_counted_as_expired_and_corrects_nothing():
    drive = driver(policy_event(keep_days=1.0), at=NOON + timedelta(days=9))
    drive.send(units("old", [{1: 2}]))
    drive.send(units("new", [{1: 2}], at=NOON + timedelta(days=3)))
    told = len(drive.out)
    drive.send(units("old", [{1: 3}], revision=2))
    assert [event.window_kind for event in drive.out[told:]] == [WindowKind.ROLLING]
    assert drive.out[-1].event_id == drive.out[told - 1].event_id
    assert drive.outcomes == {"counted": 3, "expired": 2}
    assert len(drive.keys) == 1


def test_a_quiet_series_is_kept_whole_until_its_application_has_moved_on():
    drive = driver(policy_event(keep_days=1.0), at=NOON + timedelta(days=9))
    for hour in range(3):
        drive.send(units(f"q{hour}", [{1: 2}], at=NOON + timedelta(hours=hour), series_id="quiet"))
    drive.send(units("a", [{1: 2}], at=NOON + timedelta(hours=25), series_id="busy"))
    assert len(drive.keys) == 4  # the first pane of the quiet series is a day older by now, but its window is still told as one
    drive.send(units("b", [{1: 2}], at=NOON + timedelta(hours=26), series_id="busy"))
    assert len(drive.keys) == 2
    assert drive.outcomes == {"counted": 5, "expired": 3}


def test_a_series_of_another_application_is_not_hurried():
    drive = driver(policy_event(keep_days=1.0), at=NOON + timedelta(days=9))
    drive.send(units("q", [{1: 2}], series_id="quiet"))
    other = policy_event(keep_days=1.0)
    document = Policy.model_validate_json(other.document).model_copy(update={"id": "other", "application": "other"})
    drive.context = Context(
        Governance([rubric_event()], [policy_event(keep_days=1.0), other.model_copy(update={"policy_id": "other", "document": document.model_dump_json()})])
    )
    drive.send(units("a", [{1: 2}], at=NOON + timedelta(days=8), series_id="busy", application="other"))
    assert len(drive.keys) == 2


def test_panes_are_aligned_to_the_epoch_before_it_too():
    assert pane_of(datetime(1969, 12, 31, 23, 59, tzinfo=UTC), Agreement())[:2] == (0, -3_600_000_000)
    assert pane_of(datetime(1970, 1, 1, tzinfo=UTC), Agreement())[:2] == (3_600_000_000, 0)


def test_a_long_window_is_kept_as_long_as_it_is():
    pane = pane_of(NOON, Agreement(pane_minutes=1440, window_panes=90, keep_days=30))
    assert pane.keep == pane.span == 90 * 86_400_000_000


def test_a_state_that_was_stored_counts_as_the_one_that_was_not():
    """In a worker a state comes from memory until it restarts. Numbers that come back as others would change ids."""
    event, clock = units("a", [{1: 2, 5: 1}, {2: 2}]), Clock(NOON)
    context = driver().context
    step = PROCESSOR.step(None, event, source=Source("agreement-units", 0, 0), now=clock(), final=False, context=context)
    told = []
    for state in (step.state, PROCESSOR.load(PROCESSOR.dump(step.state))):
        view = PROCESSOR.view()
        view.fold("key", None, state)
        told.append(view.summarise(step.touched, now=clock(), context=context))
    assert told[0] == told[1]
    assert len(told[0]) == 2


def test_estimates_are_events_of_the_public_topic():
    drive = driver()
    drive.send(units("a", [{1: 2}]))
    assert all(isinstance(event, AgreementEstimate) for event in drive.out)
