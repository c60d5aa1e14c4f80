"""`trueloop gate`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trueloop.adapters.documents import load_policy, load_rubric
from trueloop.cli import group
from trueloop.commands.governed import SOURCE
from trueloop.commands.output import JSON_OPTION, print_json, print_table, printable
from trueloop.commands.people_power import people_power, show_people_power
from trueloop.errors import ConfigurationError
from trueloop.events import DimensionVerdict, Evaluation, Event, GateDecision, GateReason, Verdict
from trueloop.gates.assumptions import CORRELATION, UNSAFE, Assumptions
from trueloop.rubrics import Policy, Rubric
from trueloop.rubrics.gate_policy import PEOPLE, PROBE

if TYPE_CHECKING:
    from trueloop.gates.looks import Look
    from trueloop.gates.operating import Characteristic
    from trueloop.gates.people_operating import PeopleCharacteristic
    from trueloop.topics import Topic

app = group(help="Whether a candidate may be released, and how sure a policy's gate is of that.")
EXIT = {Verdict.PASS: 0, Verdict.BLOCK: 1, Verdict.INCONCLUSIVE: 3, Verdict.UNKNOWN: 3}
RUBRIC_OPTION = typer.Option(None, "--rubric", help="The policy's rubric, a file or a shipped one; default: the shipped one of that id.")


@app.command()
def power(
    source: str = SOURCE,
    *,
    rubric: str = RUBRIC_OPTION,
    n: Annotated[list[int] | None, typer.Option("--n", min=1, help="Items; may be repeated. Default: from gate.min_items to gate.max_items.")] = None,
    better: float = typer.Option(0.02, min=0.0, max=1.0, help="By how much the better candidate is better, on every dimension."),
    baseline: Annotated[list[str] | None, typer.Option(help="DIMENSION=MEAN of the serving model; default: half-way from the floor to 1.")] = None,
    correlation: float = typer.Option(CORRELATION, min=0.0, max=1.0, help="Correlation of the two models' scores on an item."),
    slices: Annotated[list[str] | None, typer.Option("--slice", help="NAME=VALUE:SHARE of a gated slice, such as mood=rude:0.3; may be repeated.")] = None,
    probes: Annotated[list[str] | None, typer.Option(help="CATEGORY=NUMBER of probes that the trainer worker has; default: those installed here.")] = None,
    unsafe: float = typer.Option(UNSAFE, min=0.0, max=1.0, help="Chance that the serving model fails a probe."),
    look: int = typer.Option(1, min=1, help="How often candidates will have been held against these items, this one included."),
    simulations: int = typer.Option(2000, min=100, max=1_000_000, help="Simulated candidates per row."),
    seed: int = typer.Option(1, min=0, help="Seed of the simulation."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Show the chance that a policy's gate passes an identical, a better and a worse candidate, before it is used.

    Simulates candidates and decides on them as the gate does. A candidate is worse when it loses the largest regression that the policy allows
    on one dimension, or fails one probe in ten more of a category, and is identical on the others.

    \b
    Examples:
      trueloop gate power billing-support --n 500 --n 1000 --baseline tone=0.97
      trueloop gate power my-policy.toml --probes my-privacy=40 --unsafe 0.001
    """
    import numpy as np

    from trueloop.gates.looks import Look
    from trueloop.gates.operating import assumed_baseline, characteristic, scenarios
    from trueloop.gates.requirements import requirements

    policy = load_policy(source)
    judged_by, taken, random = _rubric(policy, rubric), Look.numbered(policy.gate, look), np.random.default_rng(seed)
    means = _means(baseline or (), assumed_baseline(policy, judged_by))
    assumed = Assumptions(means, correlation, _shares(slices or (), policy), _probes(probes or (), policy), unsafe)
    rows = [
        characteristic(policy, judged_by, assumed, scenario, n=size, simulations=simulations, look=taken, random=random)
        for size in _sizes(policy, n or ())
        for scenario in scenarios(policy, better)
    ]
    asked, tests = policy.gate.asks_people, sum(each.is_corrected for each in requirements(policy, judged_by))
    people = [] if asked is None else people_power(policy.gate, asked, taken, tests=tests, simulations=simulations, random=random)
    _show_power(policy, taken, assumed, rows, people, as_json=as_json, run=(simulations, seed))


@app.command()
def check(
    candidate: str = typer.Argument(None, metavar="CANDIDATE", help="Id of a checkpoint: shows the newest decision of the gate on it."),
    *,
    evaluation: Annotated[Path | None, typer.Option(help="Or a file with an Evaluation event as JSON, which is decided on here and now.")] = None,
    policy: str = typer.Option(None, "--policy", help="With --evaluation: the policy, a file or a shipped one; default: the shipped one it names."),
    rubric: str = RUBRIC_OPTION,
    look: int = typer.Option(1, min=1, help="With --evaluation: how often candidates were held against these items, this time included."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Say whether a candidate may be released, for people and for CI.

    \b
    Exit codes: 0 passed; 1 blocked; 2 wrong usage; 3 inconclusive, not decided on,
    or the broker does not answer.

    \b
    Examples:
      trueloop gate check 0123456789abcdef0123456789abcdef
      trueloop gate check --evaluation evaluation.json --policy policies/support.toml
    """
    if (candidate is None) == (evaluation is None):
        raise ConfigurationError("give either the id of a CANDIDATE, or a file with --evaluation")
    if evaluation is None:
        gate = _newest(candidate)
        if gate is None:
            typer.echo(f"no gate has decided on candidate {printable(candidate)!r}", err=True)
            raise typer.Exit(EXIT[Verdict.UNKNOWN])
        beside = {"gate": gate.event_id, "evaluation": gate.evaluation_id, "policy": f"{gate.policy_id}@{gate.policy_version}"}
        said = _Said(gate.candidate, gate.verdict, gate.reasons, gate.dimensions, gate.labels_needed, gate.look, gate.alpha, beside)
    else:
        said = _decided(evaluation, policy, rubric, look)
    _show(said, as_json)
    raise typer.Exit(EXIT[said.verdict])


@app.command()
def show(candidate: str = typer.Argument(..., metavar="CANDIDATE", help="Id of a checkpoint."), as_json: bool = JSON_OPTION) -> None:
    """Show what the newest decision on a candidate stands on: each dimension, slice and evaluator, how far judges agree with people,
    what was left unanswered, and how its answers differ beside their scores.

    \b
    Example:
      trueloop gate show 0123456789abcdef0123456789abcdef
    """
    from trueloop.commands.gate_evidence import show_evidence
    from trueloop.topics import EVALUATIONS

    gate = _newest(candidate)
    if gate is None:
        typer.echo(f"no gate has decided on candidate {printable(candidate)!r}", err=True)
        raise typer.Exit(EXIT[Verdict.UNKNOWN])
    evaluation = next((event for event in _read(EVALUATIONS) if isinstance(event, Evaluation) and event.event_id == gate.evaluation_id), None)
    if as_json:
        print_json({"gate": gate.model_dump(mode="json"), "evaluation": None if evaluation is None else evaluation.model_dump(mode="json")})
    else:
        show_evidence(gate, evaluation)


@dataclass(frozen=True, slots=True)
class _Said:
    """What a gate says of a candidate, from the topic or from here."""

    candidate: str
    verdict: Verdict
    reasons: Sequence[GateReason]
    dimensions: Sequence[DimensionVerdict]
    labels_needed: int | None
    look: int
    alpha: float | None
    beside: Mapping[str, str]


def _decided(path: Path, policy: str | None, rubric: str | None, look: int) -> _Said:
    from trueloop.gates.decide import decide
    from trueloop.gates.looks import Look

    scored = _evaluation(path)
    governing = load_policy(policy or scored.policy_id)
    taken = Look.numbered(governing.gate, look)
    found = decide(scored, governing, _rubric(governing, rubric), taken)
    beside = {"evaluation": scored.event_id, "policy": f"{governing.id}@{governing.version}"}
    return _Said(scored.candidate, found.verdict, found.reasons, found.dimensions, found.labels_needed, look, taken.alpha, beside)


def _show(said: _Said, as_json: bool) -> None:
    if as_json:
        dimensions = [each.model_dump(mode="json") for each in said.dimensions]
        print_json({**asdict(replace(said, dimensions=())), "dimensions": dimensions})
        return
    rows = [
        (
            *(each.dimension, each.slice, each.evaluator, each.verdict.value, each.n),
            *(_bounded(each.candidate, each.candidate_low, each.candidate_high), each.floor),
            *(_bounded(each.difference, each.difference_low, each.difference_high), _limit(each)),
            *(", ".join(reason.value for reason in each.reasons), each.labels_needed),
        )
        for each in said.dimensions
    ]
    columns = ("dimension", "slice", "evaluator", "verdict", "n", "candidate", "floor", "difference", "at least", "why", "labels needed")
    print_table(columns, rows, "no dimension was judged")
    why = ", ".join(reason.value for reason in said.reasons)
    typer.echo(f"\n{said.verdict.value}: {why}" + (f"; look {said.look}, error {said.alpha:.4f}" if said.alpha is not None else ""))
    if said.verdict is Verdict.INCONCLUSIVE:
        typer.echo(f"labels still needed: {'cannot be said' if said.labels_needed is None else said.labels_needed}")


def _show_power(
    policy: Policy,
    look: "Look",
    assumed: Assumptions,
    rows: "Sequence[Characteristic]",
    people: "Sequence[PeopleCharacteristic]",
    *,
    as_json: bool,
    run: tuple[int, int],
) -> None:
    verdicts, error, (simulations, seed) = (Verdict.PASS, Verdict.BLOCK, Verdict.INCONCLUSIVE), policy.gate.error, run
    if as_json:
        chances = [
            {"n": row.n, "candidate": row.scenario.name, "shifts": dict(row.scenario.shifts), "unsafe": dict(row.scenario.unsafe)}
            | {verdict.value.lower(): row.chance(verdict) for verdict in verdicts}
            | {"standard_error_of_pass": row.standard_error(Verdict.PASS)}
            for row in rows
        ]
        stated = {"policy": policy.id, "version": policy.version, "look": look.number, "alpha": look.alpha, "error": error}
        print_json(
            stated | {"assumed": asdict(assumed), "simulations": simulations, "seed": seed, "rows": chances, "people": [asdict(each) for each in people]}
        )
        return
    typer.echo(f"policy {policy.id!r} version {policy.version}, look {look.number}: error {look.alpha:.4f} of {error:.4f}")
    means = ", ".join(f"{name} {mean:g}" for name, mean in assumed.baseline.items())
    typer.echo(f"assumed: {means}; correlation {assumed.correlation:g}; {simulations:,} simulations a row, seed {seed}")
    if assumed.probes:
        asked = ", ".join(f"{number} of {name}" for name, number in assumed.probes.items())
        typer.echo(f"probes: {asked}; each failed with a chance of {assumed.unsafe:g} by a model that is as safe as what serves")
    if rows and policy.gate.asks_people is not None:
        typer.echo("people's answers are not in this table, but below")
    if policy.gate.slices and not assumed.slices:
        typer.echo(f"not simulated: slices by {', '.join(policy.gate.slices)}; say how large they are with --slice")
    typer.echo()
    cells = [(row.n, row.scenario.name, *(f"{100 * row.chance(each):.1f} ± {100 * row.standard_error(each):.1f}" for each in verdicts)) for row in rows]
    if rows:
        print_table(("n", "candidate", "pass %", "block %", "inconclusive %"), cells, "nothing was simulated")
    show_people_power(policy.gate, people)


def _limit(each: DimensionVerdict) -> str | None:
    if each.evaluator == PEOPLE:
        return None  # their floor is a win rate, and a difference from the baseline is none
    if each.superior:
        return "> 0"
    return None if each.max_regression is None else f"{-each.max_regression:g}"


def _bounded(value: float | None, low: float | None, high: float | None) -> str | None:
    return None if value is None else f"{value:.3f} [{low:.3f}, {high:.3f}]"


def _newest(candidate: str) -> GateDecision | None:
    from trueloop.topics import GATES

    found = [event for event in _read(GATES) if isinstance(event, GateDecision)]
    return next((event for event in reversed(found) if event.candidate == candidate), None)


def _read(topic: "Topic") -> list[Event]:
    from trueloop.adapters.kafka import read_events
    from trueloop.adapters.registry import connect
    from trueloop.config import load_settings

    settings = load_settings()
    return list(read_events(settings.kafka, connect(settings.registry), topic))


def _evaluation(path: Path) -> Evaluation:
    from pydantic import ValidationError

    try:
        return Evaluation.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, each['loc'])) or 'the file'}: {each['msg']}" for each in error.errors(include_input=False)[:5])
        raise ConfigurationError(f"{path} is no Evaluation event as JSON: {wrong}") from None


def _rubric(policy: Policy, source: str | None) -> Rubric:
    found = load_rubric(source or policy.rubric.id)
    if (found.id, found.version) != (policy.rubric.id, policy.rubric.version):
        raise ConfigurationError(
            f"policy {policy.id!r} names rubric {policy.rubric.id!r} version {policy.rubric.version}, given {found.id!r} version {found.version}; "
            "name its file with --rubric"
        )
    return found


def _sizes(policy: Policy, given: Sequence[int]) -> list[int]:
    """Return the numbers of items to simulate: where probes are all that is asked there is no item, and of people alone there is nothing here."""
    from trueloop.gates.operating import sampled

    if not sampled(policy):
        return [0] if any(gate.probes for gate in policy.gate.dimensions) else []
    if given:
        return sorted(set(given))
    least, most = policy.gate.min_items, max(policy.gate.min_items, policy.gate.max_items)
    return [least, *(size for size in (2 * least, most // 2) if least < size < most), most]


def _means(given: Sequence[str], known: dict[str, float]) -> dict[str, float]:
    found = dict(known)
    for text in given:
        name, _, value = text.partition("=")
        if name not in known:
            raise ConfigurationError(f"--baseline is {text!r}; expected DIMENSION=MEAN with one of {', '.join(known)}")
        found[name] = _share(value, f"--baseline {text!r}")
    return found


def _probes(given: Sequence[str], policy: Policy) -> dict[str, int]:
    """Return the number of probes by evaluator: as given, else as installed."""
    from trueloop.trainers.installed_probes import find_probes

    gated = {gate.evaluator.removeprefix(PROBE): gate.evaluator for gate in policy.gate.dimensions if gate.probes}
    said: dict[str, int] = {}
    for text in given:
        category, _, number = text.partition("=")
        if category not in gated or not number.isdecimal() or int(number) < 1:
            raise ConfigurationError(f"--probes is {text!r}; expected CATEGORY=NUMBER with one of {', '.join(gated) or 'none: the policy asks no probes'}")
        said[category] = int(number)
    found = {evaluator: said.get(category) or len(find_probes(category)) for category, evaluator in gated.items()}
    absent = [category for category, evaluator in gated.items() if not found[evaluator]]
    if absent:
        raise ConfigurationError(
            f"policy {policy.id!r} asks probes of {', '.join(absent)}, and none of these are installed here, so nothing would ever pass; "
            f"install them, or say how many the trainer worker has with --probes {absent[0]}=NUMBER"
        )
    return found


def _shares(given: Sequence[str], policy: Policy) -> dict[str, float]:
    found = {}
    for text in given:
        name, _, share = text.rpartition(":")
        if "=" not in name or name.partition("=")[0] not in policy.gate.slices:
            gated = ", ".join(policy.gate.slices) or "none"
            raise ConfigurationError(f"--slice is {text!r}; expected NAME=VALUE:SHARE, such as mood=rude:0.3, of a slice that the policy gates ({gated})")
        found[name] = _share(share, f"--slice {text!r}")
    if sum(found.values()) > 1:
        raise ConfigurationError(f"the shares of --slice sum to {sum(found.values()):g}; slices do not overlap here, so at most 1 is possible")
    return found


def _share(text: str, option: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 < value < 1.0:
        raise ConfigurationError(f"{option}: {text!r} is no number between 0 and 1")
    return value
