"""Everything that is kept: atomic files, sealed folders, artifacts, tables, the database, and the workspace
that holds them.
"""

from tastemaker.store.artifacts import Artifact, Artifacts, fingerprint
from tastemaker.store.database import Address, Database
from tastemaker.store.database.events import Event
from tastemaker.store.database.offers import Offer, OfferedRow, Offers
from tastemaker.store.database.surveys import Question, Surveys
from tastemaker.store.doctor import Finding, diagnose
from tastemaker.store.files import (
    append_line,
    read_arrays,
    read_lines,
    replacing,
    sha256_file,
    write_arrays,
    write_bytes,
    write_json,
    write_text,
)
from tastemaker.store.folders import read_manifest, verify_folder, write_folder
from tastemaker.store.ingest import (
    Ingested,
    IngestSettings,
    Report,
    ingest_files,
    ingest_interactions,
    ingest_items,
    tables_without,
)
from tastemaker.store.tables import read_any, read_table, write_table
from tastemaker.store.workspace import Workspace

__all__ = [
    "Address",
    "Artifact",
    "Artifacts",
    "Database",
    "Event",
    "Finding",
    "IngestSettings",
    "Ingested",
    "Offer",
    "OfferedRow",
    "Offers",
    "Question",
    "Report",
    "Surveys",
    "Workspace",
    "append_line",
    "diagnose",
    "fingerprint",
    "ingest_files",
    "ingest_interactions",
    "ingest_items",
    "read_any",
    "read_arrays",
    "read_lines",
    "read_manifest",
    "read_table",
    "replacing",
    "sha256_file",
    "tables_without",
    "verify_folder",
    "write_arrays",
    "write_bytes",
    "write_folder",
    "write_json",
    "write_table",
    "write_text",
]
