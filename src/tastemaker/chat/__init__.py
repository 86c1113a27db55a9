"""Calls to chat models: protocol, engine (cache, journal, pace, budget) and back ends. Importing it loads no
torch.
"""

from tastemaker.chat.cache import Cache, call_key, canonical, subject_tag
from tastemaker.chat.cost import Budget, Forecast, Limits, Meter, Price, forecast
from tastemaker.chat.engine import Engine, EngineSettings
from tastemaker.chat.journal import Journal
from tastemaker.chat.pace import Clock, PaceSettings, SystemClock
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
    "Forecast",
    "Journal",
    "Limits",
    "Media",
    "Message",
    "Meter",
    "Outcome",
    "PaceSettings",
    "Part",
    "Price",
    "Progress",
    "Reply",
    "Request",
    "Sampling",
    "StoppedEarly",
    "SystemClock",
    "Unit",
    "Usage",
    "assistant",
    "call_key",
    "canonical",
    "forecast",
    "map_units",
    "subject_tag",
    "system",
    "user",
]
