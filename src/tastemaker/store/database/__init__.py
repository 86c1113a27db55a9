"""SQLite or PostgreSQL for what changes: events by client-given id, slates with their propensities, surveys,
exposures, deployments.
"""

from tastemaker.store.database.database import Added, Database, Deployment, check_database
from tastemaker.store.database.events import Event
from tastemaker.store.database.keys import ROLES, Key, Keys
from tastemaker.store.database.migrations import MIGRATIONS, VERSION
from tastemaker.store.database.offers import Offer, OfferedRow, Offers
from tastemaker.store.database.session import Address
from tastemaker.store.database.surveys import Question, Surveys
from tastemaker.store.database.talks import Said, Talks

__all__ = [
    "MIGRATIONS",
    "ROLES",
    "VERSION",
    "Added",
    "Address",
    "Database",
    "Deployment",
    "Event",
    "Key",
    "Keys",
    "Offer",
    "OfferedRow",
    "Offers",
    "Question",
    "Said",
    "Surveys",
    "Talks",
    "check_database",
]
