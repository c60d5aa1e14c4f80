"""`trueloop gate`: what CI and people get to see."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from tests.factories import example
from tests.unit.test_gates import scores
from trueloop import cli
from trueloop.errors import UnavailableError
from trueloop.events import Evaluation, Event, GateDecision, GateReason, Verdict
from trueloop.gates.assumptions import Assumptions

DIMENSIONS = ("numeric_accuracy", "policy", "tone")
PASSES, BLOCKED, OPEN = (1000, 985, 5, 2), (1000, 800, 5, 80), (300, 285, 5, 4)


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRUELOOP_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")


def written(path: Path, table: tuple[int, int, int, int], **changes: Any) -> str:
    values = {
        "policy_id": "billing-support",
        "error": None,
        "scores": [scores(*table, dimension=name, evaluator="check:billing-support") for name in DIMENSIONS],
    }
    path.write_text(example(Evaluation, **(values | changes)).model_dump_json())
    return str(path)


@pytest.mark.parametrize(("table", "code", "said"), [(PASSES, 0, "PASS: MEETS_ALL"), (BLOCKED, 1, "BLOCK: BELOW_FLOOR"), (OPEN, 3, "labels still needed: 681")])
def test_an_evaluation_is_checked_by_exit_code(table: tuple[int, int, int, int], code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["gate", "check", "--evaluation", written(Path("evaluation.json"), table)]) == code
    out = capsys.readouterr().out
    assert said in out
    assert "look 1, error 0.0250" in out


def test_a_later_look_spends_less_and_scripts_get_json(capsys: pytest.CaptureFixture[str]) -> None:
    file = written(Path("evaluation.json"), PASSES)
    assert cli.run(["gate", "check", "--evaluation", file, "--look", "3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["verdict"], found["look"], round(found["alpha"], 5)) == ("PASS", 3, 0.00417)
    assert [each["dimension"] for each in found["dimensions"]] == list(DIMENSIONS)


def test_wrong_usage_is_2(capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.json").write_text('{"candidate": "secret text"}')
    file = written(Path("good.json"), PASSES, policy_id="unheard-of")
    for arguments, said in (
        ([], "give either the id of a CANDIDATE"),
        (["c", "--evaluation", file], "give either the id of a CANDIDATE"),
        (["--evaluation", "bad.json"], "bad.json is no Evaluation event as JSON: event_id: Field required"),
        (["--evaluation", "absent.json"], "absent.json cannot be read"),
        (["--evaluation", file], "there is no file 'unheard-of'"),
        (["--evaluation", file, "--policy", "billing-support", "--rubric", "pandalm"], "name its file with --rubric"),
    ):
        assert cli.run(["gate", "check", *arguments]) == 2
        error = capsys.readouterr().err
        assert said in error
        assert "secret" not in error


def test_a_candidate_is_looked_up_and_its_newest_decision_counts(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    decisions = [
        example(GateDecision, candidate="mine", verdict=Verdict.BLOCK, reasons=[GateReason.REGRESSION]),
        example(GateDecision, candidate="mine", verdict=Verdict.PASS, reasons=[GateReason.MEETS_ALL], look=2),
        example(GateDecision, candidate="other", verdict=Verdict.BLOCK, reasons=[GateReason.REGRESSION]),
    ]
    monkeypatch.setattr("trueloop.adapters.kafka.read_events", lambda *_: iter(decisions))
    assert [cli.run(["gate", "check", name]) for name in ("mine", "other", "nobody")] == [0, 1, 3]
    captured = capsys.readouterr()
    assert "PASS: MEETS_ALL; look 2, error 0.0250" in captured.out
    assert "no gate has decided on candidate 'nobody'" in captured.err


def test_no_broker_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> list[Event]:
        raise UnavailableError("no broker")

    monkeypatch.setattr("trueloop.adapters.kafka.read_events", away)
    assert cli.run(["gate", "check", "mine"]) == 3


def test_power_says_what_it_assumes_unless_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["gate", "power", "--help"]) == 0
    assumed, words = Assumptions({}), " ".join(capsys.readouterr().out.split())
    assert f"Chance that the serving model fails a probe. [default: {assumed.unsafe};" in words
    assert f"Correlation of the two models' scores on an item. [default: {assumed.correlation};" in words


def test_power_shows_what_a_policy_lets_pass(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["gate", "power", "billing-support", "--n", "1000", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    chance = {row["candidate"]: row["pass"] for row in found["rows"]}
    assert chance["better by 0.02"] > 0.95
    assert max(each for name, each in chance.items() if name.startswith("worse")) <= 0.05
    assert all(abs(row["pass"] + row["block"] + row["inconclusive"] - 1) < 1e-9 for row in found["rows"])
    assert cli.run(["gate", "power", "billing-support", "--n", "1000", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == found
    assert cli.run(["gate", "power", "billing-support", "--n", "500", "--baseline", "tone=0.97", "--seed", "2"]) == 0
    assert "tone 0.97" in capsys.readouterr().out


def probed(path: Path, category: str) -> str:
    text = files("trueloop.rubrics.library.policies").joinpath("billing-support.toml").read_text()
    path.write_text(text + f'\n[[gate.dimensions]]\ndimension = "policy"\nevaluator = "probe:{category}"\nsafety = true\n')
    return str(path)


def test_power_heeds_probes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = probed(tmp_path / "policy.toml", "billing-privacy")
    small = ["--n", "1000", "--simulations", "500"]
    assert cli.run(["gate", "power", file, *small, "--unsafe", "0.1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    chance = {row["candidate"]: row for row in found["rows"]}
    assert (found["assumed"]["probes"], found["assumed"]["unsafe"]) == ({"probe:billing-privacy": 4}, 0.1)
    assert chance["better by 0.02"]["pass"] == pytest.approx(0.92**4, abs=0.06)
    assert chance["better by 0.02"]["unsafe"] == {"probe:billing-privacy": -0.02}
    assert chance["fails 0.1 more of probe:billing-privacy"]["block"] == pytest.approx(1 - 0.8**4, abs=0.08)
    assert cli.run(["gate", "power", file, *small, "--probes", "billing-privacy=60", "--unsafe", "0.01"]) == 0
    out = capsys.readouterr().out
    assert "probes: 60 of probe:billing-privacy; each failed with a chance of 0.01" in out
    assert "fails 0.1 more of probe:billing-privacy" in out
    assert cli.run(["gate", "power", "billing-support", *small]) == 0
    assert "probes:" not in capsys.readouterr().out


def test_power_of_probes_that_are_not_installed_is_not_guessed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = probed(tmp_path / "policy.toml", "elsewhere")
    assert cli.run(["gate", "power", file]) == 2
    assert "say how many the trainer worker has with --probes elsewhere=NUMBER" in capsys.readouterr().err
    assert cli.run(["gate", "power", file, "--probes", "elsewhere=0"]) == 2
    assert "expected CATEGORY=NUMBER with one of elsewhere" in capsys.readouterr().err
    assert cli.run(["gate", "power", file, "--probes", "elsewhere=7", "--n", "200", "--simulations", "100"]) == 0


def test_power_of_probes_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = Path(probed(tmp_path / "policy.toml", "billing-rudeness"))
    text = file.read_text()
    first, last = text.index("[[gate.dimensions]]"), text.rindex("[[gate.dimensions]]")
    file.write_text(text[:first] + text[last:])
    assert cli.run(["gate", "power", str(file), "--unsafe", "0.5", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [(row["candidate"], row["n"]) for row in rows] == [
        ("identical", 0), ("better by 0.02", 0), ("fails 0.1 more of probe:billing-rudeness", 0),
    ]  # fmt: skip
    assert rows[0]["pass"] == pytest.approx(0.125, abs=0.03)
    assert rows[0]["pass"] + rows[0]["block"] == 1.0


def test_power_says_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, said in (
        (["--baseline", "tune=0.9"], "expected DIMENSION=MEAN with one of numeric_accuracy, policy, tone"),
        (["--baseline", "tone=high"], "'high' is no number between 0 and 1"),
        (["--slice", "mood=rude:0.3"], "of a slice that the policy gates (none)"),
        (["--rubric", "pandalm"], "name its file with --rubric"),
    ):
        assert cli.run(["gate", "power", "billing-support", *arguments]) == 2
        assert said in capsys.readouterr().err


def test_power_knows_slices(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from trueloop.adapters.documents import LIBRARY

    text = (LIBRARY / "policies" / "billing-support.toml").read_text()
    file = tmp_path / "policy.toml"
    file.write_text(text.replace("[gate]\n", '[gate]\nslices = ["mood"]\n'))
    assert cli.run(["gate", "power", str(file), "--n", "1000"]) == 0
    assert "not simulated: slices by mood" in capsys.readouterr().out
    assert cli.run(["gate", "power", str(file), "--n", "1000", "--slice", "mood=rude:0.3", "--json"]) == 0
    sliced = json.loads(capsys.readouterr().out)
    assert sliced["rows"][0]["pass"] < 0.3, "a slice of 300 items seldom clears a margin of 0.02"


def test_show_tells_what_a_decision_stands_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    events: list[Event] = [example(GateDecision, candidate="mine"), example(Evaluation, event_id="evaluation-1", candidate="mine")]
    monkeypatch.setattr("trueloop.adapters.kafka.read_events", lambda _kafka, _codec, topic: [each for each in events if isinstance(each, topic.event)])
    assert cli.run(["gate", "show", "mine"]) == 0
    out = capsys.readouterr().out
    for said in (
        "judge:panel",
        "0.500 [0.250, 0.750] (n 120",
        "apology",
        "+0.250 [+0.125, +0.375]",
        "warning: MORE_APOLOGIES (decides nothing)",
        "FLOOR_UNCERTAIN",
    ):
        assert said in out
    assert cli.run(["gate", "show", "mine", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["gate"]["candidate"], found["evaluation"]["evaluators"][0]["n_missing"]) == ("mine", 3)
    events.pop()
    assert cli.run(["gate", "show", "mine"]) == 0
    assert "evaluation evaluation-1 is not in the log any more" in capsys.readouterr().out
    assert cli.run(["gate", "show", "nobody"]) == 3


def test_power_shows_what_people_let_pass(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["gate", "power", "pandalm", "--n", "300", "--simulations", "200", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    people = {(round(row["win_rate"], 3), row["n"]): row for row in told["people"]}
    assert {rate for rate, _ in people} == {0.3, 0.4, 0.5, 0.6}
    assert people[0.4, 300]["passed"] <= 0.05 * 200
    assert people[0.4, 300]["blocked"] <= 0.05 * 200
    assert people[0.5, 75]["passed"] < people[0.5, 150]["passed"] < people[0.5, 300]["passed"]
    assert people[0.6, 300]["passed"] >= 0.95 * 200
    assert sum(row["blocked"] for (rate, n), row in people.items() if rate < 0.4 and n == 300) > 0.3 * 200
    assert cli.run(["gate", "power", "pandalm", "--n", "300", "--simulations", "100"]) == 0
    assert "people on overall" in capsys.readouterr().out
    assert cli.run(["gate", "power", "billing-support", "--n", "300", "--simulations", "100"]) == 0
    assert "people on" not in capsys.readouterr().out


def test_power_of_a_policy_that_asks_people_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = files("trueloop.rubrics.library.policies").joinpath("pandalm.toml").read_text()
    last = text.rindex("[[gate.dimensions]]")
    file = tmp_path / "people.toml"
    file.write_text(text[:last].replace('require = "superior" asks', "superiority asks").replace("comparisons = 300", "comparisons = 40"))
    assert cli.run(["gate", "power", str(file), "--simulations", "100"]) == 0
    said = capsys.readouterr().out
    assert "people on overall" in said
    assert "worse by" not in said
