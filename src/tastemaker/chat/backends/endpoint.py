"""Any OpenAI-compatible endpoint: text, image and audio parts, native JSON schema, one deadline for the whole
answer.
"""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx

from tastemaker.chat.cache import call_key
from tastemaker.chat.protocol import CallError, Media, Message, Reply, Request, Usage
from tastemaker.errors import InputError

_AUDIO = {"audio/wav": "wav", "audio/mpeg": "mp3"}
_SAID = 200


@dataclass(frozen=True)
class EndpointSettings:
    """Where and how to ask.

    base_url: up to and with `/v1`; revision: what fixes the model's weights, part of every cache key.
    key_variable: name of the environment variable that holds the API key; the key itself is in no setting,
    file or message.
    deadline: seconds for the first byte, and for the whole answer once it drips.
    schema: send the JSON schema for native decoding (some servers refuse it).
    """

    base_url: str
    model: str
    revision: str = "unversioned"
    key_variable: str | None = None
    deadline: float = 120.0
    schema: bool = True

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
    """A `Chat` over `POST {base_url}/chat/completions`, without streaming. Thread-safe; use it in a `with`
    block, or `close` it.

    wall: Unix time, for Retry-After given as a date. clock: seconds, for the deadline.

    Raises
    ------
    InputError
        when the environment variable of the key is not set.
    """

    def __init__(
        self,
        settings: EndpointSettings,
        *,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        at_once: int = 64,
    ) -> None:
        self.settings, self._wall, self._clock = settings, wall, clock
        self._key = os.environ.get(settings.key_variable, "") if settings.key_variable else ""
        if settings.key_variable and not self._key:
            raise InputError(
                f"the environment variable {settings.key_variable} is not set; put the endpoint's API key"
                " there"
            )
        self._client = httpx.Client(
            headers={"Authorization": f"Bearer {self._key}"} if self._key else {},
            limits=httpx.Limits(max_connections=at_once, max_keepalive_connections=at_once),
            follow_redirects=False,
        )

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

        Raises
        ------
        CallError
            rate_limited, unavailable, timeout, dropped, unreachable or refused; `paid` where the endpoint may
            have worked.
        """
        end = self._clock() + self.settings.deadline
        url = self.settings.base_url.rstrip("/") + "/chat/completions"
        once = {
            "Idempotency-Key": call_key(self.model, request)
        }  # where honoured, a call repeated after a kill is not billed
        sent: dict[str, Any] = {
            "json": self.body(request),
            "headers": once,
            "timeout": self.settings.deadline,
        }
        try:
            # Reading piece by piece lets the deadline hold for an answer that drips, too.
            with self._client.stream("POST", url, **sent) as response:
                content = bytearray()
                for piece in response.iter_bytes():
                    content += piece
                    if self._clock() > end:
                        raise CallError(
                            "timeout", f"the answer took more than {self.settings.deadline:g} s", paid=True
                        )
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol) as error:
            raise CallError("unreachable", f"{urlsplit(url).netloc}: {self._said(str(error))}") from None
        except httpx.TimeoutException:
            raise CallError("timeout", f"no answer within {self.settings.deadline:g} s", paid=True) from None
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise CallError("dropped", self._said(str(error)) or type(error).__name__, paid=True) from None
        text = self._said(content.decode("utf-8", "replace"), limit=None)
        if response.status_code != 200:
            raise self._refusal(response, text)
        return _reply(text)

    def body(self, request: Request[Any]) -> dict[str, Any]:
        """The JSON body of a request: what the endpoint reads."""
        sampling = request.sampling
        body: dict[str, Any] = {
            "model": self.settings.model,
            "messages": [_message(one) for one in request.messages],
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
            "seed": request.sample,
            "stream": False,
        }
        if self.settings.schema and request.schema is not None:
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": request.answer.__name__, "schema": request.schema},
            }
        return body

    def _refusal(self, response: httpx.Response, text: str) -> CallError:
        code = response.status_code
        said = f"HTTP {code} {text[:_SAID].strip()}".strip()
        wait = retry_after(response.headers.get("retry-after", ""), self._wall())
        if code == 429:
            return CallError("rate_limited", said, wait=wait)
        if code >= 500 or code == 408:
            return CallError("unavailable", said, wait=wait)
        return CallError("refused", said)

    def _said(self, text: str, limit: int | None = _SAID) -> str:
        """What the endpoint said, without the key should it repeat it."""
        return (text.replace(self._key, "[key]") if self._key else text)[:limit]


def retry_after(value: str, now: float) -> float:
    """Seconds to wait by a Retry-After header, given as seconds or as an HTTP date (RFC 9110, 10.2.3); 0 when
    it says nothing.
    """
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return 0.0
    return max(0.0, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now)


def _message(message: Message) -> dict[str, Any]:
    if all(isinstance(part, str) for part in message.parts):
        return {"role": message.role, "content": message.text}
    parts = [
        {"type": "text", "text": part} if isinstance(part, str) else _media(part) for part in message.parts
    ]
    return {"role": message.role, "content": parts}


def _media(media: Media) -> dict[str, Any]:
    data = base64.b64encode(media.data).decode()
    if media.medium == "image":
        return {"type": "image_url", "image_url": {"url": f"data:{media.media_type};base64,{data}"}}
    return {"type": "input_audio", "input_audio": {"data": data, "format": _AUDIO[media.media_type]}}


def _reply(text: str) -> Reply:
    """The reply in a chat completion; a body that is none of it counts as a dropped connection."""
    try:
        body = json.loads(text)
        choice = body["choices"][0]
        content = choice["message"].get("content") or ""
        used = body.get("usage") or None
        usage = None
        if used is not None:
            cached = (used.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
            usage = Usage(int(used["prompt_tokens"]), int(used["completion_tokens"]), int(cached))
        return Reply(str(content), usage, choice.get("finish_reason") == "length")
    except (ValueError, LookupError, TypeError, AttributeError):
        raise CallError("dropped", "the body is no whole chat completion", paid=True) from None
