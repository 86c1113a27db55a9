"""Tokens of a request: what it is likely to have, and what it cannot exceed."""

from __future__ import annotations

from typing import Any

from tastemaker.chat.answers import schema_prompt
from tastemaker.chat.protocol import Media, Request, Usage

BYTES_A_TOKEN = 4
"""Rule of thumb for English text; forecasts use it, limits never do."""
MESSAGE_TOKENS = 16
IMAGE_TOKENS = 1600
"""A generous count for one image; providers differ (85 to about 1,500)."""
AUDIO_TOKENS_A_SECOND = 32
UNKNOWN_SECONDS_BYTES = 8000
"""A sound of unknown length is taken for 8 kB a second, as little as compressed speech needs."""


def media_tokens(media: Media) -> int:
    """Tokens of one image or sound."""
    if media.medium == "image":
        return IMAGE_TOKENS
    seconds = media.seconds or len(media.data) / UNKNOWN_SECONDS_BYTES
    return int(AUDIO_TOKENS_A_SECOND * seconds) + 1


def _sizes(request: Request[Any]) -> tuple[int, int]:
    """Bytes of text, and tokens of media and message frames."""
    text = len(schema_prompt(request).encode())
    fixed = MESSAGE_TOKENS * (len(request.messages) + 2)
    for message in request.messages:
        for part in message.parts:
            if isinstance(part, str):
                text += len(part.encode())
            else:
                fixed += media_tokens(part)
    return text, fixed


def estimated_input(request: Request[Any]) -> int:
    """Tokens a request is likely to have: a quarter of its bytes, frames and media."""
    text, fixed = _sizes(request)
    return text // BYTES_A_TOKEN + fixed


def estimated_output(text: str) -> int:
    """Tokens an answer is likely to have."""
    return -(-len(text.encode()) // BYTES_A_TOKEN)


def maximum(request: Request[Any]) -> Usage:
    """The most a request can use: byte-level tokenizers never make more tokens than bytes, and max_tokens
    bounds the answer.
    """
    text, fixed = _sizes(request)
    return Usage(text + fixed, request.sampling.max_tokens)
