"""Models behind an endpoint that speaks OpenAI's chat completions (OpenAI, vLLM, llama.cpp, Ollama, gateways).

The endpoint is not trusted: its time, bytes and repetitions are bounded, it cannot send us elsewhere, and whatever it answers is at worst no
answer to one question. Neither texts nor the key are logged.
"""

import asyncio
import hashlib
import json
import logging
import os
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx2

from trueloop.config import JudgeSettings
from trueloop.errors import ConfigurationError
from trueloop.judges.outcome import NoJudgement, NoJudgementReason, counted
from trueloop.rubrics import canonical_json

Messages = Sequence[Mapping[str, str]]
_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
_TOO_MANY = 429
_REDIRECTS = range(300, 400)
_OK = 200
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 30.0
GIVEN_UP_AFTER = 16
"""Questions in a row without an answer after which an endpoint is taken to be away: the rest of the batch is not asked."""

_log = logging.getLogger(__name__)


class ChatEndpoint:
    """A chat model over HTTP. `complete` starts an event loop of its own, so it is not for use inside one."""

    def __init__(self, name: str, settings: JudgeSettings) -> None:
        """Take the settings of the judge `name`. Raises ConfigurationError when its key or certificate is not there."""
        if settings.url is None:
            raise ConfigurationError(f"judges.{name} has no url; expected the address of an endpoint, such as https://judge.example/v1")
        self._name = name
        self._settings = settings
        self._url = settings.url.rstrip("/") + "/chat/completions"
        self._headers = {"Accept": "application/json", "Accept-Encoding": "identity"} | _authorization(name, settings)
        self._tls = _tls(name, settings)

    @property
    def identity(self) -> str:
        """What answers: address, model and decoding."""
        return canonical_json({"url": self._url, "model": self._settings.model, "temperature": self._settings.temperature})

    def complete(self, conversations: Sequence[Messages], max_new_tokens: int) -> list[str | NoJudgement]:
        """Return the answer to each conversation, or why there is none."""
        answers = asyncio.run(self._all(conversations, max_new_tokens))
        missing = counted(answers)
        if missing:
            _log.warning("judge %r: no answer to %d of %d questions: %s", self._name, sum(missing.values()), len(answers), missing)
        return answers

    async def _all(self, conversations: Sequence[Messages], max_new_tokens: int) -> list[str | NoJudgement]:
        settings = self._settings
        limits = httpx2.Limits(max_connections=settings.concurrency)
        gate, line = asyncio.Semaphore(settings.concurrency), _Line()
        # trust_env: proxies and .netrc of the environment would see, or add, what the settings do not say.
        async with httpx2.AsyncClient(timeout=settings.timeout_s, limits=limits, follow_redirects=False, trust_env=False, verify=self._tls) as client:

            async def one(messages: Messages) -> str | NoJudgement:
                async with gate:
                    return await self._ask(client, messages, max_new_tokens, line)

            return list(await asyncio.gather(*(one(messages) for messages in conversations)))

    async def _ask(self, client: httpx2.AsyncClient, messages: Messages, max_new_tokens: int, line: "_Line") -> str | NoJudgement:
        if sum(len(message["content"]) for message in messages) > self._settings.max_question_chars:
            return NoJudgement(NoJudgementReason.TOO_LONG)
        body = self._body(messages, max_new_tokens)
        last = NoJudgementReason.UNAVAILABLE
        for attempt in range(self._settings.attempts):
            if line.is_dead:
                return NoJudgement(NoJudgementReason.UNAVAILABLE)
            found = await self._attempt(client, body)
            if not isinstance(found, _Again):
                line.answered()
                return found
            last = found.reason
            if attempt + 1 < self._settings.attempts:
                await asyncio.sleep(_wait_s(body, attempt, found.after_s))
        line.silent()
        return NoJudgement(last)

    def _body(self, messages: Messages, max_new_tokens: int) -> bytes:
        settings = self._settings
        content: dict[str, Any] = {"model": settings.model, "messages": [dict(message) for message in messages], "n": 1, "stream": False}
        content[settings.token_limit_key] = max_new_tokens
        if settings.temperature is not None:
            content["temperature"] = settings.temperature
        return json.dumps(content).encode()  # ASCII: half a surrogate pair in a text stays an escape, and is no error

    async def _attempt(self, client: httpx2.AsyncClient, body: bytes) -> "str | NoJudgement | _Again":
        try:
            # httpx's own limits are per read; a server that sends a byte now and then would hold us for ever.
            async with asyncio.timeout(self._settings.timeout_s):
                async with client.stream("POST", self._url, content=body, headers=self._headers | {"Content-Type": "application/json"}) as response:
                    return await self._read(response)
        except (TimeoutError, httpx2.TimeoutException):
            return _Again(NoJudgementReason.TIMEOUT)
        except httpx2.HTTPError:
            return _Again(NoJudgementReason.UNAVAILABLE)

    async def _read(self, response: httpx2.Response) -> "str | NoJudgement | _Again":
        status = response.status_code
        if status in _BUSY:
            reason = NoJudgementReason.RATE_LIMITED if status == _TOO_MANY else NoJudgementReason.UNAVAILABLE
            return _Again(reason, _retry_after_s(response.headers.get("Retry-After")))
        if status in _REDIRECTS:
            return NoJudgement(NoJudgementReason.REDIRECTED)
        if status != _OK:
            _log.warning("judge %r answers with status %d", self._name, status)
            return NoJudgement(NoJudgementReason.REFUSED)
        if response.headers.get("Content-Encoding", "identity") != "identity":
            return NoJudgement(NoJudgementReason.MALFORMED)  # it was asked for none, and unpacking is what bombs are made for
        content = bytearray()
        async for chunk in response.aiter_raw():
            content += chunk
            if len(content) > self._settings.max_answer_bytes:
                return NoJudgement(NoJudgementReason.TOO_LARGE)
        return read_completion(bytes(content))


@dataclass(frozen=True, slots=True)
class _Again:
    """An attempt that may be repeated: why, and after how many seconds the endpoint asks for it."""

    reason: NoJudgementReason
    after_s: float | None = None


class _Line:
    """Whether the endpoint is there at all, by how many questions in a row it left unanswered."""

    def __init__(self) -> None:
        self._silent = 0

    @property
    def is_dead(self) -> bool:
        return self._silent >= GIVEN_UP_AFTER

    def answered(self) -> None:
        self._silent = 0

    def silent(self) -> None:
        self._silent += 1


def read_completion(content: bytes) -> str | NoJudgement:
    """Return the text of a chat completion, or why there is none."""
    try:
        choice = json.loads(content)["choices"][0]
        message, finished = choice["message"], choice.get("finish_reason")
        text = message["content"]
        refusal = message.get("refusal")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        return NoJudgement(NoJudgementReason.MALFORMED)
    if finished == "content_filter" or refusal:
        return NoJudgement(NoJudgementReason.FILTERED)
    if finished == "length":
        return NoJudgement(NoJudgementReason.CUT)
    return text if isinstance(text, str) else NoJudgement(NoJudgementReason.MALFORMED)


def _wait_s(body: bytes, attempt: int, asked_for_s: float | None) -> float:
    """Seconds before the next attempt: twice as long each time, spread by a hash of the question so that not all come back at once."""
    spread = 0.5 + int.from_bytes(hashlib.blake2b(body, digest_size=2).digest(), "big") / 131072
    return min(_LONGEST_WAIT_S, max(_FIRST_WAIT_S * (1 << attempt) * spread, asked_for_s or 0.0))


def _retry_after_s(text: str | None) -> float | None:
    return float(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 6 else None


def _authorization(name: str, settings: JudgeSettings) -> dict[str, str]:
    if settings.api_key_env is None:
        return {}
    key = os.environ.get(settings.api_key_env, "").strip()
    if not key:
        raise ConfigurationError(
            f"environment variable {settings.api_key_env!r}, named by judges.{name}.api_key_env, is not set; expected the key of that judge"
        )
    if not key.isascii() or not key.isprintable():
        raise ConfigurationError(f"environment variable {settings.api_key_env!r}, named by judges.{name}.api_key_env, holds no key; expected printable ASCII")
    return {"Authorization": f"Bearer {key}"}


def _tls(name: str, settings: JudgeSettings) -> ssl.SSLContext | bool:
    if settings.ssl_ca_location is None:
        return True
    try:
        return ssl.create_default_context(cafile=str(settings.ssl_ca_location))
    except OSError as error:
        raise ConfigurationError(f"judges.{name}.ssl_ca_location {str(settings.ssl_ca_location)!r} cannot be used: {error.strerror or error}") from None
