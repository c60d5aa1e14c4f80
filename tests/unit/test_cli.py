"""The command line: lazy, legible, and honest in its exit codes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from trueloop import cli
from trueloop.commands.dead_letters import hexdump
from trueloop.commands.output import Progress, print_table, printable
from trueloop.errors import IntegrityError, UnavailableError

HEAVY = ("confluent_kafka", "faust", "numpy", "torch", "pydantic_settings", "rich", "fastavro", "trueloop.adapters.kafka")
DEAD = "127.0.0.1:1"


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("TRUELOOP_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_help_names_every_command_and_the_exit_codes_without_importing_them() -> None:
    code = f"import sys, trueloop.cli; trueloop.cli.run(['--help']); print('HEAVY', [name for name in {HEAVY!r} if name in sys.modules])"
    done = python("-c", code)
    assert done.stdout.endswith("HEAVY []\n")
    assert "130 interrupted" in done.stdout
    for name, entry in cli.COMMANDS.items():
        assert f"  {name} " in done.stdout
        assert entry.summary in done.stdout


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([name, "--help"]) == cli.OK
    assert "Usage: trueloop" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--version"]) == cli.OK
    assert capsys.readouterr().out == "trueloop 0.1.0\n"


def test_a_misspelt_command_is_suggested(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["polcy"]) == cli.USAGE
    assert "Did you mean 'policy'?" in capsys.readouterr().err


def test_a_configuration_error_is_one_line_without_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["rubric", "check", "nothing"]) == cli.USAGE
    error = capsys.readouterr().err
    assert error.startswith("trueloop: there is no file 'nothing'")
    assert error.count("\n") == 1


def test_an_absent_service_is_exit_code_3(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TRUELOOP_KAFKA__BOOTSTRAP_SERVERS", DEAD)
    monkeypatch.setattr("trueloop.adapters.kafka.TIMEOUT_S", 0.5)
    assert cli.run(["rubric", "ls"]) == cli.UNAVAILABLE
    error = capsys.readouterr().err
    assert DEAD in error
    assert "trueloop up" in error


@pytest.mark.parametrize(("error", "code"), [(IntegrityError("damaged"), cli.FAILED), (UnavailableError("away"), cli.UNAVAILABLE)])
def test_errors_have_their_codes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, code: int) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr("trueloop.commands.rubrics.load_rubric", fail)
    assert cli.run(["rubric", "check", "x"]) == code
    assert capsys.readouterr().err == f"trueloop: {error}\n"


def test_ctrl_c_is_130_without_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("trueloop.commands.rubrics.load_rubric", interrupt)
    assert cli.run(["rubric", "check", "x"]) == cli.INTERRUPTED
    assert "Traceback" not in capsys.readouterr().err


def test_an_unknown_setting_is_a_configuration_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TRUELOOP_KAFFKA", "x")
    assert cli.run(["rubric", "ls"]) == cli.USAGE
    assert "TRUELOOP_KAFFKA" in capsys.readouterr().err


def test_check_prints_json_for_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["policy", "check", "pandalm", "--json"]) == cli.OK
    found = json.loads(capsys.readouterr().out)
    assert (found["id"], found["version"], len(found["content_hash"])) == ("pandalm", 1, 64)
    assert found["warnings"] == ["dimension 'quality' is gated without a floor: only its regression is bounded"]


def test_workers_are_listed_and_checked(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["worker", "--list", "--json"]) == cli.OK
    assert {entry["name"] for entry in json.loads(capsys.readouterr().out)} == {
        "sampling", "appeals", "trials", "profiles", "collection", "agreement", "reviewers", "estimates", "drift", "distributions", "families", "quotas",
        "disagreements", "trigger", "gating", "sink", "trainer",
    }  # fmt: skip
    for arguments, said in ((["smapling"], "no worker 'smapling'"), (["sink", "trainer"], "each run alone"), ([], "no worker named")):
        assert cli.run(["worker", *arguments]) == cli.USAGE
        assert said in capsys.readouterr().err


LINE = {"application": "a", "model": "m", "consent": "TRAINING", "messages": [{"role": "USER", "content": "secret"}], "completion": "secret"}


def test_emit_checks_the_whole_file_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "traces.jsonl"
    wrong = [json.dumps(LINE | {"consent": "MAYBE"}), "{not json", "[]", json.dumps({k: v for k, v in LINE.items() if k != "model"} | {"modle": "m"})]
    file.write_text("\n".join([json.dumps(LINE), *wrong]))
    assert cli.run(["emit", "trace", str(file)]) == cli.USAGE
    error = capsys.readouterr().err
    for said in ("line 2: consent: ", "line 3: not JSON", "line 4: a JSON list", "line 5: model: is missing; modle: is no field", "nothing was sent"):
        assert said in error
    assert "secret" not in error


def test_emit_dry_run_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "traces.jsonl"
    file.write_text(json.dumps(LINE) + "\n\n" + json.dumps({k: v for k, v in LINE.items() if k != "application"}))
    assert cli.run(["emit", "trace", str(file), "--dry-run", "-a", "b"]) == cli.OK
    assert capsys.readouterr().out == "2 traces checked, nothing sent\n"
    assert cli.run(["emit", "trace", str(tmp_path / "absent"), "--dry-run"]) == cli.USAGE
    assert "cannot be read: No such file" in capsys.readouterr().err


def test_replay_names_file_line_and_field(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"chosen": "x"}\n')
    assert cli.run(["replay", "--format", "pandalm", str(file)]) == cli.USAGE
    assert f"{file} line 1 is no row of format 'pandalm': field 'cmp_key' is missing" in capsys.readouterr().err
    assert cli.run(["replay", "--format", "pandlm", str(file)]) == cli.USAGE
    assert "expected one of alpaca-eval, hh-rlhf, pandalm" in capsys.readouterr().err


def test_dlq_replay_wants_to_know_which(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["--all", "--offset", "1"], ["--partition", "1"]):
        assert cli.run(["dlq", "replay", "traces", *arguments]) == cli.USAGE
        assert "say which" in capsys.readouterr().err
    assert cli.run(["dlq", "ls", "trases"]) == cli.USAGE
    assert "no topic 'trases'" in capsys.readouterr().err


def test_nothing_that_is_printed_steers_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert printable("a\x1b[2J\u202eb\n") == "a\\x1b[2J\\u202eb\\n"
    print_table(("id",), [["\x1b]0;evil\x07"]], "none")
    assert "\x1b" not in capsys.readouterr().out
    assert hexdump(bytes(range(17))).splitlines()[1].startswith("  0010  10")


def test_progress_keeps_quiet_at_first(capsys: pytest.CaptureFixture[str]) -> None:
    shown = Progress()
    shown.show("half")
    shown.end()
    assert capsys.readouterr().err == ""
