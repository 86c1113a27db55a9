"""SQLite or PostgreSQL for what changes: events, slates, their chances, surveys, exposures, deployments."""

from tastemaker.store.database.database import Added as Added
from tastemaker.store.database.database import Database as Database
from tastemaker.store.database.database import Deployment as Deployment
from tastemaker.store.database.database import check_database as check_database
from tastemaker.store.database.events import Event as Event
from tastemaker.store.database.keys import ROLES as ROLES
from tastemaker.store.database.keys import Key as Key
from tastemaker.store.database.keys import Keys as Keys
from tastemaker.store.database.migrations import MIGRATIONS as MIGRATIONS
from tastemaker.store.database.migrations import VERSION as VERSION
from tastemaker.store.database.offers import Offer as Offer
from tastemaker.store.database.offers import OfferedRow as OfferedRow
from tastemaker.store.database.offers import Offers as Offers
from tastemaker.store.database.session import Address as Address
from tastemaker.store.database.surveys import Question as Question
from tastemaker.store.database.surveys import Surveys as Surveys
from tastemaker.store.database.talks import Talks as Talks
from tastemaker.store.database.talks import TalkTurn as TalkTurn
