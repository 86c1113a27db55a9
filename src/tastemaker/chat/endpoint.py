"""Any OpenAI-compatible endpoint by the official client: text, image, audio, JSON schema, one deadline."""

from __future__ import annotations

import base64
import json
import os
import re
import time
import weakref
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from tastemaker.chat.cache import call_key
from tastemaker.chat.protocol import CallError, Media, Message, Reply, Request, Usage
from tastemaker.errors import InputError

SECRET = 8  # letters from which a key is one
_AUDIO = {"audio/wav": "wav", "audio/mpeg": "mp3"}
_SHOWN, _START = 200, 60
_CUT_OFF = ("length", "max_tokens", "model_length")  # how endpoints call the end at the most tokens
_DENIED = {
    402: "the account behind the API key has no money left",
    401: "check the API key, in the environment variable {variable}",
    403: "check what the API key in {variable} may do",
    404: "check the address, up to and with /v1, and the model's name",
}


@dataclass(frozen=True)
class EndpointSettings:
    """Where and how to ask.

    base_url: up to and with `/v1`; revision: what fixes the model's weights, part of every cache key.
    key_variable: name of the environment variable that holds the API key; the key itself is in no setting,
    file or message. deadline: seconds for the first byte, and for the whole answer once it drips.
    """

    base_url: str
    model: str
    revision: str = "unversioned"
    key_variable: str | None = None
    deadline: float = 120.0

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError(
                f"endpoint {self.base_url!r}: give an http(s) address, such as http://localhost:8000/v1"
            )
        if parts.username or parts.password:
            raise InputError(
                "the endpoint's address holds a password; put the key into an environment variable instead"
            )
        if not self.model or self.deadline <= 0:
            raise InputError(
                f"endpoint: needs a model's name and a deadline above 0 (got {self.model!r}, {self.deadline})"
            )


class Endpoint:
    """A `Chat` over chat completions. Thread-safe; retries nothing, for pace and journal are the engine's.

    Raises InputError when the environment variable of the key is not set.
    """

    def __init__(self, settings: EndpointSettings) -> None:
        from openai import OpenAI

        self.settings = settings
        self._refused: set[str] = set()  # what this endpoint was found to refuse
        self._key = os.environ.get(settings.key_variable, "") if settings.key_variable else ""
        if settings.key_variable and not self._key:
            raise InputError(
                f"the environment variable {settings.key_variable} is not set; put the endpoint's API key"
                " there"
            )
        self._client = OpenAI(
            base_url=settings.base_url,
            api_key=self._key or "none",
            timeout=settings.deadline,
            max_retries=0,
        )
        weakref.finalize(self, self._client.close)  # whoever opened it may forget to

    @property
    def model(self) -> str:
        return f"{self.settings.model}@{self.settings.revision}"

    def __enter__(self) -> Endpoint:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def complete(self, request: Request[Any]) -> Reply:
        """One answer of the endpoint.

        Raises CallError: rate_limited, unavailable, timeout, dropped, unreachable, denied or refused; `paid`
        where the endpoint may have worked.
        """
        while True:
            refused = self._refused.copy()
            try:
                return self._complete(request)
            except CallError as error:
                if error.kind != "refused":
                    raise
                # What was refused costs nothing: asked again without it, and never sent again.
                new = {part for part in _parts_named(error.detail, request) if part not in refused}
                if not new:
                    raise
                self._refused |= new

    def _complete(self, request: Request[Any]) -> Reply:
        from openai import APIStatusError

        end = time.monotonic() + self.settings.deadline
        # Where it is honoured, a call repeated after a kill is not billed again.
        once = {"Idempotency-Key": call_key(self.model, request)}
        ask = self._client.chat.completions.with_streaming_response.create
        content = bytearray()
        try:
            # Read piece by piece, so that the deadline holds for an answer that drips, too.
            with ask(**self.body(request), extra_headers=once) as response:
                for piece in response.iter_bytes():
                    content += piece
                    if time.monotonic() > end:
                        raise CallError(
                            "timeout", f"the answer took more than {self.settings.deadline:g} s", paid=True
                        )
        except APIStatusError as error:
            raise self._refusal(error) from None
        except CallError:
            raise
        except Exception as error:
            raise self._broken(error) from None
        return self._reply(self._without_key(content.decode("utf-8", "replace")))

    def body(self, request: Request[Any]) -> dict[str, Any]:
        """The fields of a request: what the endpoint reads."""
        sampling = request.sampling
        body: dict[str, Any] = {
            "model": self.settings.model,
            "messages": [_message(message, self._refused) for message in request.messages],
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
            "seed": request.sample,
        }
        if "max_tokens" in self._refused:
            body["max_completion_tokens"] = body["max_tokens"]
        body = {name: value for name, value in body.items() if name not in self._refused}
        if request.tools:
            body["tools"] = list(request.tools)
        elif request.schema is not None and "response_format" not in self._refused:
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": request.answer.__name__, "schema": request.schema},
            }
        return body

    @property
    def _host(self) -> str:
        return urlsplit(self.settings.base_url).netloc

    def _refusal(self, error: Any) -> CallError:
        code = error.status_code
        answer = f"HTTP {code} {self._without_key(error.response.text)[:_SHOWN].strip()}".strip()
        wait = retry_after(error.response.headers.get("retry-after", ""), time.time())
        return self._failure(code, answer, wait)

    def _failure(self, code: int, answer: str, wait: float = 0.0) -> CallError:
        """What a status means."""
        if code in _DENIED:
            remedy = _DENIED[code].format(variable=self.settings.key_variable or "TASTEMAKER_API_KEY")
            return CallError("denied", f"{self._host} answers {answer}: {remedy}")
        if code == 429:
            return CallError("rate_limited", answer, wait=wait)
        if code >= 500 or code == 408:
            return CallError("unavailable", answer, wait=wait)
        return CallError("refused", answer)

    def _reply(self, text: str) -> Reply:
        """The reply in a chat completion; a body that is none of it counts as a dropped connection, an error
        that came with status 200 as that error.
        """
        try:
            body = json.loads(text)
            choice = (body.get("choices") or [{}])[0]
            error = body.get("error") or choice.get("error")
            if error:
                code, detail = error.get("code"), str(error.get("message", error))[:_SHOWN]
                code = code if isinstance(code, int) else 500
                raise self._failure(code, f"an error with status 200: {detail}")
            message, finish = choice["message"], str(choice.get("finish_reason")).lower()
            content = _content(message)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            start = f"the body is no whole chat completion: {text[:_START]!r}"
            raise CallError("dropped", start, paid=True) from None
        return Reply(content, _usage(body.get("usage")), finish in _CUT_OFF)

    def _broken(self, error: Exception) -> CallError:
        """What became of a call without an answer; told by the names of the client's errors, whichever HTTP
        library it stands on. Anything else is a fault of ours and raised again.
        """
        cause = error.__cause__ or error
        names = {cls.__name__ for raised in (error, cause) for cls in type(raised).__mro__}
        detail = self._without_key(str(cause))[:_SHOWN] or type(cause).__name__
        if names & {"ConnectError", "ConnectTimeout", "UnsupportedProtocol"}:
            return CallError("unreachable", f"{self._host}: {detail}")
        if names & {"APITimeoutError", "TimeoutException"}:
            return CallError("timeout", f"no answer within {self.settings.deadline:g} s", paid=True)
        if names & {"APIConnectionError", "HTTPError", "StreamError"}:
            return CallError("dropped", detail, paid=True)
        raise error

    def _without_key(self, text: str) -> str:
        """What the endpoint said without the key; a few letters ("x", "none") are no secret, and stand."""
        return text.replace(self._key, "[key]") if len(self._key) >= SECRET else text


def retry_after(value: str, now: float) -> float:
    """Seconds of a Retry-After header, a number or an HTTP date (RFC 9110, 10.2.3); 0 for none."""
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return 0.0
    return max(0.0, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now)


_FIELD_PATTERNS = {
    "max_tokens": re.compile(r"max_tokens"),
    "temperature": re.compile(r"temperature"),
    "top_p": re.compile(r"top_p"),
    "seed": re.compile(r"\bseed\b"),
    "response_format": re.compile(r"response_format|json_schema", re.IGNORECASE),
    "audio": re.compile(r"audio|content type|content part|modalit|multimodal|multi-modal", re.IGNORECASE),
    "image": re.compile(
        r"image|vision|content type|content part|modalit|multimodal|multi-modal", re.IGNORECASE
    ),
}
"""What an endpoint may refuse to take, and how its refusal names it."""


def _parts_named(detail: str, request: Request[Any]) -> set[str]:
    """What of a request a refusal names: a field, or a kind of media that was sent."""
    media = {part.medium for message in request.messages for part in message.parts if isinstance(part, Media)}
    return {
        name
        for name, pattern in _FIELD_PATTERNS.items()
        if pattern.search(detail) and (name not in ("audio", "image") or name in media)
    }


def _message(message: Message, refused: Collection[str] = ()) -> dict[str, Any]:
    """A message on the wire, without media of a kind that is refused."""
    if all(isinstance(part, str) or part.medium in refused for part in message.parts):
        return {"role": message.role, "content": message.text}
    parts = [
        {"type": "text", "text": part} if isinstance(part, str) else _media(part)
        for part in message.parts
        if isinstance(part, str) or part.medium not in refused
    ]
    return {"role": message.role, "content": parts}


def _media(media: Media) -> dict[str, Any]:
    data = base64.b64encode(media.data).decode()
    if media.medium == "image":
        return {"type": "image_url", "image_url": {"url": f"data:{media.media_type};base64,{data}"}}
    return {"type": "input_audio", "input_audio": {"data": data, "format": _AUDIO[media.media_type]}}


def _content(message: dict[str, Any]) -> str:
    """What a message says: its text (or that of its parts) without the thoughts before it, its calls of tools
    as JSON, or why it says nothing. Half a surrogate pair, which no file can hold, becomes a question mark.
    """
    content = message.get("content") or message.get("refusal") or ""
    if isinstance(content, list):
        content = "".join(part.get("text") or "" for part in content if part.get("type") != "thinking")
    if calls := message.get("tool_calls"):
        functions = [call["function"] for call in calls]
        try:
            content = json.dumps({"calls": [_called(function) for function in functions]})
        except (ValueError, RecursionError):  # the model is told that it is no JSON
            content = "\n".join(function["arguments"] for function in functions)
    content = str(content).rpartition("</think>")[2]
    return content.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _called(function: Any) -> dict[str, Any]:
    arguments = function.get("arguments") or "{}"
    return {
        "name": function["name"],
        "arguments": json.loads(arguments) if isinstance(arguments, str) else arguments,
    }


def _usage(counts: Any) -> Usage | None:
    """Tokens as the endpoint counts them; None where it does not: no prompt has none."""
    try:
        usage = Usage(int(counts["prompt_tokens"]), int(counts["completion_tokens"]))
    except (LookupError, TypeError, ValueError, OverflowError):
        return None
    return usage if usage.input > 0 and usage.output >= 0 else None
