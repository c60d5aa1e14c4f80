"""Plots of the demo: each dimension over cycles, as a picture and in the terminal."""

from dataclasses import dataclass
from pathlib import Path

from trueloop.demo.observation import Cycle
from trueloop.events import Verdict


@dataclass(frozen=True, slots=True)
class Curve:
    """Scores of one dimension: x is the cycle (0 is the model that served first), with bounds of the candidates and the floor."""

    dimension: str
    cycles: list[int]
    scores: list[float]
    lows: list[float]
    highs: list[float]
    floor: float | None


def curves(cycles: list[Cycle]) -> list[Curve]:
    """Return a curve per gated dimension, over all traces."""
    names = dict.fromkeys(d.dimension for cycle in cycles if cycle.gate for d in cycle.gate.dimensions if d.slice == "all")
    return [_curve(cycles, name) for name in names]


def _curve(cycles: list[Cycle], name: str) -> Curve:
    curve = Curve(name, [], [], [], [], None)
    floor = None
    for number, cycle in enumerate(cycles, 1):
        found = next((d for d in cycle.gate.dimensions if d.dimension == name and d.slice == "all"), None) if cycle.gate else None
        if found is None or found.candidate is None or found.candidate_low is None or found.candidate_high is None:
            continue
        if not curve.cycles and found.baseline is not None:
            _add(curve, 0, found.baseline, found.baseline, found.baseline)
        _add(curve, number, found.candidate, found.candidate_low, found.candidate_high)
        floor = found.floor
    return Curve(name, curve.cycles, curve.scores, curve.lows, curve.highs, floor)


def _add(curve: Curve, cycle: int, score: float, low: float, high: float) -> None:
    curve.cycles.append(cycle)
    curve.scores.append(score)
    curve.lows.append(low)
    curve.highs.append(high)


def write_picture(cycles: list[Cycle], path: Path) -> None:
    """Write a PNG: one panel per dimension with the one-sided bounds of its look, the floor, and the verdict of each gate."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import MaxNLocator

    found = curves(cycles)
    colours = {Verdict.PASS: "#2a9d55", Verdict.BLOCK: "#c8443c", Verdict.INCONCLUSIVE: "#d69a1e"}
    figure, axes = plt.subplots(1, len(found), figsize=(4.2 * len(found), 3.9), sharey=True, squeeze=False)
    for axis, curve in zip(axes[0], found, strict=True):
        axis.plot(curve.cycles, curve.scores, color="#33556e", linewidth=1.5, zorder=2)
        for number, score, low, high in zip(curve.cycles, curve.scores, curve.lows, curve.highs, strict=True):
            gate = cycles[number - 1].gate if number else None
            verdict = next((d.verdict for d in gate.dimensions if d.dimension == curve.dimension and d.slice == "all"), None) if gate else None
            colour = colours.get(verdict, "#33556e") if verdict else "#33556e"
            axis.errorbar([number], [score], [[score - low], [high - score]], fmt="o", color=colour, capsize=3, zorder=3)
        if curve.floor is not None:
            axis.axhline(curve.floor, color="#888888", linestyle="--", linewidth=1)
            axis.annotate(f"floor {curve.floor:.2f}", (0, curve.floor), textcoords="offset points", xytext=(2, 3), color="#666666", fontsize=8)
        axis.set_title(curve.dimension)
        axis.set_xlabel("cycle (0: the model that served first)")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(alpha=0.2)
    axes[0][0].set_ylabel("score on held-out prompts")
    figure.suptitle("Score per rubric dimension; bars are one-sided bounds of the look; green passes, red blocks, amber is inconclusive", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def terminal_plot(cycles: list[Cycle], width: int) -> str:
    """Return a plot of the same scores for a terminal of that width."""
    import plotext

    plotext.clear_figure()
    plotext.theme("clear")
    plotext.plotsize(min(width, 100), 18)
    plotext.title("score on held-out prompts, per dimension")
    plotext.xlabel("cycle")
    for curve in curves(cycles):
        plotext.plot(curve.cycles, curve.scores, label=curve.dimension, marker="braille")
    plotext.xticks(list(range(len(cycles) + 1)))
    return str(plotext.build())
