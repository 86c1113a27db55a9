"""Text tables as people have them, CSV and JSON."""

from tastemaker.store.text.csv import read_csv as read_csv
from tastemaker.store.text.header import FREE_BYTES as FREE_BYTES
from tastemaker.store.text.header import MOST_BYTES as MOST_BYTES
from tastemaker.store.text.header import MOST_COLUMNS as MOST_COLUMNS
from tastemaker.store.text.header import MOST_ROWS as MOST_ROWS
from tastemaker.store.text.header import MOST_TIMES as MOST_TIMES
from tastemaker.store.text.header import sniffed as sniffed
from tastemaker.store.text.json import as_column as as_column
from tastemaker.store.text.json import read_json as read_json
