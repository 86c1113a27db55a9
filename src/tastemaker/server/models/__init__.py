"""The JSON that crosses the edge, in and out, with the examples that OpenAPI shows."""

from tastemaker.server.models.base import Identifier as Identifier
from tastemaker.server.models.base import ProblemOut as ProblemOut
from tastemaker.server.models.catalogue import FieldValue as FieldValue
from tastemaker.server.models.catalogue import FilterField as FilterField
from tastemaker.server.models.catalogue import Forgotten as Forgotten
from tastemaker.server.models.catalogue import Health as Health
from tastemaker.server.models.catalogue import Info as Info
from tastemaker.server.models.catalogue import Item as Item
from tastemaker.server.models.catalogue import PastEvent as PastEvent
from tastemaker.server.models.catalogue import PastTurn as PastTurn
from tastemaker.server.models.catalogue import User as User
from tastemaker.server.models.events import AnswerIn as AnswerIn
from tastemaker.server.models.events import AnswerOut as AnswerOut
from tastemaker.server.models.events import Counts as Counts
from tastemaker.server.models.events import EventIn as EventIn
from tastemaker.server.models.events import EventsRequest as EventsRequest
from tastemaker.server.models.events import ImpressionIn as ImpressionIn
from tastemaker.server.models.events import ImpressionOut as ImpressionOut
from tastemaker.server.models.events import Kind as Kind
from tastemaker.server.models.events import Question as Question
from tastemaker.server.models.recommendations import Reason as Reason
from tastemaker.server.models.recommendations import RecommendationRequest as RecommendationRequest
from tastemaker.server.models.recommendations import Recommendations as Recommendations
from tastemaker.server.models.recommendations import Retention as Retention
from tastemaker.server.models.recommendations import Row as Row
from tastemaker.server.models.recommendations import Timings as Timings
