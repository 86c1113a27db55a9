"""Which model plays the roles: rules, a Hugging Face folder, NAME@URL of an endpoint, or a plugin's back
end.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

from tastemaker import plugins
from tastemaker.chat import Chat
from tastemaker.converse.language.lexicon import Lexicon
from tastemaker.converse.rules import RuleChat
from tastemaker.errors import InputError
from tastemaker.flows.converse.settings import RULES

KEY_VARIABLE = "TASTEMAKER_API_KEY"


def open_chat(model: str, lexicon: Lexicon, seed: int) -> Chat:
    """The back end that a model's name stands for. An endpoint's key comes from TASTEMAKER_API_KEY, if that
    is set.

    Raises
    ------
    InputError
        for a name that is none of the four.
    """
    if model == RULES:
        return RuleChat(lexicon, seed)
    name, _, url = model.partition("@")
    if url.startswith(("http://", "https://")):
        from tastemaker.chat.endpoint import Endpoint, EndpointSettings

        variable = KEY_VARIABLE if os.environ.get(KEY_VARIABLE) else None
        return Endpoint(EndpointSettings(base_url=url, model=name, key_variable=variable))
    if model in plugins.names("chat"):
        return cast(Chat, plugins.call("chat", model, model))
    if Path(model).is_dir():
        from tastemaker.chat.local import Local

        return Local(Path(model))
    raise InputError(
        f"model '{model}': give rules, a Hugging Face model folder, NAME@URL, such as"
        " qwen3@http://localhost:8000/v1, or the name of an installed plugin"
        f" ({', '.join(plugins.names('chat')) or 'none is installed'})"
    )


def family(model: str) -> str:
    """A model's family: its name up to the first digit, dash, slash, colon or @. Judges must not be of the
    generator's.
    """
    name = model.split("@")[0].rstrip("/").rsplit("/", 1)[-1].casefold()
    letters = next((at for at, letter in enumerate(name) if not letter.isalpha()), len(name))
    return name[:letters] or name
