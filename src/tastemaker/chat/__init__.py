"""Calls to chat models: protocol, engine (cache, journal, pace, budget) and the back end
`endpoint` (OpenAI-compatible). Importing it loads no torch.
"""

from tastemaker.chat.budget import Budget as Budget
from tastemaker.chat.budget import Limits as Limits
from tastemaker.chat.budget import Price as Price
from tastemaker.chat.budget import maximum as maximum
from tastemaker.chat.cache import Cache as Cache
from tastemaker.chat.cache import call_key as call_key
from tastemaker.chat.cache import canonical as canonical
from tastemaker.chat.cache import subject_tag as subject_tag
from tastemaker.chat.engine import Engine as Engine
from tastemaker.chat.engine import EngineSettings as EngineSettings
from tastemaker.chat.journal import Journal as Journal
from tastemaker.chat.pace import Clock as Clock
from tastemaker.chat.pace import PaceSettings as PaceSettings
from tastemaker.chat.protocol import FAILURES as FAILURES
from tastemaker.chat.protocol import BudgetReached as BudgetReached
from tastemaker.chat.protocol import CallError as CallError
from tastemaker.chat.protocol import Chat as Chat
from tastemaker.chat.protocol import Check as Check
from tastemaker.chat.protocol import Media as Media
from tastemaker.chat.protocol import Message as Message
from tastemaker.chat.protocol import Part as Part
from tastemaker.chat.protocol import Reply as Reply
from tastemaker.chat.protocol import Request as Request
from tastemaker.chat.protocol import Sampling as Sampling
from tastemaker.chat.protocol import StoppedEarly as StoppedEarly
from tastemaker.chat.protocol import Usage as Usage
from tastemaker.chat.protocol import assistant as assistant
from tastemaker.chat.protocol import system as system
from tastemaker.chat.protocol import user as user
from tastemaker.chat.units import Outcome as Outcome
from tastemaker.chat.units import Progress as Progress
from tastemaker.chat.units import Unit as Unit
from tastemaker.chat.units import map_units as map_units
