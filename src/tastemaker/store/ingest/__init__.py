"""From people's tables to ours: what is accepted, and of every other row the file, row, column and reason."""

from tastemaker.store.ingest.commit import Ingested as Ingested
from tastemaker.store.ingest.commit import ingest_files as ingest_files
from tastemaker.store.ingest.commit import tables_without as tables_without
from tastemaker.store.ingest.report import Report as Report
from tastemaker.store.ingest.report import origin as origin
from tastemaker.store.ingest.rows import IngestSettings as IngestSettings
from tastemaker.store.ingest.rules import ingest_interactions as ingest_interactions
from tastemaker.store.ingest.rules import ingest_items as ingest_items
