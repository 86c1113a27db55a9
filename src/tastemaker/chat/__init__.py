"""Calls to chat models: protocol, engine (cache, journal, pace, budget) and back ends: `endpoint`
(OpenAI-compatible) and `local` (a Hugging Face folder). Importing it loads no torch.
"""

from tastemaker.chat.budget import Budget, Limits, Price, maximum
from tastemaker.chat.cache import Cache, call_key, canonical, subject_tag
from tastemaker.chat.engine import Engine, EngineSettings
from tastemaker.chat.journal import Journal
from tastemaker.chat.pace import Clock, PaceSettings
from tastemaker.chat.protocol import (
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
from tastemaker.chat.units import Outcome, Progress, Unit, map_units

__all__ = [
    "FAILURES",
    "Budget",
    "BudgetReached",
    "Cache",
    "CallError",
    "Chat",
    "Check",
    "Clock",
    "Engine",
    "EngineSettings",
    "Journal",
    "Limits",
    "Media",
    "Message",
    "Outcome",
    "PaceSettings",
    "Part",
    "Price",
    "Progress",
    "Reply",
    "Request",
    "Sampling",
    "StoppedEarly",
    "Unit",
    "Usage",
    "assistant",
    "call_key",
    "canonical",
    "map_units",
    "maximum",
    "subject_tag",
    "system",
    "user",
]
