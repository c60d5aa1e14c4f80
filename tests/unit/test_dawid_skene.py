"""The model of reviewers' errors, against published data, slow definitions and the laws that it keeps."""

import math
import random

import pandas as pd
import pytest

from trueloop.estimates import Undefined
from trueloop.reviewers import dawid_skene
from trueloop.reviewers.expectation_maximisation import COMPETENCE

# Dawid & Skene (1979), table 1: 45 patients; what the first anaesthetist said three times, then one digit for each of the four others.
ANAESTHETISTS = (
    1111111, 3334334, 1122122, 2223121, 2223222, 2223322, 1222111, 3333433, 2222223, 2322223, 4444444, 2223343, 1111111, 2223212, 1211111,
    1112111, 1111111, 1111111, 2222221, 2221322, 2222222, 2222221, 2223222, 2212222, 1111111, 1111111, 2322222, 1111111, 1111111, 1121121,
    1111111, 3333233, 1111111, 2222222, 2223232, 4334343, 2212232, 2323233, 3333432, 1111111, 1111111, 1212111, 2322222, 1211111, 2222222,
)  # fmt: skip
OBSERVERS = (1, 1, 1, 2, 3, 4, 5)
DAWID_SKENE_1979 = [(patient, observer, int(said)) for patient, row in enumerate(ANAESTHETISTS, 1) for observer, said in zip(OBSERVERS, str(row), strict=True)]


def columns(rows):
    return [list(column) for column in zip(*rows, strict=True)]


def slow_em(rows, categories, rounds):
    """Equations 2.3 to 2.5 as they stand in the paper, from the shares of an item's labels; nothing vectorised, nothing smoothed."""
    items, observers = sorted({row[0] for row in rows}), sorted({row[1] for row in rows})
    count = {}
    for row in rows:
        count[row] = count.get(row, 0) + 1
    truth = {}
    for i in items:
        given_labels = [value for item, _, value in rows if item == i]
        truth[i] = {j: given_labels.count(j) / len(given_labels) for j in categories}
    for _ in range(rounds):
        prevalence = {j: sum(truth[i][j] for i in items) / len(items) for j in categories}
        confusion = {}
        for k in observers:
            for j in categories:
                mass = {v: sum(truth[i][j] * count.get((i, k, v), 0) for i in items) for v in categories}
                total = sum(mass.values())
                confusion |= {(k, j, v): mass[v] / total for v in categories}
        for i in items:
            joint = {j: prevalence[j] * math.prod(confusion[k, j, v] ** count.get((i, k, v), 0) for k in observers for v in categories) for j in categories}
            truth[i] = {j: joint[j] / sum(joint.values()) for j in categories}
    return prevalence, confusion, truth


def test_the_data_of_1979_give_what_was_published():
    """Table 2: the prevalences and the error rates of the first observer, to two digits. crowd-kit stops early and is off by up to 0.021 here."""
    fit = dawid_skene(*columns(DAWID_SKENE_1979), smoothing=0)
    assert fit.converged
    assert fit.prevalence == pytest.approx((0.40, 0.42, 0.11, 0.07), abs=0.005)
    published = [(0.89, 0.11, 0, 0), (0.07, 0.88, 0.05, 0), (0, 0.34, 0.66, 0), (0, 0, 0.56, 0.44)]
    for row, expected in zip(fit.confusion[1], published, strict=True):
        assert row == pytest.approx(expected, abs=0.005)
    assert fit.log_likelihood == pytest.approx(-192.8909, abs=1e-3)


def test_every_number_is_that_of_the_equations():
    prevalence, confusion, truth = slow_em(DAWID_SKENE_1979, (1, 2, 3, 4), 60)
    fit = dawid_skene(*columns(DAWID_SKENE_1979), smoothing=0)
    assert fit.prevalence == pytest.approx(tuple(prevalence.values()), abs=1e-9)
    for k in range(1, 6):
        for j, row in enumerate(fit.confusion[k], 1):
            assert row == pytest.approx([confusion[k, j, v] for v in (1, 2, 3, 4)], abs=1e-9)
    for i, posterior in fit.posterior.items():
        assert posterior == pytest.approx(tuple(truth[i].values()), abs=1e-9)


def panel(seed, accuracies, n_items=200, per_item=3, classes=2, flips=()):
    """Labels of a panel: each item by some reviewers, each right with their own probability; `flips` always say the opposite."""
    rng = random.Random(seed)
    truths, rows = {}, []
    for item in range(n_items):
        truths[item] = rng.randrange(classes)
        for reviewer in rng.sample(sorted(accuracies), per_item):
            right = rng.random() < accuracies[reviewer]
            if reviewer in flips:
                right = not right
            wrong = rng.choice([value for value in range(classes) if value != truths[item]])
            rows.append((item, reviewer, truths[item] if right else wrong))
    return truths, rows


@pytest.mark.parametrize("smoothing", [0.0, 0.5, 3.0])
@pytest.mark.parametrize("with_gold", [False, True])
def test_what_is_maximised_never_falls(smoothing, with_gold):
    truths, rows = panel(1, {"a": 0.9, "b": 0.7, "c": 0.6, "d": 0.8}, n_items=60, classes=3)
    known = {item: truths[item] for item in range(8)} if with_gold else None
    fit = dawid_skene(*columns(rows), known=known, smoothing=smoothing)
    assert fit.converged
    assert len(fit.objective) > 3
    # Sums of a few hundred logarithms: a fall within their rounding is none.
    assert all(after >= before - 1e-9 for before, after in zip(fit.objective, fit.objective[1:], strict=False))


def test_accuracies_are_found_and_weigh():
    """One expert and four who guess a little better than chance: the model beats the majority."""
    accuracies = {"expert": 0.97, "a": 0.6, "b": 0.6, "c": 0.6, "d": 0.6}
    truths, rows = panel(2, accuracies, n_items=600, per_item=5)
    fit = dawid_skene(*columns(rows))
    for reviewer, accuracy in accuracies.items():
        assert fit.accuracy(reviewer) == pytest.approx(accuracy, abs=0.06)
    of_item = {}
    for item, _, value in rows:
        of_item.setdefault(item, []).append(value)
    majority = sum(max(set(votes), key=votes.count) == truths[item] for item, votes in of_item.items())
    model = sum(fit.truth(item) == truth for item, truth in truths.items())
    assert model > majority + 30


def test_a_majority_that_turns_everything_round_inverts_the_model_unless_gold_holds_it():
    accuracies = dict.fromkeys("abcde", 0.9)
    truths, rows = panel(3, accuracies, n_items=300, per_item=5, flips="abc")
    bare = dawid_skene(*columns(rows))
    anchored = dawid_skene(*columns(rows), known={item: truths[item] for item in range(15)})
    others = range(15, 300)
    assert sum(bare.truth(item) == truths[item] for item in others) < 0.1 * len(others)
    assert sum(anchored.truth(item) == truths[item] for item in others) > 0.95 * len(others)
    assert max(anchored.accuracy(reviewer) for reviewer in "abc") < 0.2 < 0.8 < min(anchored.accuracy(reviewer) for reviewer in "de")


def test_gold_keeps_its_truth_and_says_nothing_of_prevalence():
    rows = [(item, reviewer, int(item < 5)) for item in range(40) for reviewer in "xyz"]
    fit = dawid_skene(*columns([*rows, ("hard", "x", 0), ("hard", "y", 0)]), known=dict.fromkeys(range(5), 1) | {"hard": 1}, smoothing=0.1)
    assert fit.posterior["hard"] == (0.0, 1.0)  # whatever people said
    assert [fit.truth(item) for item in range(40)] == [1] * 5 + [0] * 35
    assert fit.prevalence[0] > 0.99  # the 35 others are all 0; the six were chosen, for whatever reason
    everything = dawid_skene(["a", "b"], ["x", "x"], [1, 0], known={"a": 1, "b": 0})
    assert everything.prevalence == (0.5, 0.5)


def test_neither_order_nor_names_matter():
    _, rows = panel(4, {"a": 0.9, "b": 0.7, "c": 0.6}, n_items=40)
    fit = dawid_skene(*columns(rows))
    shuffled = random.Random(1).sample(rows, len(rows))
    assert dawid_skene(*columns(shuffled)) == fit
    renamed = dawid_skene(*columns([(item, reviewer, {0: "no", 1: "yes"}[value]) for item, reviewer, value in rows]))
    assert renamed.categories == ("no", "yes")
    assert renamed.posterior == fit.posterior


def test_degenerate_labels_are_defined():
    assert dawid_skene([], [], []).undefined is Undefined.NO_LABELS
    assert dawid_skene(["a"], ["x"], [None]).undefined is Undefined.NO_LABELS
    assert dawid_skene([], [], []).truth("a") is None
    one = dawid_skene(["a", "b"], ["x", "y"], [1, 1])
    assert (one.categories, one.prevalence, one.truth("a"), one.accuracy("x")) == ((1,), (1.0,), 1, 1.0)
    constant = dawid_skene(["a", "b"], ["x", "x"], [1, 1], categories=(0, 1))
    assert constant.truth("a") == 1
    single = dawid_skene(["a"], ["x"], [1], categories=(0, 1))
    # Of a reviewer with one label little is known, and little is claimed.
    assert 0.6 < single.accuracy("x") < 0.9
    assert single.accuracy("nobody") is None


def test_without_smoothing_a_row_that_nothing_speaks_of_is_none():
    fit = dawid_skene(["a", "b"], ["x", "x"], [1, 1], categories=(0, 1), smoothing=0)
    assert fit.confusion["x"] == (None, (0.0, 1.0))
    assert fit.accuracy("x") == 1.0


def test_smoothing_starts_from_a_competent_reviewer():
    fit = dawid_skene(["a", "b"], ["x", "x"], [1, 1], categories=(0, 1, 2), smoothing=1)
    assert fit.confusion["x"][0] == pytest.approx((COMPETENCE, 0.15, 0.15), abs=0.1)  # the items may be of that category, too


def test_it_says_when_it_did_not_converge():
    _, rows = panel(5, {"a": 0.9, "b": 0.7, "c": 0.6}, n_items=40)
    assert not dawid_skene(*columns(rows), max_iterations=2).converged


@pytest.mark.parametrize(("accuracy", "per_item"), [(0.9, 1), (0.75, 2), (0.6, 2), (0.6, 3), (0.5, 3)])
def test_labels_that_say_little_are_fitted_in_few_steps_and_to_what_em_alone_comes_to(accuracy, per_item):
    """EM alone takes thousands of steps here; what it comes to, it stays at."""
    _, rows = panel(6, dict.fromkeys("abcdef", accuracy), n_items=600, per_item=per_item)
    fit = dawid_skene(*columns(rows), tolerance=1e-6, max_iterations=1000)
    assert fit.converged
    assert all(after >= before - 1e-9 for before, after in zip(fit.objective, fit.objective[1:], strict=False))
    alone = slow_smoothed_em(rows, fit)
    for reviewer in "abcdef":
        assert alone[reviewer] == pytest.approx(fit.accuracy(reviewer), abs=1e-4)


def slow_smoothed_em(rows, fit, rounds=3):
    """The accuracies of reviewers after some steps of EM from a fit: equations 2.3 to 2.5 with the prior's labels, nothing vectorised."""
    smooth = [[COMPETENCE if j == v else 1 - COMPETENCE for v in (0, 1)] for j in (0, 1)]
    truth, observers = dict(fit.posterior), sorted(fit.confusion)
    for _ in range(rounds):
        mass = [0.5 + sum(each[j] for each in truth.values()) for j in (0, 1)]
        prevalence = [each / sum(mass) for each in mass]
        counts = {k: [[smooth[j][v] + sum(truth[i][j] for i, o, said in rows if (o, said) == (k, v)) for v in (0, 1)] for j in (0, 1)] for k in observers}
        confusion = {k: [[count / sum(row) for count in row] for row in counts[k]] for k in observers}
        joint = {i: list(prevalence) for i in truth}
        for i, k, v in rows:
            joint[i] = [joint[i][j] * confusion[k][j][v] for j in (0, 1)]
        truth = {i: [each / sum(both) for each in both] for i, both in joint.items()}
    return {k: sum(prevalence[j] * confusion[k][j][j] for j in (0, 1)) for k in observers}


def test_items_of_whom_the_same_is_said_count_as_often_as_they_are_there():
    _, rows = panel(7, {"a": 0.9, "b": 0.7, "c": 0.6}, n_items=50)
    fit = dawid_skene(*columns(rows), smoothing=0)
    assert fit.n_labels == dict.fromkeys("abc", 50)
    prevalence, _, truth = slow_em(rows, (0, 1), 2000)
    assert fit.prevalence == pytest.approx(tuple(prevalence.values()), abs=1e-6)
    assert {item: row[1] for item, row in fit.posterior.items()} == pytest.approx({item: row[1] for item, row in truth.items()}, abs=1e-6)
    assert len(set(fit.posterior.values())) <= 8  # of three reviewers who say one of two things


def test_labels_from_a_data_frame():
    frame = pd.DataFrame(DAWID_SKENE_1979, columns=["patient", "who", "said"])
    assert dawid_skene("patient", "who", "said", data=frame) == dawid_skene(*columns(DAWID_SKENE_1979))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"items": ["a"], "reviewers": ["x", "y"], "values": [1]}, "differ in length"),
        ({"items": [None], "reviewers": ["x"], "values": [1]}, "row 0 has a value, but lacks its item or reviewer"),
        ({"items": ["a"], "reviewers": ["x"], "values": ["rude words"], "categories": (0, 1)}, "a value is none of the 2 categories"),
        ({"items": ["a"], "reviewers": ["x"], "values": [1], "categories": (0, 1), "known": {"a": 7}}, "a known truth is none"),
        ({"items": ["a"], "reviewers": ["x"], "values": [1], "smoothing": -1}, "smoothing >= 0"),
    ],
)
def test_bad_labels_are_named_and_not_quoted(arguments, said):
    with pytest.raises(ValueError, match=said) as caught:
        dawid_skene(**arguments)
    assert "rude" not in str(caught.value)
