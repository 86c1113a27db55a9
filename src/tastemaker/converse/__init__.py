"""Conversations about a catalogue as training data: goals, typed views, agents, constraints, audits, judges,
exports.

    data = generate("shop", RunSettings(n=40, media="none"))
    data.audit().ok
    data.export("chat", "chat.jsonl")

Names are looked up when they are first asked for, so that importing this costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tastemaker.chat import Limits, Price
    from tastemaker.flows.converse.face import DataSet, Result, generate, open_dataset
    from tastemaker.flows.converse.generate import Session
    from tastemaker.flows.converse.settings import RunSettings

__all__ = ["DataSet", "Limits", "Price", "Result", "RunSettings", "Session", "generate", "open_dataset"]

_HOME = {
    "Limits": "chat",
    "Price": "chat",
    "RunSettings": "flows.converse.settings",
    "Session": "flows.converse.generate",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f"tastemaker.{_HOME.get(name, 'flows.converse.face')}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
