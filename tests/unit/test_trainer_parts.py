"""Parts of the trainer worker that need no broker and no torch: job files, plug-ins, what errors may say, held-out accuracy."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict
from trueloop.trainers import evaluators
from trueloop.trainers.faults import describe
from trueloop.trainers.job_files import JobFiles
from trueloop.trainers.methods import find_method, read_config
from trueloop.trainers.preference_accuracy import accuracy

from tests.factories import example
from trueloop.errors import ConfigurationError, IntegrityError
from trueloop.events import DimensionOutcome, PreferencePair

SECRET = "words of a customer"


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid")

    model_dir: Path
    dataset_file: Path
    output_dir: Path
    beta: float = 0.1


class Trainer:
    Config = Config


def read(text: str) -> Any:
    return read_config(Trainer, text, {"model_dir": Path("m"), "dataset_file": Path("d"), "output_dir": Path("o")})


def test_a_config_is_completed_with_the_places() -> None:
    assert read('{"beta": 0.5}') == Config(model_dir=Path("m"), dataset_file=Path("d"), output_dir=Path("o"), beta=0.5)


@pytest.mark.parametrize("key", ["model_dir", "models_dir", "dataset_file", "output_dir", "state_dir", "judges", "rubric"])
def test_an_event_cannot_choose_the_places(key: str) -> None:
    with pytest.raises(ConfigurationError, match=key):
        read(json.dumps({key: "/etc"}))


@pytest.mark.parametrize("text", ["", "[]", "3", "{"])
def test_a_config_that_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="JSON object"):
        read(text)


def test_an_unknown_method_names_the_known() -> None:
    with pytest.raises(ConfigurationError, match=r"'no-such-method'.*dpo, grpo"):
        find_method("no-such-method")


def fault_of(action: Any) -> Any:
    try:
        action()
    except Exception as error:
        return describe(error)
    raise AssertionError("no error was raised")


def test_our_own_words_are_told_and_those_of_libraries_are_not() -> None:
    def ours() -> None:
        raise IntegrityError("file 'x' has changed")

    assert fault_of(ours).message == "file 'x' has changed"
    assert fault_of(lambda: read('{"bet": 1}')).message.startswith("Config is wrong: bet: Extra inputs are not permitted")
    for hostile in (lambda: int(SECRET), lambda: json.loads(SECRET), lambda: {}[SECRET], lambda: float(f"{SECRET}\n")):
        fault = fault_of(hostile)
        assert SECRET not in fault.message
        assert fault.error_class in fault.message
    assert "beta" in fault_of(lambda: read(json.dumps({"beta": SECRET}))).message
    assert SECRET not in fault_of(lambda: read(json.dumps({"beta": SECRET}))).message


def test_beginnings_are_counted_until_the_job_ends_or_is_called_off(tmp_path: Path) -> None:
    attempt = JobFiles(tmp_path).attempt("../job", 1)
    attempt.begin()
    attempt.begin()
    assert attempt.beginnings() == 2
    attempt.call_off()
    assert JobFiles(tmp_path).attempt("../job", 1).beginnings() == 1
    assert JobFiles(tmp_path).attempt("../job", 2).beginnings() == 0
    attempt.end()
    assert attempt.beginnings() == 0
    assert {path.name for path in tmp_path.iterdir()} == {"jobs"}


def test_a_kept_event_comes_back_word_for_word(tmp_path: Path) -> None:
    files = JobFiles(tmp_path)
    attempt = files.attempt("job", 1)
    assert attempt.record("result") is None
    assert attempt.settle("result", '{"a": 1}') == '{"a": 1}'
    assert attempt.settle("result", '{"a": 2}') == '{"a": 1}', "who comes second gets the words of the first"
    assert attempt.record("result") == '{"a": 1}'
    assert attempt.record("evaluation") is None
    assert files.attempt("job", 2).record("result") is None
    assert files.attempt("another", 1).record("result") is None


def test_a_working_directory_is_empty_and_goes_away_whatever_happens(tmp_path: Path) -> None:
    files = JobFiles(tmp_path)

    def fail() -> None:
        with files.working_directory("job") as directory:
            (directory / "dataset.jsonl").write_text(SECRET)
            files.sweep()
            assert (directory / "dataset.jsonl").exists(), "a sweep must not touch a job that runs"
            raise ValueError(str(directory))

    with pytest.raises(ValueError) as stopped:
        fail()
    first = Path(str(stopped.value))
    assert not first.exists()
    first.mkdir()
    (first / "left over").write_text(SECRET)
    files.sweep()
    assert not first.exists()


def test_an_installed_check_is_found_by_name_alone() -> None:
    assert evaluators.find_check("billing-support") is not None
    assert evaluators.find_check("os:system") is None
    assert evaluators.find_check("trueloop.demo.billing_checks:check") is None


def test_scores_off_the_scale_and_failing_checks_are_no_evidence() -> None:
    def check(_messages: Any, completion: str) -> dict[str, Any]:
        return {"good": {"tone": 1.0, "policy": 0.5}, "nan": {"tone": float("nan"), "policy": 1}, "big": {"tone": 2.0}, "text": {"tone": "1"}}[completion]

    completions = {"a": "good", "b": "nan", "c": "big", "d": "text", "e": "raises KeyError"}

    assert evaluators.score_completions("x", check, dict.fromkeys(completions, ()), completions) == {"tone": {"a": 1.0}, "policy": {"a": 0.5, "b": 1.0}}


def pair(pair_id: str, *outcomes: tuple[str, int]) -> PreferencePair:
    return example(PreferencePair, pair_id=pair_id, outcomes=[DimensionOutcome(dimension=name, outcome=outcome) for name, outcome in outcomes])


def test_accuracy_follows_the_outcome_on_the_dimension() -> None:
    pairs = [pair("agrees", ("tone", 1)), pair("reversed", ("tone", -1)), pair("tie", ("tone", 0)), pair("silent"), pair("undecided"), pair("too long")]
    odds = {"agrees": 0.5, "reversed": 0.5, "tie": 0.5, "silent": -0.5, "undecided": 0.0}

    assert accuracy("tone", pairs, odds) == {"agrees": 1.0, "reversed": 0.0, "silent": 0.0, "undecided": 0.5}
