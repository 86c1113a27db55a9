"""Everything that is kept: atomic files, sealed folders, artifacts, tables, the database, and the workspace
that holds them.
"""

from tastemaker.store.artifacts import Artifact as Artifact
from tastemaker.store.artifacts import Artifacts as Artifacts
from tastemaker.store.artifacts import fingerprint as fingerprint
from tastemaker.store.database import Address as Address
from tastemaker.store.database import Database as Database
from tastemaker.store.database.events import Event as Event
from tastemaker.store.database.offers import Offer as Offer
from tastemaker.store.database.offers import OfferedRow as OfferedRow
from tastemaker.store.database.offers import Offers as Offers
from tastemaker.store.database.surveys import Question as Question
from tastemaker.store.database.surveys import Surveys as Surveys
from tastemaker.store.doctor import Finding as Finding
from tastemaker.store.doctor import diagnose as diagnose
from tastemaker.store.files import append_line as append_line
from tastemaker.store.files import read_arrays as read_arrays
from tastemaker.store.files import read_lines as read_lines
from tastemaker.store.files import replacing as replacing
from tastemaker.store.files import sha256_file as sha256_file
from tastemaker.store.files import write_arrays as write_arrays
from tastemaker.store.files import write_bytes as write_bytes
from tastemaker.store.files import write_json as write_json
from tastemaker.store.files import write_text as write_text
from tastemaker.store.folders import read_manifest as read_manifest
from tastemaker.store.folders import verify_folder as verify_folder
from tastemaker.store.folders import write_folder as write_folder
from tastemaker.store.ingest import Ingested as Ingested
from tastemaker.store.ingest import IngestSettings as IngestSettings
from tastemaker.store.ingest import Report as Report
from tastemaker.store.ingest import ingest_files as ingest_files
from tastemaker.store.ingest import ingest_interactions as ingest_interactions
from tastemaker.store.ingest import ingest_items as ingest_items
from tastemaker.store.ingest import tables_without as tables_without
from tastemaker.store.tables import read_any as read_any
from tastemaker.store.tables import read_table as read_table
from tastemaker.store.tables import write_table as write_table
from tastemaker.store.workspace import Workspace as Workspace
