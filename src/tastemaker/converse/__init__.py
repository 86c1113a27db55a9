"""Conversations about a catalogue as training data: goals, typed views, agents, constraints, audits, judges,
exports.

    data = generate("shop", RunSettings(n=40, media="none"))
    data.audit().ok
    data.export("chat", "chat.jsonl")

Names are looked up when they are first asked for, so that importing this costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

# What the flows offer is above this package, so it is named here and found when it is asked for.
_HOME = {
    "DataSet": "flows.converse.face",
    "Result": "flows.converse.face",
    "collect": "flows.converse.face",
    "generate": "flows.converse.face",
    "open_dataset": "flows.converse.face",
    "Limits": "chat",
    "Price": "chat",
    "RunSettings": "flows.converse.settings",
    "Session": "flows.converse.generate",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f"tastemaker.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_HOME)
