"""SQLite for what changes: events by client-given id, slates with their propensities, deployments."""

from tastemaker.store.database.database import MIGRATIONS, VERSION, Added, Database, Deployment, check_database
from tastemaker.store.database.events import KINDS, Event

__all__ = ["KINDS", "MIGRATIONS", "VERSION", "Added", "Database", "Deployment", "Event", "check_database"]
