"""What an estimate of agreement says: what the library says of the same ratings, preferences and spans, and null with its reason where it says nothing."""

import random
from collections import Counter
from datetime import timedelta

import pytest

from tests.processors.agreement_scenario import APPLICATION, NOON, SCALE, batch, driver, minutes, panes, rolling, units
from trueloop.agreement import Evidence, Replicates, evidence_of, fleiss_kappa, gwet_ac1, gwet_ac2, krippendorff_alpha, observed_agreement, span_f1
from trueloop.events import AgreementEstimate, Undefined
from trueloop.events.agreement import MeasurementLevel
from trueloop.events.agreement_units import UnitKind


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


def test_estimates_are_events_of_the_public_topic():
    drive = driver()
    drive.send(units("a", [{1: 2}]))
    assert all(isinstance(event, AgreementEstimate) for event in drive.out)
