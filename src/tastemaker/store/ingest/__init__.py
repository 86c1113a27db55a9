"""From people's tables to ours: what is accepted, and for every row that is not, the file, row, column and
reason.
"""

from tastemaker.store.ingest.commit import Ingested, ingest_files, tables_without
from tastemaker.store.ingest.rows import IngestSettings, Report
from tastemaker.store.ingest.rules import ingest_interactions, ingest_items

__all__ = [
    "IngestSettings",
    "Ingested",
    "Report",
    "ingest_files",
    "ingest_interactions",
    "ingest_items",
    "tables_without",
]
