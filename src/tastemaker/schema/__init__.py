"""What crosses a folder: every table with its Arrow schema, and the one table of event kinds."""

from tastemaker.schema.events import KINDS as KINDS
from tastemaker.schema.events import EventKind as EventKind
from tastemaker.schema.events import EventRules as EventRules
from tastemaker.schema.events import kind_named as kind_named
from tastemaker.schema.events import kind_of as kind_of
from tastemaker.schema.tables import ANONYMOUS as ANONYMOUS
from tastemaker.schema.tables import CONVERSATIONS as CONVERSATIONS
from tastemaker.schema.tables import EXAMPLES as EXAMPLES
from tastemaker.schema.tables import INTERACTIONS as INTERACTIONS
from tastemaker.schema.tables import ITEMS as ITEMS
from tastemaker.schema.tables import SLATES as SLATES
from tastemaker.schema.tables import SURVEYS as SURVEYS
from tastemaker.schema.tables import check as check
from tastemaker.schema.tables import check_person as check_person
from tastemaker.schema.tables import item_tokens_schema as item_tokens_schema
from tastemaker.schema.tables import item_vectors_schema as item_vectors_schema
