"""Calls to chat models: protocol, engine (cache, journal, pace, budget) and back ends. Nothing here imports torch at start."""

from tastemaker.lm.calls.protocol import (
    FAILURES,
    BudgetReached,
    CallError,
    Chat,
    Check,
    Media,
    Message,
    Part,
    Reply,
    Request,
    Sampling,
    StoppedEarly,
    Usage,
    assistant,
    system,
    user,
)

__all__ = [
    "FAILURES",
    "BudgetReached",
    "CallError",
    "Chat",
    "Check",
    "Media",
    "Message",
    "Part",
    "Reply",
    "Request",
    "Sampling",
    "StoppedEarly",
    "Usage",
    "assistant",
    "system",
    "user",
]
