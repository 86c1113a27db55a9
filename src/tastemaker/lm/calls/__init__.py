"""Calls to chat models: protocol, engine (cache, journal, pace, budget) and back ends. Importing it loads no
torch.
"""

from tastemaker.lm.calls.cache import Cache, call_key, canonical, subject_tag
from tastemaker.lm.calls.cost import Budget, Forecast, Limits, Meter, Price, forecast
from tastemaker.lm.calls.engine import Engine, EngineSettings
from tastemaker.lm.calls.journal import Journal
from tastemaker.lm.calls.pace import Clock, PaceSettings, SystemClock
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
from tastemaker.lm.calls.units import Outcome, Progress, Unit, map_units

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
