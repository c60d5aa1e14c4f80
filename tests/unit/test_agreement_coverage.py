"""How often the 95 % intervals of agreement hold the truth, by simulation.

Long: `pytest -m long tests/unit/test_agreement_coverage.py -s` prints the table.
"""

from dataclasses import dataclass

import numpy as np
import pytest

from trueloop.agreement import (
    Evidence,
    Moments,
    Replicates,
    fleiss_kappa,
    gwet_ac1,
    gwet_ac2,
    krippendorff_alpha,
    observed_agreement,
    span_f1,
)

pytestmark = pytest.mark.long
LOW, HIGH = 0.935, 0.965
"""Coverage that is asked for."""
SEED = 20261121
RUNS = 2000
CHANCE = 0.01
"""Two standard errors of a coverage of 0.95 over that many runs: what lies outside by less is not shown to lie outside."""


@dataclass(frozen=True)
class World:
    """Raters know the truth with probability `knows` and else guess by the prevalence of the values.

    A cluster holds up to `together` units and all of them are as easy as each other: `knows` is drawn per cluster.
    """

    name: str
    prevalence: tuple[float, ...]
    knows: tuple[float, ...]
    raters: int
    missing: float = 0.0
    together: int = 1

    def truth(self):
        """The coefficients in the population."""
        p, q = np.array(self.prevalence), len(self.prevalence)
        given = [knows * np.eye(q) + (1 - knows) * p[None, :] for knows in self.knows]
        met = np.mean([np.einsum("t,ti,tj->ij", p, each, each) for each in given], axis=0)
        share = met.sum(0)
        agree, place = np.trace(met), np.cumsum(share) - share / 2
        apart = (place[:, None] - place[None, :]) ** 2
        steps = np.abs(np.subtract.outer(np.arange(q), np.arange(q)))
        weight = 1 - steps * (steps + 1) / (q * (q - 1))
        by_chance = (share * (1 - share)).sum() / (q - 1)
        by_chance_weighted = weight.sum() * (share * (1 - share)).sum() / (q * (q - 1))
        return {
            "p_o": agree,
            "AC1": (agree - by_chance) / (1 - by_chance),
            "AC2": ((met * weight).sum() - by_chance_weighted) / (1 - by_chance_weighted),
            "Fleiss": (agree - (share**2).sum()) / (1 - (share**2).sum()),
            "alpha": 1 - (met * apart).sum() / (np.outer(share, share) * apart).sum(),
        }

    def sample(self, rng, units, run):
        """Evidence of about that many units."""
        q, evidence = len(self.prevalence), Evidence(moments=Moments("ordinal"), replicates=Replicates("ordinal"))
        sizes = rng.integers(1, self.together + 1, size=2 * units // (self.together + 1) + 1 if self.together > 1 else units)
        total = sizes.sum()
        knows = np.repeat(rng.choice(self.knows, size=len(sizes)), sizes)
        truth = rng.choice(q, size=total, p=self.prevalence)
        guesses = rng.choice(q, size=(total, self.raters), p=self.prevalence)
        values = np.where(rng.random((total, self.raters)) < knows[:, None], truth[:, None], guesses)
        there = rng.random((total, self.raters)) >= self.missing
        counts = ((values[:, :, None] == np.arange(q)) & there[:, :, None]).sum(1).tolist()
        begin = 0
        for cluster, size in enumerate(sizes.tolist()):
            patterns = [tuple((value, count) for value, count in enumerate(counts[unit]) if count) for unit in range(begin, begin + size)]
            evidence.add(f"{run}-{cluster}", tuple((pattern, 1) for pattern in patterns if pattern))
            begin += size
        return evidence


WORLDS = (
    World("2 values alike, 2 raters", (0.5, 0.5), (0.7,), 2),
    World("5 values alike, 3 raters", (0.2,) * 5, (0.6,), 3),
    World("5 values skewed, 5 raters, a fifth missing", (0.05, 0.1, 0.2, 0.3, 0.35), (0.6,), 5, missing=0.2),
    World("3 values, 3 raters, high agreement", (0.4, 0.3, 0.3), (0.9,), 3),
    World("2 values 80:20, 2 raters, high agreement", (0.8, 0.2), (0.9,), 2),
    World("2 values 90:10, 3 raters, a third missing", (0.9, 0.1), (0.8,), 3, missing=0.3),
    World("4 values, 3 raters, tasks of 1 to 3 units", (0.4, 0.3, 0.2, 0.1), (0.4, 0.9), 3, together=3),
)
SIZES = (50, 100, 200, 500)
NAMES = ("p_o", "AC1", "AC2", "Fleiss", "alpha")


def coverage(world, units, runs):
    """Return per coefficient the share of intervals that hold the truth, and the share of runs without an interval."""
    rng, truth = np.random.default_rng([SEED, units, WORLDS.index(world)]), world.truth()
    held, without = dict.fromkeys(NAMES, 0), dict.fromkeys(NAMES, 0)
    for run in range(runs):
        evidence, categories = world.sample(rng, units, run), range(len(world.prevalence))
        for name, estimate in (
            ("p_o", observed_agreement(evidence)),
            ("AC1", gwet_ac1(evidence, categories=categories)),
            ("AC2", gwet_ac2(evidence, categories=categories)),
            ("Fleiss", fleiss_kappa(evidence)),
            ("alpha", krippendorff_alpha(evidence, level="ordinal")),
        ):
            if estimate.interval is None:
                without[name] += 1
            else:
                held[name] += estimate.ci_low <= truth[name] <= estimate.ci_high
    return {name: (held[name] / max(1, runs - without[name]), without[name] / runs) for name in NAMES}


def test_intervals_hold_the_truth_as_often_as_they_say():
    """From 200 units on all are in the band; with fewer those of p_o, AC1 and AC2, unless disagreements can be counted on two hands."""
    lines = [
        f"Share of 95 % intervals that hold the truth, {RUNS} runs each (two standard errors: {CHANCE:.1%}), seed {SEED}. A figure outside",
        f"{LOW:.1%} to {HIGH:.1%} by more than that is marked. `alpha` is ordinal, by Poisson bootstrap; the others are linearised.",
        "",
        "| ratings | units | " + " | ".join(NAMES) + " | no interval |",
        "|---|---|" + "---|" * (len(NAMES) + 1),
    ]
    outside = []
    for world in WORLDS:
        for units in SIZES:
            found = coverage(world, units, RUNS)
            marks = {name: " *" if not LOW - CHANCE <= share <= HIGH + CHANCE else "" for name, (share, _) in found.items()}
            outside += [(units, name, world.name, round(found[name][0], 4)) for name in NAMES if marks[name]]
            cells = " | ".join(f"{found[name][0]:.1%}{marks[name]}" for name in NAMES)
            lines.append(f"| {world.name} | {units} | {cells} | {max(share for _, share in found.values()):.1%} |")
    print("\n" + "\n".join(lines))
    assert [found for found in outside if found[0] >= 200] == []
    assert {name for units, name, _, _ in outside if units >= 100} <= {"Fleiss", "alpha"}


def test_intervals_of_marked_spans_are_clustered_by_document():
    """Readers find an error in most documents and differ in where it ends; documents, not characters, are what varies."""
    rng, runs = np.random.default_rng(SEED), 1200

    def document():
        start, length = rng.integers(0, 50), rng.integers(10, 40)
        spans = [(start, start + max(1, length + rng.integers(-8, 9))) if rng.random() < 0.85 else None for _ in range(3)]
        marked = [{*range(*span)} if span else set() for span in spans]
        counts = [sum(place in each for each in marked) for place in range(120)]
        return tuple(
            (tuple((value, count) for value, count in ((0, 3 - depth), (1, depth)) if count), counts.count(depth)) for depth in range(4) if depth in counts
        )

    many = Evidence(replicates=None)
    for number in range(40_000):
        many.add(str(number), document())
    truth = {"alpha": krippendorff_alpha(many).value, "F1": span_f1(many).value}
    held = dict.fromkeys(truth, 0)
    for run in range(runs):
        evidence = Evidence(replicates=Replicates("nominal"))
        for number in range(100):
            evidence.add(f"{run}-{number}", document())
        for name, estimate in (("alpha", krippendorff_alpha(evidence)), ("F1", span_f1(evidence))):
            held[name] += estimate.ci_low <= truth[name] <= estimate.ci_high
    print(f"\nMarked spans, 100 documents, {runs} runs, seed {SEED}: " + ", ".join(f"{name} {count / runs:.1%}" for name, count in held.items()))
    for name, count in held.items():
        assert LOW - 0.0126 <= count / runs <= HIGH + 0.0126, name
