"""What is known of reviewers, against published data, slow definitions and the laws that a stream needs."""

import math
import random
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_dawid_skene import columns
from trueloop.drift import Detector, update
from trueloop.estimates import Undefined
from trueloop.events import DriftState, ReviewerReason, ReviewerStatus
from trueloop.reviewers import (
    Admission,
    Assignment,
    DailyEvidence,
    Evidence,
    KnownItem,
    Retirement,
    SharedErrors,
    assign_gold,
    consequence,
    gold_accuracy,
    gold_accuracy_of,
    gold_is_due,
    gold_items,
    item_truth,
    needs_adjudication,
    next_gold_item,
    onboarding,
    p_correct,
    reliability,
    reliability_of,
    reviewer_drift,
    same_voice,
    shared_errors,
    speed,
)
from trueloop.reviewers.speed import median_of
from trueloop.rubrics.policy import Onboarding, ReviewerDrift, Reviewers

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_the_truth_of_an_item_by_bayes():
    """0.8 and 0.6 for category 0, 0.7 for 1, of three: (0.8 0.6 0.15, 0.1 0.2 0.7, 0.1 0.2 0.15) / sum."""
    found = item_truth({"a": 0, "b": 0, "c": 1}, {"a": 0.8, "b": 0.6, "c": 0.7}, (0, 1, 2))
    joint = [0.8 * 0.6 * 0.15, 0.1 * 0.2 * 0.7, 0.1 * 0.2 * 0.15]
    assert list(found.values()) == pytest.approx([each / sum(joint) for each in joint])
    prior = item_truth({"a": 0}, {"a": 0.8}, (0, 1), prevalence=(0.1, 0.9))
    assert prior[0] == pytest.approx(0.08 / (0.08 + 0.18))


def test_a_reviewer_who_always_flips_is_evidence_for_the_opposite():
    assert item_truth({"a": 0}, {"a": 0.1}, (0, 1))[1] == pytest.approx(0.9)
    assert p_correct({"a": 1, "b": -1}, {"a": 0.8, "b": 0.2}) == pytest.approx(0.64 / (0.64 + 0.04))


def test_two_accounts_of_one_person_count_as_one():
    accuracies = {"a": 0.8, "twin-1": 0.8, "twin-2": 0.8}
    votes = {"a": 1, "twin-1": -1, "twin-2": -1}
    assert p_correct(votes, accuracies) == pytest.approx(0.2)
    assert p_correct(votes, accuracies, weights={"twin-1": 0.5, "twin-2": 0.5}) == pytest.approx(0.5)


def test_what_nobody_said_is_none():
    assert item_truth({}, {}, (0, 1)) is None
    assert item_truth({"a": 0}, {}, (0, 1)) is None
    assert item_truth({"a": 0}, {"a": 0.9}, (0, 1), weights={"a": 0.0}) is None
    assert p_correct({"a": 0, "b": 0}, {"a": 0.9, "b": 0.9}) is None
    # An infallible record of few items is no certainty.
    assert 0.99 < p_correct({"a": 1}, {"a": 1.0}) < 1
    assert item_truth({"a": "x"}, {"a": 0.5}, ("x",)) == {"x": 1.0}
    with pytest.raises(ValueError, match="none of the 2 categories"):
        item_truth({"a": 7}, {"a": 0.9}, (0, 1))
    with pytest.raises(ValueError, match="not 1, 0 or -1"):
        p_correct({"a": 2}, {"a": 0.9})
    with pytest.raises(ValueError, match="1 prevalences for 2"):
        item_truth({"a": 0}, {"a": 0.9}, (0, 1), prevalence=(1.0,))


def test_gold_accuracy_is_jeffreys_interval():
    """Brown, Cai, DasGupta (2001), table 5, n = 10."""
    for right, low, high in ((0, 0.0, 0.217), (1, 0.011, 0.381), (3, 0.093, 0.606), (5, 0.224, 0.776), (10, 0.783, 1.0)):
        found = gold_accuracy_of(right, 10)
        assert (found.ci_low, found.ci_high) == pytest.approx((low, high), abs=0.0006)
        assert found.value == right / 10
    assert gold_accuracy([True, False, None, 0.5]).value == 0.5
    assert gold_accuracy([]).undefined is Undefined.NO_LABELS
    assert gold_accuracy([1]).ci_low < 0.2
    with pytest.raises(ValueError, match=r"right\[0\] is 2.0"):
        gold_accuracy([2])
    with pytest.raises(ValueError, match="0 <= right <= n"):
        gold_accuracy_of(3, 2)


SHARES = [Fraction(0), Fraction(1, 3), Fraction(2, 5), Fraction(1)]
JUDGEMENTS = st.lists(st.tuples(st.integers(0, 4000), st.sampled_from(SHARES), st.sampled_from(SHARES)), max_size=20)


def evidence_of(judgements):
    evidence = DailyEvidence()
    for hour, right, weight in judgements:
        evidence = evidence.add(NOW + timedelta(hours=hour), right, weight)
    return evidence


@given(JUDGEMENTS, JUDGEMENTS, st.randoms(use_true_random=False))
def test_evidence_adds_subtracts_and_has_no_order(one, other, rng):
    whole = evidence_of(one + other)
    shuffled = one + other
    rng.shuffle(shuffled)
    assert evidence_of(shuffled) == whole == evidence_of(one) + evidence_of(other)
    assert whole - evidence_of(other) == evidence_of(one)


@given(JUDGEMENTS)
def test_the_posterior_forgets_as_its_definition_says(judgements):
    alpha = beta = 1.0
    days = [(NOW + timedelta(hours=hour)).date() for hour, _, _ in judgements]
    for (_, right, weight), day in zip(judgements, days, strict=True):
        left = 0.5 ** ((max(days) - day).days / 30)
        alpha += left * float(weight * right)
        beta += left * float(weight * (1 - right))
    found = reliability_of(evidence_of(judgements), 30)
    assert (found.alpha, found.beta, found.n) == (pytest.approx(alpha), pytest.approx(beta), len(judgements))
    assert (found.ci_low, found.ci_high) == pytest.approx(tuple(scipy.stats.beta.ppf((0.025, 0.975), alpha, beta)), abs=1e-9)


def test_the_column_form_is_the_same_code():
    at = [NOW, NOW + timedelta(days=40), NOW + timedelta(days=40), None]
    found = reliability([1, 0.5, 0, 1], at, 20, weights=[1, 1, 0, 1])
    evidence = DailyEvidence().add(at[0], Fraction(1)).add(at[1], Fraction(1, 2)).add(at[2], Fraction(0), Fraction(0))
    assert found == reliability_of(evidence, 20)
    assert reliability([], [], 20) == reliability_of(DailyEvidence(), 20)
    assert (reliability([], [], 20).alpha, reliability([], [], 20).value) == (1.0, 0.5)
    later = reliability_of(evidence, 20, at=date(2030, 1, 1))
    # Whoever stays away becomes uncertain again, no better and no worse.
    assert (later.value, later.ci_low) == (pytest.approx(0.5, abs=1e-3), pytest.approx(0.025, abs=1e-3))
    with pytest.raises(ValueError, match="right 2"):
        reliability([2], [NOW], 20)
    with pytest.raises(ValueError, match="half_life_days is 0"):
        reliability([1], [NOW], 0)


def test_weight_zero_and_infinite_half_life():
    assert reliability([0], [NOW], 30, weights=[0]).beta == 1.0
    assert reliability([1, 1], [NOW, NOW + timedelta(days=9999)], math.inf).alpha == 3.0


@pytest.mark.parametrize(
    ("right", "admission", "left"),
    [(0, Admission.PENDING, 10), (23, Admission.FAILED, 0), (24, Admission.PASSED, 0)],
)
def test_onboarding_decides_once(right, admission, left):
    policy = Onboarding(items=30, pass_at=0.8)
    answers = [1.0] * right + [0.0] * (30 - right - left)
    found = onboarding(answers, policy)
    assert (found.admission, found.left) == (admission, left)
    if not left:
        assert onboarding(answers + [1.0] * 50, policy) == found  # later answers are no second try


def test_onboarding_lets_the_good_in_and_the_bad_not():
    """The numbers in its docstring, from the binomial distribution."""
    assert scipy.stats.binom.sf(23, 30, 0.9) == pytest.approx(0.97, abs=0.005)
    assert scipy.stats.binom.sf(23, 30, 0.6) == pytest.approx(0.02, abs=0.005)
    assert onboarding([], Onboarding()).admission is Admission.PENDING


POLICY = Reviewers()


def evidence(right, n, **more):
    return Evidence(gold_accuracy_of(right, n), {}, **more)


def test_quarantine_needs_the_upper_bound_below_the_threshold():
    """The boundary from both sides: of 20 items, 7 right has an upper bound of 0.572, 8 right one of 0.620."""
    assert gold_accuracy_of(7, 20).ci_high < POLICY.quarantine_below < gold_accuracy_of(8, 20).ci_high
    assert consequence(evidence(7, 20), POLICY).status is ReviewerStatus.QUARANTINED
    assert consequence(evidence(8, 20), POLICY).status is ReviewerStatus.WATCH
    # Nine wrong of nine: the bound is low enough, but whoever looks after every item sees such runs too often.
    assert gold_accuracy_of(0, 9).ci_high < POLICY.quarantine_below
    assert consequence(evidence(0, 9), POLICY).status is ReviewerStatus.ACTIVE
    assert consequence(evidence(0, 10), POLICY).status is ReviewerStatus.QUARANTINED
    assert consequence(evidence(0, 0), POLICY).status is ReviewerStatus.ACTIVE


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"too_fast": True}, ReviewerReason.TOO_FAST),
        ({"prefers_place": True}, ReviewerReason.PREFERS_PLACE),
        ({"drifted": True}, ReviewerReason.DRIFTED),
        ({"same_errors": ("twin",)}, ReviewerReason.SHARED_ERRORS),
    ],
)
def test_doubts_put_under_watch_and_never_further(more, reason):
    found = consequence(evidence(20, 20, **more), POLICY)
    assert (found.status, found.reasons, found.weight) == (ReviewerStatus.WATCH, (reason,), POLICY.watch_weight)


def test_onboarding_comes_before_everything():
    policy = Onboarding(items=20, pass_at=0.8)
    pending = consequence(evidence(0, 10, onboarding=onboarding([0.0] * 10, policy)), POLICY)
    assert (pending.status, pending.weight) == (ReviewerStatus.ONBOARDING, 0.0)
    failed = consequence(evidence(0, 20, onboarding=onboarding([0.0] * 20, policy)), POLICY)
    assert failed.status is ReviewerStatus.ONBOARDING
    assert failed.reasons[0] is ReviewerReason.ONBOARDING_FAILED
    passed = consequence(evidence(20, 20, onboarding=onboarding([1.0] * 20, policy)), POLICY)
    assert (passed.status, passed.weight, passed.reasons) == (ReviewerStatus.ACTIVE, 1.0, ())


def test_reviewers_are_routed_to_what_they_are_surely_good_at():
    many, few = ([1.0] * n for n in (40, 5))
    posteriors = {"tone": reliability(many, [NOW] * 40, 90), "accuracy": reliability(few, [NOW] * 5, 90)}
    found = consequence(Evidence(gold_accuracy_of(0, 0), posteriors), POLICY)
    assert found.routes == ("tone",)
    assert consequence(Evidence(gold_accuracy_of(0, 20), posteriors), POLICY).routes == ()


def test_adjudication():
    assert needs_adjudication(0.79, POLICY)
    assert not needs_adjudication(0.8, POLICY)


def test_speed():
    rng = random.Random(6)
    honest = [rng.lognormvariate(3.5, 0.6) for _ in range(400)]
    assert not speed(honest[:60], honest, min_seconds=2, max_share=0.2).flagged
    hasty = speed([rng.uniform(1, 6) for _ in range(60)], honest, min_seconds=2, max_share=0.2)
    assert hasty.flagged
    assert hasty.floor_seconds == pytest.approx(0.25 * sorted(honest)[200], rel=0.02)
    assert not speed([1.0] * 19, honest, min_seconds=2, max_share=0.2).flagged  # too few to say
    nothing = speed([None], [], min_seconds=2, max_share=0.2)
    assert (nothing.median_seconds, nothing.floor_seconds, nothing.too_fast.value, nothing.flagged) == (None, 2, None, False)
    with pytest.raises(ValueError, match="negative"):
        speed([-1.0], [], min_seconds=2, max_share=0.2)


@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=30))
def test_the_median_is_the_median(times):
    counts = {each: times.count(each) for each in times}
    ordered = sorted(times)
    assert median_of(counts) == pytest.approx((ordered[(len(times) - 1) // 2] + ordered[len(times) // 2]) / 2)


def test_a_reviewer_who_became_careless_is_seen_and_one_who_always_was_is_not():
    rng = random.Random(7)

    def losses(*shares):
        return [float(rng.random() < share) for share, n in shares for _ in range(n)]

    contract = ReviewerDrift()
    assert reviewer_drift([], contract).state is DriftState.NO_DATA
    assert reviewer_drift(losses((0.1, 400)), contract).state is DriftState.OK
    assert reviewer_drift(losses((0.4, 400)), contract).state is DriftState.OK
    assert reviewer_drift(losses((0.1, 200), (0.5, 80)), contract).state is DriftState.ALARM
    stepwise = Detector()
    every = losses((0.1, 150), (0.5, 40))
    for loss in every:
        stepwise = update(stepwise, loss, None, contract)
    assert reviewer_drift(every, contract) == stepwise


def test_gold_is_assigned_by_what_onboarding_says():
    items = {f"o{n}": KnownItem(onboarding=True) for n in range(3)} | {"worn": KnownItem(retired=True), "a": KnownItem(exposures=1), "b": KnownItem()}
    policy, seen = Reviewers(gold_share=0.25), []
    for number in range(3):
        why, item = assign_gold("new", Admission.PENDING, items, policy, given=number, seen=seen, salt="s")
        assert why is Assignment.ONBOARDING
        seen.append(item)
    assert sorted(seen) == ["o0", "o1", "o2"]
    assert assign_gold("new", Admission.PENDING, items, policy, given=3, seen=seen, salt="s") == (Assignment.NONE_LEFT, None)
    assert assign_gold("new", Admission.FAILED, items, policy, given=3, seen=(), salt="s") == (Assignment.NOT_ADMITTED, None)
    passed = [assign_gold("old", Admission.PASSED, items, policy, given=number, seen=(), salt="s") for number in range(2000)]
    assert set(passed) == {(Assignment.DUE, "b"), (Assignment.NOT_DUE, None)}
    assert sum(why is Assignment.DUE for why, _ in passed) == pytest.approx(500, abs=80)
    later = [assign_gold("old", Admission.PASSED, items, policy, given=number, seen=("a", "b"), salt="s") for number in range(40)]
    assert set(later) == {(Assignment.NONE_LEFT, None), (Assignment.NOT_DUE, None)}


def test_shared_errors_find_two_accounts_of_one_person():
    rng = random.Random(8)
    truths = {item: rng.randrange(3) for item in range(400)}
    rows = []
    for item, truth in truths.items():
        hard = 0.3 if item % 5 == 0 else 0.08  # people err on the same hard items without knowing of each other
        said = {who: truth if rng.random() > hard else (truth + rng.choice((1, 2))) % 3 for who in ("ada", "ben", "cleo", "dan", "eve")}
        rows += [(item, who, value) for who, value in said.items() if rng.random() < 0.6]
        rows += [(item, "eve-again", said["eve"] if rng.random() < 0.95 else truth)]
    pairs = shared_errors(*columns(rows), truths)
    assert [(pair.first, pair.second) for pair in pairs if pair.flagged] == [("eve", "eve-again")]
    assert same_voice(pairs) == {"eve": 0.5, "eve-again": 0.5}
    assert shared_errors(*columns(random.Random(1).sample(rows, len(rows))), truths) == pairs
    # Without gold the others on an item say what is wrong.
    by_majority = shared_errors(*columns(rows))
    assert [(pair.first, pair.second) for pair in by_majority if pair.flagged] == [("eve", "eve-again")]


def test_pairs_with_few_errors_are_not_judged():
    rows = [(item, who, 0) for item in range(4) for who in "ab"]
    (pair,) = shared_errors(*columns(rows), dict.fromkeys(range(4), 1))
    assert (pair.n_errors, pair.n_shared, pair.share, pair.p_value, pair.flagged) == (4, 4, 1.0, None, False)
    assert shared_errors([], [], [], {}) == ()
    assert shared_errors(["a", "a"], ["x", "y"], [1, 1]) == ()  # two, and nobody else who says what is true
    # Of w and x the other two say that they are wrong, and the other way round; of any other pair the rest is divided.
    divided = shared_errors(list("aaaa"), list("wxyz"), [1, 1, 0, 0], accuracies=dict.fromkeys("wxyz", 0.7))
    assert [(pair.first, pair.second, pair.n_errors, pair.n_shared) for pair in divided] == [("w", "x", 1, 1), ("y", "z", 1, 1)]
    # Whoever always flips is sure evidence for the opposite.
    (flipped,) = shared_errors(list("aaa"), ["w", "x", "flip"], [1, 0, 1], accuracies={"w": 0.5, "x": 0.5, "flip": 0.02})[:1]
    assert (flipped.first, flipped.second, flipped.n_errors, flipped.n_shared) == ("w", "x", 1, 0)
    (right,) = shared_errors(*columns([(1, "a", 1), (1, "b", 1)]), {1: 1})
    assert (right.share, right.p_value) == (None, None)


def test_whoever_errs_on_everything_shares_every_error_and_is_no_accomplice():
    rng = random.Random(11)
    truths = {item: rng.randrange(2) for item in range(300)}
    rows = [(item, who, truth if rng.random() < 0.85 else 1 - truth) for item, truth in truths.items() for who in ("ada", "ben", "cleo")]
    rows += [(item, "flip", 1 - truth) for item, truth in truths.items()]
    pairs = shared_errors(*columns(rows), truths)
    with_flip = [pair for pair in pairs if "flip" in (pair.first, pair.second)]
    assert all(pair.share == pytest.approx(pair.expected, abs=0.06) for pair in with_flip)
    assert not any(pair.flagged for pair in pairs)


def test_voices_join_over_pairs():
    pairs = [SharedErrors(a, b, 50, 20, 18, 0.9, flagged=True) for a, b in (("a", "b"), ("c", "d"), ("b", "c"))]
    assert same_voice(pairs) == dict.fromkeys("abcd", 0.25)
    assert same_voice([]) == {}


def gold_answers(seed, items, reviewers=60):
    """Answers of reviewers of different ability; an item is given by how its chance to be answered right follows from ability."""
    rng = random.Random(seed)
    abilities = {f"r{number}": rng.random() for number in range(reviewers)}
    return {name: {who: float(rng.random() < chance(ability)) for who, ability in abilities.items()} for name, chance in items.items()}


def test_items_that_tell_nothing_are_retired():
    good = {f"good-{n}": lambda ability: 0.2 + 0.75 * ability for n in range(12)}
    answers = gold_answers(9, good | {"easy": lambda _: 1.0, "coin": lambda _: 0.5, "wrong-key": lambda ability: 0.95 - 0.9 * ability}, reviewers=300)
    found = gold_items(answers, Reviewers(gold_max_exposures=1000))
    assert found["easy"].retirement is Retirement.TOO_EASY
    assert found["wrong-key"].retirement is Retirement.SUSPECT_ANSWER
    assert [found[name].retirement for name in good] == [None] * 12
    assert all(found[name].discrimination.ci_low > 0 for name in good)
    assert found["coin"].retirement in (None, Retirement.NO_DISCRIMINATION)
    assert {item.retirement for item in gold_items(answers, Reviewers(gold_max_exposures=300)).values()} == {Retirement.EXPOSED}


def test_few_answers_retire_nothing():
    answers = gold_answers(10, {f"item-{n}": (lambda _: 1.0) for n in range(8)}, reviewers=19)
    assert {item.retirement for item in gold_items(answers, Reviewers(gold_max_exposures=100)).values()} == {None}
    assert gold_items({"new": {}}, POLICY)["new"].accuracy.undefined is Undefined.NO_LABELS
    assert gold_items({}, POLICY) == {}


def test_gold_rotates_and_is_capped():
    capped = Reviewers(gold_max_exposures=3)
    exposures = dict.fromkeys("abcdef", 0)
    shown = {}
    for reviewer in (f"r{number}" for number in range(9)):
        for _ in range(2):
            item = next_gold_item(exposures, shown.setdefault(reviewer, set()), reviewer, capped)
            assert item is not None
            assert item not in shown[reviewer]
            shown[reviewer].add(item)
            exposures[item] += 1
    assert set(exposures.values()) == {3}
    assert next_gold_item(exposures, set(), "late", capped) is None
    assert next_gold_item({"a": 0}, {"a"}, "r", capped) is None
    firsts = {next_gold_item(dict.fromkeys("abcdef", 0), (), f"r{number}", capped) for number in range(40)}
    assert firsts == set("abcdef")  # reviewers do not meet the same item first


def test_gold_comes_at_its_share_and_the_same_places_again():
    due = [gold_is_due("ada", number, Reviewers(gold_share=0.1), salt="s") for number in range(4000)]
    assert sum(due) / 4000 == pytest.approx(0.1, abs=0.015)
    assert due == [gold_is_due("ada", number, Reviewers(gold_share=0.1), salt="s") for number in range(4000)]
    assert due != [gold_is_due("ada", number, Reviewers(gold_share=0.1), salt="t") for number in range(4000)]
