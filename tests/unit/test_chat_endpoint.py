"""An endpoint that is slow, busy, garrulous, mad or hostile costs its questions their answers, and nothing else."""

import gzip
import json
import logging
import time
from pathlib import Path
from typing import Any

import pytest

from tests.chat_server import ChatServer, Reply, chat_server
from trueloop import cli
from trueloop.adapters import chat_endpoint
from trueloop.adapters.chat_endpoint import ChatEndpoint
from trueloop.config import JudgeSettings, Settings
from trueloop.errors import ConfigurationError
from trueloop.judges import NoJudgement, NoJudgementReason

QUESTION = [{"role": "user", "content": "Is it good? SECRET-TEXT"}]
KEY = "sk-very-secret"


@pytest.fixture(autouse=True)
def no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_endpoint, "_FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(chat_endpoint, "_LONGEST_WAIT_S", 0.05)


def ask(server: ChatServer, n: int = 1, **changes: Any) -> list[str | NoJudgement]:
    settings = JudgeSettings(**({"model": "m", "url": server.url, "timeout_s": 5.0} | changes))
    return ChatEndpoint("house", settings).complete([QUESTION] * n, 7)


def none(reason: str) -> list[NoJudgement]:
    return [NoJudgement(NoJudgementReason(reason))]


def test_an_answer_comes_back_in_its_place() -> None:
    with chat_server(lambda request: request["messages"][0]["content"].upper()) as server:
        settings = JudgeSettings(model="m", url=server.url + "/", concurrency=3)
        answers = ChatEndpoint("house", settings).complete([[{"role": "user", "content": f"q{number} \ud800"}] for number in range(12)], 7)
    assert answers == [f"Q{number} \ud800" for number in range(12)]
    assert server.most_at_once <= 3
    assert set(server.paths) == {"/v1/chat/completions"}
    assert {key: value for key, value in server.requests[0].items() if key != "messages"} == {
        "model": "m", "n": 1, "stream": False, "max_tokens": 7, "temperature": 0.0,
    }  # fmt: skip


def test_what_newer_models_refuse_can_be_left_out() -> None:
    with chat_server(lambda _: "ok") as server:
        assert ask(server, temperature=None, token_limit_key="max_completion_tokens") == ["ok"]
    assert server.requests[0].keys() == {"model", "messages", "n", "stream", "max_completion_tokens"}


BAD = {
    "no JSON": (Reply(body=b"<html>"), "MALFORMED"),
    "another JSON": (Reply(body=b'{"choices": []}'), "MALFORMED"),
    "not even an object": (Reply(body=b"[1, 2]"), "MALFORMED"),
    "no text": (Reply(text=None), "MALFORMED"),
    "a nest": (Reply(body=b"[" * 100_000), "MALFORMED"),
    "packed": (Reply(body=gzip.compress(b"0" * 10_000_000), headers={"Content-Encoding": "gzip"}), "MALFORMED"),
    "not UTF-8": (Reply(body=b'{"choices": [{"message": {"content": "\xff\xfe"}}]}'), "MALFORMED"),
    "too large": (Reply(body=b" " * 3_000_000), "TOO_LARGE"),
    "cut": (Reply("score: 1", finish="length"), "CUT"),
    "withheld": (Reply("", finish="content_filter"), "FILTERED"),
    "wrong key": (Reply(status=401), "REFUSED"),
    "unknown model": (Reply(status=404), "REFUSED"),
}


@pytest.mark.parametrize("case", sorted(BAD))
def test_an_answer_that_is_none_is_asked_for_once(case: str) -> None:
    reply, reason = BAD[case]
    with chat_server(lambda _: reply) as server:
        assert ask(server) == none(reason)
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    with chat_server(lambda _: "stolen") as other, chat_server(lambda _: Reply(status=status, headers={"Location": other.url})) as server:
        assert ask(server) == none("REDIRECTED")
    assert not other.requests


@pytest.mark.parametrize(("status", "reason"), [(429, "RATE_LIMITED"), (500, "UNAVAILABLE"), (503, "UNAVAILABLE")])
def test_a_busy_endpoint_is_asked_again_and_not_for_ever(status: int, reason: str) -> None:
    replies = [Reply(status=status, headers={"Retry-After": "0"}), Reply(status=status, headers={"Retry-After": "soon"}), Reply("at last")]
    with chat_server(lambda _: replies.pop(0)) as server:
        assert ask(server) == ["at last"]
    with chat_server(lambda _: Reply(status=status, headers={"Retry-After": "99999"})) as server:
        assert ask(server, attempts=4) == none(reason)
    assert len(server.requests) == 4


@pytest.mark.parametrize("reply", [Reply(wait_s=30), Reply(text="x" * 500, drip_s=0.02)], ids=["silent", "dripping"])
def test_a_slow_endpoint_is_left(reply: Reply) -> None:
    with chat_server(lambda _: reply) as server:
        started = time.monotonic()
        assert ask(server, timeout_s=1.0, attempts=2) == none("TIMEOUT")
        assert time.monotonic() - started < 5
    assert len(server.requests) == 2


def test_an_endpoint_that_hangs_up_or_is_not_there_is_away() -> None:
    with chat_server(lambda _: Reply(hang_up=True)) as server:
        assert ask(server, attempts=2) == none("UNAVAILABLE")
    assert ask(server, attempts=2) == none("UNAVAILABLE")


def test_an_endpoint_that_is_away_is_not_asked_every_question() -> None:
    with chat_server(lambda _: Reply(status=503)) as server:
        assert ask(server, 500, attempts=1, concurrency=4) == none("UNAVAILABLE") * 500
    assert len(server.requests) < chat_endpoint.GIVEN_UP_AFTER + 4


def test_a_question_that_is_too_long_is_not_asked() -> None:
    with chat_server(lambda _: "ok") as server:
        assert ask(server, max_question_chars=5) == none("TOO_LONG")
    assert not server.requests


def test_the_key_goes_to_the_endpoint_and_nowhere_else(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("HOUSE_KEY", KEY)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with chat_server(lambda _: Reply(status=401, body=QUESTION[0]["content"].encode())) as server:
        settings = JudgeSettings(model="m", url=server.url, api_key_env="HOUSE_KEY")
        endpoint = ChatEndpoint("house", settings)
        assert endpoint.complete([QUESTION], 7) == none("REFUSED")
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    assert "answers with status 401" in caplog.text
    for said in (caplog.text, repr(settings), endpoint.identity, repr(Settings(judges={"house": settings}))):
        assert KEY not in said
        assert "SECRET-TEXT" not in said


@pytest.mark.parametrize("key", [None, " ", "né\n"])
def test_a_key_that_is_not_there_is_named(key: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOUSE_KEY", raising=False)
    if key is not None:
        monkeypatch.setenv("HOUSE_KEY", key)
    with pytest.raises(ConfigurationError, match=r"HOUSE_KEY.*judges\.house\.api_key_env"):
        ChatEndpoint("house", JudgeSettings(model="m", url="http://x", api_key_env="HOUSE_KEY"))
    with pytest.raises(ConfigurationError, match="ssl_ca_location"):
        ChatEndpoint("house", JudgeSettings(model="m", url="https://x", ssl_ca_location=Path("absent.pem")))


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": "gpt"}, {"model": "m", "url": "ftp://x"}, {"model": "m", "url": "http://me:pw@x"}, {"model": "m", "url": "http:///v1"},
        {"model": "m", "url": "http://x?key=1"}, {"model": "models://" + "0" * 32, "api_key_env": "K"}, {"model": "m", "url": "http://x", "key": "sk"},
    ],
)  # fmt: skip
def test_settings_that_make_no_judge_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"url|model|key"):
        JudgeSettings(**wrong)  # type: ignore[arg-type]


@pytest.fixture
def settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)

    def write(**judges: dict[str, Any]) -> None:
        lines = [f"[judges.{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in found.items()) for name, found in judges.items()]
        (tmp_path / "trueloop.toml").write_text("\n".join(lines), encoding="utf-8")

    return write


def test_the_command_line_tries_a_judge_and_lists_what_there_is(settings_file: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with chat_server(lambda request: "score: 1" if "courteous" in request["messages"][1]["content"] else "who knows") as server:
        settings_file(house={"model": "m", "url": server.url}, mute={"model": "m", "url": server.url, "api_key_env": "NOT_SET_ANYWHERE"})
        assert cli.run(["judge", "try", "house", "--json"]) == 0
    answers = json.loads(capsys.readouterr().out)["answers"]
    assert {row["score"] for row in answers if row["dimension"] == "tone"} == {1.0}
    assert {row["no_judgement"] for row in answers if row["dimension"] != "tone"} == {"UNREADABLE"}
    assert cli.run(["judge", "ls", "--json"]) == 0
    listed = {judge["name"]: judge["fault"] for judge in json.loads(capsys.readouterr().out)}
    assert listed["house"] is None
    assert "NOT_SET_ANYWHERE" in listed["mute"]
    assert cli.run(["judge", "ls"]) == 0
    assert cli.run(["judge", "try", "nobody"]) == 2
    assert "judges: house, mute" in capsys.readouterr().err


def test_a_judge_that_says_nothing_is_a_failure(settings_file: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with chat_server(lambda _: "I cannot say.") as server:
        settings_file(house={"model": "m", "url": server.url})
        assert cli.run(["judge", "try", "house"]) == 1
    assert "gave no score" in capsys.readouterr().err
