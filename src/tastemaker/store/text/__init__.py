"""Text tables as people have them, CSV and JSON."""

from tastemaker.store.text.csv import read_csv as read_csv
from tastemaker.store.text.header import MOST_COLUMNS as MOST_COLUMNS
from tastemaker.store.text.header import MOST_ROWS as MOST_ROWS
from tastemaker.store.text.json import as_column as as_column
from tastemaker.store.text.json import read_json as read_json
from tastemaker.store.text.packed import BROKEN as BROKEN
from tastemaker.store.text.packed import FREE_BYTES as FREE_BYTES
from tastemaker.store.text.packed import MOST_BYTES as MOST_BYTES
from tastemaker.store.text.packed import MOST_TIMES as MOST_TIMES
from tastemaker.store.text.packed import PACKED as PACKED
from tastemaker.store.text.packed import sniffed as sniffed
