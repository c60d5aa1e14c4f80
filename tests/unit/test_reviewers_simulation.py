"""What the defences against bad reviewers do, by simulation, and how often they err.

`pytest -m long tests/unit/test_reviewers_simulation.py -s` prints the tables.
"""

import random
from collections import Counter, defaultdict
from statistics import fmean

import pytest
from scipy.stats import binom

from trueloop.events import DriftState, ReviewerStatus
from trueloop.reviewers import (
    Evidence,
    consequence,
    dawid_skene,
    gold_accuracy_of,
    item_truth,
    reviewer_drift,
    same_voice,
)
from trueloop.reviewers.panel_fit import FitWindow, PanelVotes, Place, Vote
from trueloop.rubrics.policy import ReviewerDrift, Reviewers

SEED = 20261121
RUNS = 12
REVIEWERS, ITEMS, PER_ITEM, GOLD = 20, 1200, 5, 0.1
TARGET = 0.15
"""Share of items that colluders care about."""
POLICY = Reviewers()


class Panel:
    """Twenty reviewers, right 75 to 95 times of 100 (hard items excepted), and an attack."""

    def __init__(self, rng, attack, attackers):
        self.truth = {item: rng.randrange(2) for item in range(ITEMS)}
        self.targeted = {item for item in self.truth if rng.random() < TARGET}
        self.gold = {item: truth for item, truth in self.truth.items() if rng.random() < GOLD}
        names = [f"r{number:02d}" for number in range(REVIEWERS)]
        self.bad = set(names[:attackers])
        accuracy = {name: rng.uniform(0.75, 0.95) for name in names}
        person = {name: names[0] if attack == "accounts" and name in self.bad else name for name in names}
        if attack == "accounts":
            accuracy[names[0]] = 0.6
        self.labels = []
        for item, truth in self.truth.items():
            hard = 0.15 if item % 5 == 0 else 0.0
            said = {name: truth if rng.random() < accuracy[name] - hard else 1 - truth for name in names}
            for name in rng.sample(names, PER_ITEM):
                value = said[person[name]] if rng.random() < 0.97 else said[name]
                if name in self.bad and (attack == "flip" or (attack == "collude" and item in self.targeted)):
                    value = 1 - truth
                self.labels.append((item, name, value))

    def right(self, found, items):
        return fmean(found.get(item) == self.truth[item] for item in items)


def majority(labels, weights=None):
    votes = defaultdict(Counter)
    for item, reviewer, value in labels:
        votes[item][value] += 1 if weights is None else weights.get(reviewer, 1.0)
    return {item: counts.most_common(1)[0][0] for item, counts in votes.items()}


def fitted_to(panel):
    """What the worker fits: the labels in the order in which they came, spread over the partitions of the topic."""
    window, by_item = FitWindow(), defaultdict(list)
    votes = PanelVotes(window)
    for number, (item, reviewer, value) in enumerate(panel.labels):
        by_item[item].append(Vote(item, ("d", "a"), reviewer, value, Place(number % 4, number // 4)))
    for item, given in by_item.items():
        votes.replace(item, given, {("d", "a"): panel.gold[item]} if item in panel.gold else {})
    for partition in range(4):
        window.reach(Place(partition, ITEMS * PER_ITEM // 4))
    return votes.fit()


def defended(panel):
    """Each defence: what it takes for true, and whom it accuses."""
    columns = [list(column) for column in zip(*panel.labels, strict=True)]
    bare, fit = dawid_skene(*columns), fitted_to(panel)
    anchored = fit.models["d"]
    answers = defaultdict(list)
    for item, reviewer, value in panel.labels:
        if item in panel.gold:
            answers[reviewer].append((value == panel.gold[item], item in panel.targeted))
    names = sorted(answers)
    status = {name: consequence(Evidence(gold_accuracy_of(sum(right for right, _ in found), len(found)), {}), POLICY) for name, found in answers.items()}
    weights = {name: found.weight for name, found in status.items()}
    quarantined = {name for name, found in status.items() if found.status is ReviewerStatus.QUARANTINED}
    fitted = {name: anchored.accuracy(name) for name in names}
    voices = same_voice(fit.pairs)
    flagged = {name for pair in fit.pairs if pair.flagged for name in (pair.first, pair.second)}
    votes = defaultdict(dict)
    for item, reviewer, value in panel.labels:
        votes[item][reviewer] = value

    def on_gold(name, of_targeted=None):
        counted = [right for right, targeted in answers[name] if of_targeted is None or targeted == of_targeted]
        return (sum(counted) + 1) / (len(counted) + 2)

    def weighed(accuracies, exponents):
        found = {item: item_truth(given, accuracies(item), (0, 1), weights=exponents) for item, given in votes.items()}
        return {item: max(truth, key=truth.get) for item, truth in found.items() if truth}

    overall = {name: on_gold(name) for name in names}
    by_slice = {of: {name: on_gold(name, of) for name in names} for of in (True, False)}
    together = {name: weights[name] * voices.get(name, 1.0) for name in names}
    low = [{name for name in names if fit.accuracy(name) < 0.5} for fit in (bare, anchored)]
    return {
        "majority": (majority(panel.labels), set()),
        "Dawid-Skene": ({item: bare.truth(item) for item in panel.truth}, low[0]),
        "Dawid-Skene, gold": ({item: anchored.truth((item, ("d", "a"))) for item in panel.truth}, low[1]),
        "gold weights": (weighed(lambda _: overall, weights), quarantined),
        "gold weights per slice": (weighed(lambda item: by_slice[item in panel.targeted], None), quarantined),
        "all together": (weighed(lambda _: fitted, together), quarantined | flagged),
    }


ATTACKS = [
    ("nobody", "none", 0),
    ("10 % always flip", "flip", 2),
    ("20 % always flip", "flip", 4),
    ("60 % always flip", "flip", 12),
    ("20 % collude on 15 % of items", "collude", 4),
    ("60 % collude on 15 % of items", "collude", 12),
    ("25 % are accounts of one careless person", "accounts", 5),
]


@pytest.mark.long
def test_attacks_on_reviewers(capsys):
    """Share of items whose truth is found, on all and on targeted items; attackers and honest reviewers that are accused."""
    results = {}
    for label, attack, attackers in ATTACKS:
        rng = random.Random(f"{SEED} {label}")
        rows = defaultdict(list)
        for _ in range(RUNS):
            panel = Panel(rng, attack, attackers)
            plain = [item for item in panel.truth if item not in panel.gold]
            for name, (found, accused) in defended(panel).items():
                honest = REVIEWERS - attackers
                rows[name].append((
                    panel.right(found, plain),
                    panel.right(found, [item for item in plain if item in panel.targeted]),
                    len(accused & panel.bad) / attackers if attackers else 0.0,
                    len(accused - panel.bad) / honest,
                ))  # fmt: skip
        results[label] = {name: [fmean(column) for column in zip(*found, strict=True)] for name, found in rows.items()}
    with capsys.disabled():
        print(f"\n{REVIEWERS} reviewers, {ITEMS} items, {PER_ITEM} labels each, {GOLD:.0%} of them gold, {RUNS} runs, seed {SEED}")
        print("truth found on all items (on targeted ones); attackers accused / honest accused")
        for label, found in results.items():
            print(f"  {label}")
            for name, (right, targeted, caught, wronged) in found.items():
                print(f"    {name:24s} {right:.3f} ({targeted:.3f})   {caught:4.0%} / {wronged:4.1%}")
    for label, _, attackers in ATTACKS[:3]:
        for name in ("Dawid-Skene", "Dawid-Skene, gold", "all together"):
            assert results[label][name][0] >= results[label]["majority"][0] - 0.01, (label, name)
        assert results[label]["gold weights"][2] > 0.9 or not attackers
    inverted = results["60 % always flip"]
    assert inverted["majority"][0] < 0.5
    assert inverted["Dawid-Skene"][0] < 0.2, "labels alone cannot tell the two mirror images apart"
    assert inverted["Dawid-Skene, gold"][0] > 0.9
    accounts = results["25 % are accounts of one careless person"]
    assert accounts["all together"][2] > 0.9
    for label, found in results.items():
        # A colluding majority on a slice is the yardstick there, and honest reviewers look like accomplices: they are watched.
        assert found["all together"][3] < (0.1 if "60 % collude" in label else 0.01), f"honest reviewers accused: {label}"
    slice_attack = results["60 % collude on 15 % of items"]
    assert max(found[1] for name, found in slice_attack.items() if name != "gold weights per slice") < 0.6, "nothing but gold of that slice helps"
    assert slice_attack["gold weights per slice"][1] > 0.75


@pytest.mark.parametrize("others", [{"careless": 0.6}, {"careless": 0.6, "careless too": 0.6}, {"flip": 0.08}], ids="+".join)
def test_good_reviewers_beside_a_bad_one_are_not_accused(others):
    """Where two of three are good, the third says what is true of the two: what they then seem to share is no error."""
    accuracy = {**others, "ada": 0.92, "ben": 0.92, "cleo": 0.92}
    rng, accused = random.Random(SEED), []
    for _ in range(8):
        window = FitWindow()
        votes, number = PanelVotes(window), 0
        for item in range(400):
            truth, given = rng.randrange(2), []
            for name in rng.sample(sorted(accuracy), 3):
                value = truth if rng.random() < accuracy[name] - (0.15 if item % 5 == 0 else 0.0) else 1 - truth
                given.append(Vote(str(item), ("d", "a"), name, value, Place(0, number)))
                number += 1
            votes.replace(str(item), given, {("d", "a"): truth} if item % 20 == 0 else {})
        window.reach(Place(0, number))
        accused += [{pair.first, pair.second} for pair in votes.fit().pairs if pair.flagged]
    assert not accused


@pytest.mark.long
def test_how_often_quarantine_errs(capsys):
    """Somebody looks after every gold item: chance that a reviewer of a given accuracy is ever quarantined within 200 items, and when."""
    rng = random.Random(SEED)
    with capsys.disabled():
        print(f"\nQuarantine below {POLICY.quarantine_below}, looked at after every gold item up to 200, 2,000 reviewers each, seed {SEED}")
        for accuracy in (0.3, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9):
            at = []
            for _ in range(2000):
                right = 0
                for n in range(1, 201):
                    right += rng.random() < accuracy
                    if n >= POLICY.min_gold and quarantined(right, n):
                        at.append(n)
                        break
            median = sorted(at)[len(at) // 2] if at else None
            print(f"  accuracy {accuracy:.2f}: {len(at) / 2000:6.1%}   median after {median} items")
            if accuracy >= 0.75:
                assert len(at) / 2000 < 0.01
            if accuracy <= 0.3:
                assert len(at) / 2000 > 0.99


_DECIDED = {}


def quarantined(right, n):
    if (right, n) not in _DECIDED:
        _DECIDED[right, n] = consequence(Evidence(gold_accuracy_of(right, n), {}), POLICY).status is ReviewerStatus.QUARANTINED
    return _DECIDED[right, n]


@pytest.mark.long
def test_gold_intervals_cover(capsys):
    """Jeffreys' interval by enumeration, over accuracies from 0.5 to 0.99."""
    with capsys.disabled():
        print("\nGold accuracy: exact coverage of the 95 % interval, over accuracies from 0.50 to 0.99")
        for n in (10, 20, 30, 100):
            ends = [(found.ci_low, found.ci_high) for found in (gold_accuracy_of(right, n) for right in range(n + 1))]
            covered = [sum(binom.pmf(right, n, step / 200) for right, (low, high) in enumerate(ends) if low <= step / 200 <= high) for step in range(100, 199)]
            print(f"  {n:4d} items: mean {fmean(covered):.3f}, least {min(covered):.3f}")
            assert 0.935 <= fmean(covered) <= 0.965


@pytest.mark.long
def test_drift_of_reviewers(capsys):
    """False alarms of steady reviewers, and the delay after one becomes careless."""
    rng = random.Random(SEED)
    contract = ReviewerDrift(reference_size=100, arl_target=5000)
    with capsys.disabled():
        print(f"\nDrift of reviewers: reference {contract.reference_size}, declared run length {contract.arl_target:.0f}, seed {SEED}")
        false = [steady(rng, contract, 0.1, 1100) for _ in range(150)]
        rate = sum(alarm is not None for alarm in false) / (150 * 1000)
        print(
            f"  steady at 10 % errors: {sum(alarm is not None for alarm in false)} of 150 alarm within 1,000 judgements, one in {1 / rate:,.0f}"
            if rate
            else "  steady at 10 % errors: none of 150 alarms within 1,000 judgements"
        )
        assert rate <= 1 / contract.arl_target
        for after in (0.3, 0.4, 0.6):
            delays = [changed(rng, contract, 0.1, after) for _ in range(100)]
            found = sorted(delay for delay in delays if delay is not None)
            print(f"  from 10 % to {after:.0%}: {len(found) / 100:.0%} found within 400, median after {found[len(found) // 2] if found else None} judgements")
        assert len(found) / 100 > 0.95


def steady(rng, contract, errors, n):
    return first_alarm([float(rng.random() < errors) for _ in range(n)], contract, 0)


def changed(rng, contract, before, after):
    losses = [float(rng.random() < before) for _ in range(300)] + [float(rng.random() < after) for _ in range(400)]
    return first_alarm(losses, contract, 300)


def first_alarm(losses, contract, start):
    """Judgements after `start` until the first alarm; None without one. An alarm lasts, so that it is enough to look at every 20th, and then back."""
    for end in range(start, len(losses) + 1, 20):
        if reviewer_drift(losses[:end], contract).state is DriftState.ALARM:
            return next(n for n in range(max(end - 20, start), end + 1) if reviewer_drift(losses[:n], contract).state is DriftState.ALARM) - start
    return None
