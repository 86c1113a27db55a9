"""Ingest: every row accepted or refused with file, row, column and reason; nothing lost, nothing crashes but
by InputError.
"""

import csv
import gzip
import itertools
import json
import math
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tastemaker.store.ingest.commit as commit
from tastemaker import schema
from tastemaker.errors import ArtifactError, InputError
from tastemaker.store.ingest import IngestSettings, ingest_files, ingest_interactions, ingest_items
from tastemaker.store.tables import read_any, read_source, write_table
from tastemaker.store.workspace import Workspace

STRICT = IngestSettings(strict=True)
SHARED = Path(__file__).parents[3] / "shared" / "data"


def _refusals(report) -> list[tuple[int, str]]:
    return [(one.row, one.column) for one in report.first(100)]


def _items(*ids: str) -> pa.Table:
    return ingest_items(pa.table({"item_id": ids}))[0]


# ---- items


def test_items_under_usual_names() -> None:
    table = pa.table(
        {
            "movieId": [1, 2],
            "Name": ["A", None],
            "overview": ["text", "same"],
            "Description": ["more", "same"],
            "genres": ["Drama|War", " Comedy | "],
            "brand": ["x", ""],
            "release date": ["2020-01-02", None],
        }
    )
    items, report = ingest_items(table, "films")
    assert items.schema == schema.ITEMS
    assert report.accepted == 2
    rows = {row["item_id"]: row for row in items.to_pylist()}
    assert rows["1"]["text"] == "text\n\nmore"
    assert rows["2"]["text"] == "same"
    assert rows["1"]["attributes"] == ["Drama", "War"]
    assert rows["2"]["attributes"] == ["Comedy"]
    assert (rows["1"]["creator"], rows["2"]["creator"], rows["2"]["title"]) == ("x", None, None)
    assert rows["1"]["created_at"] == datetime(2020, 1, 2, tzinfo=UTC)
    assert report.columns["item_id"] == "movieId"


def test_items_do_not_lie_in_the_order_of_their_numbers() -> None:
    ids = [str(n) for n in range(1000)]
    first, second = (
        ingest_items(pa.table({"item_id": order}))[0]["item_id"].to_pylist() for order in (ids, ids[::-1])
    )
    assert first == second
    neighbours = sum(abs(int(a) - int(b)) == 1 for a, b in itertools.pairwise(first))
    assert neighbours < 15


def test_bad_items_are_refused_one_by_one() -> None:
    ids = ["a", "", None, " a ", "b\nc", "x" * 600, "d", "e"]
    texts = ["ok"] * 6 + ["y" * 300_000, "ok"]
    items, report = ingest_items(
        pa.table({"item_id": ids, "text": texts, "created_at": [None] * 7 + ["soon"]}), "items.csv"
    )
    assert sorted(items["item_id"].to_pylist()) == ["a", "d", "e"]
    assert _refusals(report) == [(n, "item_id") for n in (2, 3, 4, 5, 6)]
    assert "earlier row" in report.first(3)[2].reason
    assert report.summary()["refused"] == 5
    assert [(one["column"], one["rows"], one["first"]) for one in report.summary()["cells"]] == [
        ("text", 1, 7),
        ("created_at", 1, 8),
    ]
    assert {row["item_id"]: len(row["text"] or "") for row in items.to_pylist()}["d"] == 200_000
    with pytest.raises(InputError, match=r"items.csv, row 2, column 'item_id': empty"):
        ingest_items(pa.table({"item_id": ids, "text": texts}), "items.csv", STRICT)


def test_a_refused_row_does_not_make_the_next_a_duplicate() -> None:
    items, report = ingest_items(
        pa.table({"item_id": ["a\nb", "a", "a"], "created_at": ["junk", "2020", "2021-01-01"]})
    )
    assert items["created_at"].to_pylist() == [datetime(2020, 1, 1, tzinfo=UTC)]
    assert _refusals(report) == [(1, "item_id"), (3, "item_id")]


def test_whole_number_ids_survive_being_floats() -> None:
    items, report = ingest_items(
        pa.table({"item_id": pa.array([1.0, 2.0, float("nan"), None, 2.5, math.inf])})
    )
    assert sorted(items["item_id"].to_pylist()) == ["1", "2", "2.5"]
    assert [row for row, _ in _refusals(report)] == [3, 4, 6]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (["a;b", "c"], [["a", "b"], ["c"]]),
        (["a, b", "c|d,e"], [["a, b"], ["c", "d,e"]]),
        (['["a", "b"]', "[]"], [["a", "b"], None]),
        ([["a", None, " "], None], [["a"], None]),
        ([[["a", "b"], ["c"]], []], [["a", "b", "c"], None]),
        ([[1, 2], [3]], [["1", "2"], ["3"]]),
    ],
)
def test_attributes_in_many_shapes(column: list[object], expected: list[object]) -> None:
    items, _ = ingest_items(pa.table({"item_id": ["0", "1"], "tags": column}))
    found = dict(zip(items["item_id"].to_pylist(), items["attributes"].to_pylist(), strict=True))
    assert [found["0"], found["1"]] == expected


def test_media_paths_cannot_leave_the_workspace() -> None:
    paths = ["a/b.png", "../x.png", "/etc/passwd", "https://x/y.png", "a/../../b", "..\\x", "~/x", "a..b.png"]
    items, report = ingest_items(pa.table({"item_id": [str(n) for n in range(8)], "image": paths}))
    assert sorted(path for path in items["image"].to_pylist() if path) == ["a..b.png", "a/b.png"]
    assert [(one["column"], one["rows"]) for one in report.summary()["cells"]] == [("image", 6)]


def test_no_id_column_says_what_would_do() -> None:
    with pytest.raises(InputError, match=r"films: no column for 'item_id' .*the table has colour"):
        ingest_items(pa.table({"colour": ["red"]}), "films")
    with pytest.raises(InputError, match="column 'item_id' holds struct"):
        ingest_items(pa.table({"item_id": [{"a": 1}]}))


# ---- interactions

MOMENT = datetime(2021, 5, 6, 7, 8, 9, tzinfo=UTC)
SECONDS = int(MOMENT.timestamp())


@pytest.mark.parametrize(
    "value",
    [
        SECONDS,
        float(SECONDS),
        SECONDS * 1000,
        SECONDS * 10**6,
        SECONDS * 10**9,
        str(SECONDS),
        f"{SECONDS}000",
        "2021-05-06T07:08:09Z",
        "2021-05-06 07:08:09",
        "2021-05-06T09:08:09+02:00",
        "2021-05-06T09:08:09.000000+0200",
        "2021-05-06 07:08:09 UTC",
        "2021/05/06 07:08:09",
        MOMENT,
        datetime(2021, 5, 6, 7, 8, 9),
    ],
)
def test_times_in_many_shapes(value: object) -> None:
    table, report = ingest_interactions(pa.table({"user": ["u"], "item": ["i"], "time": [value]}))
    assert report.accepted == 1, report.first(1)
    assert table["timestamp"].to_pylist() == [MOMENT]


def test_times_keep_their_microseconds() -> None:
    late = MOMENT + timedelta(microseconds=123457)
    column = [late.isoformat(), str(SECONDS * 10**6 + 123457)]
    for one in column:
        table, _ = ingest_interactions(pa.table({"user": ["u"], "item": ["i"], "time": [one]}))
        assert table["timestamp"].to_pylist() == [late]


def test_bad_interactions_are_refused_one_by_one() -> None:
    rows = [
        ("u", "a", 0, "1", None),
        ("", "a", 1, "1", "user_id"),
        ("u", "zz", 1, "1", "item_id"),
        ("u", "a", -1, "1", "position"),
        ("u", "a", None, "1", "position"),
        ("u", "a", 2, "nan", None),
        ("u", "a", 3, "high", None),
        ("u", "a", 0, "1", "position"),
        ("u", "b", 4, "", None),
        ("v", "a", 0, "2.5", None),
    ]
    names = ["user_id", "item_id", "position", "rating"]
    table = pa.table({name: [row[at] for row in rows] for at, name in enumerate(names)})
    accepted, report = ingest_interactions(table, _items("a", "b"), "log.csv")
    assert _refusals(report) == [(at, row[4]) for at, row in enumerate(rows, start=1) if row[4]]
    assert accepted.schema == schema.INTERACTIONS
    kept = [(row["user_id"], row["item_id"], row["position"], row["value"]) for row in accepted.to_pylist()]
    assert kept == [
        ("u", "a", 0, 1.0),
        ("u", "a", 2, None),
        ("u", "a", 3, None),
        ("u", "b", 4, None),
        ("v", "a", 0, 2.5),
    ]
    assert [(one["column"], one["rows"]) for one in report.summary()["cells"]] == [("rating", 2)]


def test_positions_follow_time_and_then_the_file() -> None:
    table = pa.table({"user": ["u", "v", "u", "u", "u"], "item": list("abcde"), "ts": [30, 5, 10, 30, 20]})
    others = pa.table({"user": ["w"] * 40, "item": list("ab") * 20, "ts": list(range(40))})
    accepted, report = ingest_interactions(pa.concat_tables([table, others]))
    assert [(row["user_id"], row["item_id"], row["position"]) for row in accepted.to_pylist()][:5] == [
        ("u", "c", 0),
        ("u", "e", 1),
        ("u", "a", 2),
        ("u", "d", 3),
        ("v", "b", 0),
    ]
    assert report.understood["times"]["tied"] == round(2 / 45, 4) and "same time" not in str(report.notes)
    unordered, report = ingest_interactions(table.drop_columns(["ts"]))
    assert unordered["item_id"].to_pylist() == ["a", "c", "d", "e", "b"]
    assert "order of the file" in report.notes[0]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("uvw"), st.integers(0, 4)), min_size=1, max_size=25), st.randoms())
def test_positions_follow_time_and_no_file_decides_ties(rows: list[tuple[str, int]], random: Random) -> None:
    events = [(user, str(item), time) for item, (user, time) in enumerate(rows)]
    found = []
    for order in (events, random.sample(events, len(events))):
        columns = dict(zip(("user", "item", "ts"), map(list, zip(*order, strict=True)), strict=True))
        accepted, report = ingest_interactions(pa.table(columns))
        times = {item: time for _, item, time in events}
        placed = [(row["user_id"], row["position"], times[row["item_id"]]) for row in accepted.to_pylist()]
        assert placed == sorted(placed) and [at for _, at, _ in placed] == [
            at for who in "uvw" for at in range(sum(user == who for user, _ in rows))
        ]
        found.append(accepted["item_id"].to_pylist())
        seen = [(user, time) for user, time in rows]
        tied = sum(seen.count(one) > 1 for one in seen) / len(seen)
        assert report.understood["times"]["tied"] == round(tied, 4)
    assert found[0] == found[1] or 0 < tied <= 0.05


# ---- junk

TEXT = st.one_of(
    st.text(max_size=6),
    st.sampled_from(["a", "b", "1", "2020-01-01", "nan", "-1", "1e400", "[", '["x"]', "\x00", "9" * 25]),
)
SCALARS = [
    (pa.string(), TEXT),
    (pa.large_string(), TEXT),
    (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    (pa.uint64(), st.integers(0, 2**64 - 1)),
    (pa.int8(), st.integers(-3, 3)),
    (pa.float64(), st.floats()),
    (pa.float16(), st.sampled_from([0.0, 1.0, math.nan])),
    (pa.bool_(), st.booleans()),
    (pa.binary(), st.binary(max_size=4)),
    (pa.date32(), st.dates()),
    (pa.timestamp("us"), st.datetimes()),
    (pa.timestamp("ns", "Europe/Paris"), st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1))),
    (pa.timestamp("s"), st.integers(-(2**62), 2**62)),
    (pa.duration("s"), st.timedeltas(timedelta(0), timedelta(9))),
    (pa.time64("us"), st.times()),
    (pa.decimal128(9, 2), st.decimals(-1000, 1000, places=2)),
    (pa.null(), st.none()),
    (pa.list_(pa.string()), st.lists(TEXT, max_size=3)),
    (pa.list_(pa.list_(pa.int64())), st.lists(st.lists(st.integers(0, 3), max_size=2), max_size=2)),
    (pa.struct([("a", pa.int64())]), st.fixed_dictionaries({"a": st.integers(0, 1)})),
    (
        pa.map_(pa.string(), pa.int64()),
        st.dictionaries(st.sampled_from("ab"), st.integers(0, 1), max_size=2).map(lambda d: list(d.items())),
    ),
    (pa.dictionary(pa.int32(), pa.string()), st.sampled_from(["a", "b"])),
]
NAMES = (
    "item_id",
    "user_id",
    "title",
    "text",
    "description",
    "attributes",
    "created_at",
    "image",
    "timestamp",
    "position",
    "value",
    "kind",
)


@st.composite
def junk(draw: st.DrawFn) -> pa.Table:
    """A table with our column names and anything in the columns; ids are mostly text, or little would pass
    the first check.
    """
    n = draw(st.integers(0, 5))
    columns = {}
    for name in draw(st.lists(st.sampled_from(NAMES), unique=True)):
        kind, values = draw(st.sampled_from(SCALARS))
        columns[name] = pa.array(draw(st.lists(st.none() | values, min_size=n, max_size=n)), kind)
    for name in ("item_id", "user_id"):
        if draw(st.integers(0, 5)):
            columns[name] = pa.array(draw(st.lists(TEXT, min_size=n, max_size=n)), pa.string())
    return pa.table(columns) if columns else pa.table({"x": pa.nulls(n)})


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(junk())
def test_junk_is_refused_never_a_crash(table: pa.Table) -> None:
    for ingest, expected in ((ingest_items, schema.ITEMS), (ingest_interactions, schema.INTERACTIONS)):
        try:
            accepted, report = ingest(table)
        except InputError as error:
            assert "\n" not in str(error)
            continue
        assert accepted.schema == expected
        accepted.validate(full=True)
        assert report.rows == table.num_rows == report.accepted + report.refused.num_rows
        assert accepted.num_rows == report.accepted
        assert len(set(report.refused["row"].to_pylist())) == report.refused.num_rows
        json.dumps(report.summary())


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.binary(max_size=80) | st.text('a,"\n\r\t{}[]:1\\uDC', max_size=60).map(str.encode),
    suffix=st.sampled_from([".csv", ".jsonl", ".parquet", ".csv.gz", ".tsv"]),
)
def test_junk_files_are_refused_never_a_crash(tmp_path: Path, data: bytes, suffix: str) -> None:
    path = tmp_path / f"file{suffix}"
    path.write_bytes(gzip.compress(data) if suffix.endswith(".gz") and len(data) % 2 else data)
    try:
        source = read_source(path)
        source.table.validate(full=True)
        assert len(source.rows) == source.table.num_rows
        ingest_items(source)
    except InputError as error:
        assert "\n" not in str(error)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8", exclude_characters="\x00\r"), min_size=1, max_size=5),
            st.text("ab,;\"'\n \t|", max_size=9),
        ),
        max_size=6,
    )
)
def test_the_three_formats_say_the_same(tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    with (tmp_path / "a.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, quoting=csv.QUOTE_ALL).writerows([("item_id", "text"), *rows])
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"item_id": i, "text": t}) + "\n" for i, t in rows))
    pq.write_table(
        pa.table(
            {
                "item_id": pa.array([i for i, _ in rows], pa.string()),
                "text": pa.array([t for _, t in rows], pa.string()),
            }
        ),
        tmp_path / "a.parquet",
    )
    if not rows:
        return
    made = [ingest_items(read_source(tmp_path / f"a.{suffix}")) for suffix in ("parquet", "csv", "jsonl")]
    assert made[0][0].equals(made[1][0]) and made[0][0].equals(made[2][0])
    assert _refusals(made[0][1]) == _refusals(made[1][1]) == _refusals(made[2][1])


# ---- files


def test_csv_rows_are_counted_past_what_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_bytes(b'\xef\xbb\xbfitem_id,title\n007,"two\nlines"\n1,a,b\n2,caf\xe9\n3\n4,fine\n4,again\n')
    items, report = ingest_items(read_source(path))
    assert sorted(items["item_id"].to_pylist()) == ["007", "2", "4"]
    assert _refusals(report) == [(2, "(whole row)"), (4, "(whole row)"), (6, "item_id")]
    assert [(cell["row"], cell["column"]) for cell in report.cells.to_pylist()] == [(3, "title")]
    assert (report.rows, report.accepted) == (6, 3)
    with pytest.raises(InputError, match=r"items.csv, row 2, column '\(whole row\)'"):
        read_any(path)


def test_json_lines_are_counted_past_what_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl.gz"
    lines = [
        b'{"item_id": 1, "tags": ["a"]}',
        b"",
        b'{"item_id": ',
        b'{"item_id": "x", "meta": {"deep": [1]}}',
        b"[1]",
        b'{"item_id": "\xe9"}',
    ]
    path.write_bytes(gzip.compress(b"\n".join(lines)))
    items, report = ingest_items(read_source(path))
    assert sorted(items["item_id"].to_pylist()) == ["1", "x", "é"]
    assert [row for row, _ in _refusals(report)] == [2, 4]


@pytest.mark.parametrize(
    ("value", "rows", "place"),
    [
        ({"count": 2, "episodes": [{"item_id": "a"}, {"item_id": "b"}]}, ["a", "b"], "'episodes'"),
        ({"a": {"title": "x"}, "b": {"title": "y"}}, ["a", "b"], "its parts, by name"),
        ({"a": {"item_id": "c"}, "b": {"item_id": "d"}}, ["c", "d"], "its parts, by name"),
        ({"item_id": ["a", "b"], "title": ["x", "y"]}, ["a", "b"], "its columns"),
        ({"item_id": {"0": "a", "1": "b"}, "title": {"0": "x", "1": None}}, ["a", "b"], "its columns"),
        ({"columns": ["item_id", 1], "index": [0, 1], "data": [["a", 1], ["b", 2]]}, ["a", "b"], "'data'"),
        ({"data": {"count": 2, "products": [{"item_id": "a"}, {"item_id": "b"}]}}, ["a", "b"], "'products'"),
        ([{"item_id": "a"}, {"item_id": "b"}], ["a", "b"], ""),
        ({"item_id": "a", "tags": ["x", "y"]}, ["a"], ""),
    ],
)
@pytest.mark.parametrize("indent", [None, 1])
def test_one_json_value_for_the_whole_file(
    tmp_path: Path, value: object, rows: list[str], place: str, indent: int | None
) -> None:
    path = tmp_path / "items.json"
    path.write_text(json.dumps(value, indent=indent))
    if indent and not place and isinstance(value, dict):
        return  # one object over many lines is neither a table nor a line
    items, report = ingest_items(read_source(path))
    assert sorted(items["item_id"].to_pylist()) == rows
    assert [f"taken from {place}" in note for note in report.notes if "one JSON object" in note] == (
        [True] if place else []
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"products": [{"item_id": "a"}, {"item', "not one JSON object"),
        ('{"items": [{"item_id": "a"}], "events": [{"user": "u"}]}', "several tables ('items', 'events')"),
        ('{"item_id": ["a", "b"], "colour": ["red"]}', "column 'colour' has 1 values and 'item_id' 2"),
    ],
)
def test_a_json_value_that_is_no_table_is_refused_with_why(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "items.json"
    path.write_text(text)
    with pytest.raises(InputError, match=re.escape(message)):
        read_source(path)


def test_a_folder_of_parquet_names_the_file_of_each_row(tmp_path: Path) -> None:
    write_table(tmp_path / "part-0.parquet", pa.table({"item_id": ["a", ""]}))
    write_table(tmp_path / "part-1.parquet", pa.table({"item_id": ["", "b"], "title": ["x", "y"]}))
    items, report = ingest_items(read_source(tmp_path))
    assert sorted(items["item_id"].to_pylist()) == ["a", "b"]
    assert [(Path(one.file).name, one.row) for one in report.first(9)] == [
        ("part-0.parquet", 2),
        ("part-1.parquet", 1),
    ]


def test_text_of_parquet_that_is_not_utf8(tmp_path: Path) -> None:
    raw = pa.array([b"a", b"\xff\xfe", b"b"], pa.binary())
    column = pa.Array.from_buffers(pa.string(), 3, raw.buffers())
    items, report = ingest_items(pa.table({"item_id": column}), "raw")
    assert sorted(items["item_id"].to_pylist()) == ["a", "b"]
    assert "not UTF-8" in str(report.first(1)[0]) and "raw, row 2" in str(report.first(1)[0])


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("model.pkl", b"\x80\x04.", "format is not read"),
        ("a.7z", b"7z\xbc\xaf\x27\x1c", "unpack it first"),
        ("cut.csv.zip", b"PK\x03\x04\x14\x00a.csv", "cannot be read"),
        ("a.csv.xz", b"not packed at all", "cannot be read"),
        ("a.tar", b"a.csv\x00\x00\x00\x00", "unpack it first"),
        ("a.parquet", b"PAR1 but not really", "cannot be read"),
        ("a.csv.gz", b"not gzip at all", "cannot be read"),
        ("a.csv", b"", "first line is empty"),
        ("a.csv", b"item_id,item_id\n1,2\n", "two columns are called 'item_id'"),
    ],
)
def test_files_that_cannot_be_read_at_all(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=says) as caught:
        read_source(tmp_path / name)
    assert name in str(caught.value)


def test_paths_that_lead_to_no_table(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_source(tmp_path / "absent.csv")
    with pytest.raises(InputError, match="no Parquet, CSV or JSON file"):
        read_source(tmp_path)


# ---- a workspace's tables


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.create(tmp_path / "ws")


def _csv(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_ingest_twice_changes_nothing(workspace: Workspace, tmp_path: Path) -> None:
    items = _csv(tmp_path / "items.csv", "id,title\na,A\nb,B\n,C\n")
    events = _csv(tmp_path / "events.csv", "user,item,ts\nu,a,1\nu,b,2\nu,zz,3\n")
    first = ingest_files(workspace, items, events)
    before = {path: path.stat().st_mtime_ns for path in first.folder.iterdir()}
    mark = workspace.tables_fingerprint()
    second = ingest_files(workspace, items, events)
    assert (first.reused, second.reused) == (False, True)
    assert second.reports == json.loads(json.dumps(first.reports))
    assert {path: path.stat().st_mtime_ns for path in first.folder.iterdir()} == before
    assert workspace.tables_fingerprint() == mark
    assert workspace.table("items").num_rows == workspace.table("interactions").num_rows == 2
    text = "\n".join(first.lines())
    assert "items: 2 of 3 rows accepted" in text
    assert "events.csv, row 3, column 'item': not among the items" in text
    assert (first.folder / "refused.csv").read_text().count("\n") == 3
    _csv(items, "id,title\na,A2\nb,B\n")
    assert not ingest_files(workspace, items, events).reused
    assert workspace.tables_fingerprint() != mark


def test_other_rules_read_the_same_files_anew(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upgrade that reads a file alike leaves the tables, and what was learnt from them, as they are."""
    items = _csv(tmp_path / "items.csv", "id,title\na,A\nb,-\n")
    events = _csv(tmp_path / "events.csv", "user,item\nu,a\n")
    first = ingest_files(workspace, items, events)
    monkeypatch.setattr(commit, "_rules", lambda: "others")
    again = ingest_files(workspace, items, events)
    assert (again.folder, again.reused, again.changed) == (first.folder, True, False)
    monkeypatch.setattr(commit, "_rules", lambda: "yet others")
    monkeypatch.setattr("tastemaker.schema.values.NULL_WORDS", frozenset(["-"]))
    other = ingest_files(workspace, items, events)
    assert other.folder != first.folder and other.changed
    assert workspace.table("items")["title"].to_pylist().count(None) == 1
    damaged = first.folder / "items.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    workspace.use_tables(first.folder.name.removeprefix("tables-"))
    monkeypatch.setattr(commit, "_rules", lambda: "later")
    assert ingest_files(workspace, items, events).folder not in (first.folder, other.folder)


def test_one_table_alone_keeps_the_other(workspace: Workspace, tmp_path: Path) -> None:
    events = _csv(tmp_path / "events.csv", "user,item,ts\nu,a,1\nu,b,2\n")
    with pytest.raises(InputError, match="no items: give the file of your items"):
        ingest_files(workspace)
    ingest_files(workspace, _csv(tmp_path / "items.csv", "id\na\nb\n"))
    assert workspace.table("interactions").num_rows == 0
    ingest_files(workspace, interactions=events)
    assert (workspace.table("items").num_rows, workspace.table("interactions").num_rows) == (2, 2)
    shrunk = ingest_files(workspace, _csv(tmp_path / "fewer.csv", "id\na\n"))
    assert workspace.table("interactions")["item_id"].to_pylist() == ["a"]
    assert shrunk.reports["interactions"]["refused"] == 1


def test_a_failed_ingest_keeps_the_tables_in_use(workspace: Workspace, tmp_path: Path) -> None:
    ingest_files(workspace, _csv(tmp_path / "items.csv", "id\na\n"))
    mark = workspace.tables_fingerprint()
    with pytest.raises(InputError, match=r"none of its 1 rows can be used; the first: .*bad.csv, row 1"):
        ingest_files(workspace, _csv(tmp_path / "bad.csv", "id,date\n,soon\n"))
    with pytest.raises(InputError, match="strict: nothing was ingested"):
        ingest_files(workspace, _csv(tmp_path / "half.csv", "id,created_at\nb,soon\nc,\n"), settings=STRICT)
    assert workspace.tables_fingerprint() == mark
    damaged = workspace.tables_folder() / "items.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with pytest.raises(ArtifactError, match=r"items.parquet: damaged"):
        workspace.table("items")


@pytest.mark.parametrize(
    ("name", "users", "items", "events"),
    [("amazon-beauty-2014", 22_363, 12_101, 198_502), ("amazon-office-2018", 3_231, 3_459, 22_447)],
)
def test_the_benchmark_files_are_taken_whole(
    workspace: Workspace, name: str, users: int, items: int, events: int
) -> None:
    if not (SHARED / name).exists():
        pytest.skip(f"needs ../shared/data/{name}")
    made = ingest_files(workspace, SHARED / name / "items.parquet", SHARED / name / "interactions.parquet")
    assert [made.reports[table]["refused"] for table in ("items", "interactions")] == [0, 0]
    interactions = workspace.table("interactions")
    assert (workspace.table("items").num_rows, interactions.num_rows) == (items, events)
    assert len(interactions["user_id"].unique()) == users
    raw = read_any(SHARED / name / "interactions.parquet").select(["user_id", "item_id", "position"])
    ours = interactions.select(["user_id", "item_id", "position"]).cast(raw.schema)
    order = [("user_id", "ascending"), ("position", "ascending")]
    assert raw.sort_by(order).equals(ours.sort_by(order))
