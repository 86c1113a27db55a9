"""The reader of text tables: every record read or refused, whatever quotes, line ends, encodings and
delimiters do.
"""

import csv
import gzip
import io
import json
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tastemaker.errors import InputError
from tastemaker.store.tables import read_any, read_source, read_typed

ANY = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
CELL = st.text(st.sampled_from('ab1,;|\t"\n \\é'), max_size=6)


def source_of(path: Path, content: bytes | str, **options: str):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_source(path, **options)


@ANY
@given(
    st.lists(st.tuples(CELL, CELL, CELL), max_size=8),
    st.sampled_from(",;|\t"),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    st.booleans(),
)
def test_what_a_writer_quotes_comes_back(
    tmp_path: Path, rows: list[tuple[str, str, str]], delimiter: str, end: str, quoting: int, last: bool
) -> None:
    quoting = csv.QUOTE_ALL if end == "\r" else quoting  # the writer leaves \n bare there
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=delimiter, lineterminator=end, quoting=quoting)
    writer.writerows([("id", "b", "c"), *rows])
    content = stream.getvalue() if last else stream.getvalue().removesuffix(end)
    source = source_of(tmp_path / "a.csv", content)
    assert source.about["delimiter"] == delimiter and not source.unreadable
    cells = [tuple(cell or "" for cell in row.values()) for row in source.table.to_pylist()]
    line_ends = [tuple(cell.replace("\r\n", "\n").replace("\r", "\n") for cell in row) for row in cells]
    assert line_ends == rows or cells == rows


LINE = st.lists(st.text(st.sampled_from('a1" '), max_size=4), min_size=1, max_size=5).map(",".join)


@example(lines=['"" '], end="\n")
@ANY
@given(st.lists(LINE, max_size=12), st.sampled_from(["\n", "\r\n"]))
def test_lone_quotes_lose_no_line(tmp_path: Path, lines: list[str], end: str) -> None:
    source = source_of(tmp_path / "a.csv", end.join(["id,b,c", *lines]))
    filled = [line for line in lines if line]
    ids = [row["id"] for row in source.table.to_pylist()]
    numbers = sorted([*source.rows.tolist(), *(refusal.row for refusal in source.unreadable)])
    assert numbers == list(range(1, len(numbers) + 1)) and len(ids) == len(source.rows)
    several = sum(str(cell).count("\n") for row in source.table.to_pylist() for cell in row.values())
    if not source.unreadable:  # a refused record of several lines hides how many
        assert len(numbers) == len(filled) - several or several


@pytest.mark.parametrize("at", [[5], [5, 15], [5, 15, 16], [19], [0]])
@pytest.mark.parametrize("cell", ['"5 stars', '5 stars"', '12" vinyl', '"', '""', '" "5', '"a"b'])
@pytest.mark.parametrize("last", [True, False])
def test_every_row_around_a_lone_quote_is_read(tmp_path: Path, at: list[int], cell: str, last: bool) -> None:
    rows = [[f"u{n}", cell if n in at else "ok", str(n)] for n in range(20)]
    if last:
        rows = [[a, c, b] for a, b, c in rows]
    source = source_of(tmp_path / "a.csv", "id,b,c\n" + "".join(",".join(row) + "\n" for row in rows))
    assert [row["id"] for row in source.table.to_pylist()] == [row[0] for row in rows]
    assert source.table["b" if last else "c"].to_pylist() == [str(n) for n in range(20)]
    if cell == '"5 stars' and at == [5, 15]:
        assert source.notes == ("2 quotes that are never closed were taken as characters (row 6, 16)",)


def test_swallowed_rows_between_two_sound_quotes(tmp_path: Path) -> None:
    rows = [["u0", "1", '"5 stars'], *([f"u{n}", "1", "ok"] for n in range(1, 9)), ["u9", "1", '5 stars"']]
    source = source_of(tmp_path / "a.csv", "id,b,c\n" + "".join(",".join(row) + "\n" for row in rows))
    assert source.table.num_rows == 10 and source.table["c"][0].as_py() == '"5 stars'


def test_real_line_breaks_stay(tmp_path: Path) -> None:
    source = source_of(
        tmp_path / "a.csv", 'id,text\n1,"one\ntwo, three\n\nfour"\n2,"say \\"hi\\", then go"\n3, "a, b" \n'
    )
    assert source.table["text"].to_pylist() == ["one\ntwo, three\n\nfour", 'say "hi", then go', "a, b"]


@pytest.mark.parametrize(
    ("content", "ids", "refused"),
    [
        ("id,b\n1,x\n\n\n2,y\n\n", ["1", "2"], []),
        ("id,b\r\n1,x\n2,y\r3,z\r\n", ["1", "2", "3"], []),
        ("id,b\n1,x\nid,b\n2,y\n", ["1", "2"], [(2, "(whole row)")]),
        ("id,b\n1,x,9\n2\n3,y\n", ["3"], [(1, "(whole row)"), (2, "(whole row)")]),
        ("id,b\n1,x\x00y\n2,y\n", ["1", "2"], []),
        ("\ufeffid;b\n1;Smith, John\n2;Doe, Jane\n", ["1", "2"], []),
        ("id|b\n1|x\n", ["1"], []),
        (",id,b\n0,1,x\n1,2,y\n", ["1", "2"], []),
        ("id,b\n", [], []),
        ("id,b", [], []),
    ],
)
def test_lines_of_every_kind(
    tmp_path: Path, content: str, ids: list[str], refused: list[tuple[int, str]]
) -> None:
    source = source_of(tmp_path / "a.csv", content)
    assert source.table["id"].to_pylist() == ids
    assert [(refusal.row, refusal.column) for refusal in source.unreadable] == refused


@pytest.mark.parametrize(
    ("encoding", "label"),
    [("cp1252", "cp1252"), ("latin-1", "cp1252"), ("utf-16", "utf-16"), ("utf-8-sig", "utf-8")],
)
@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_encodings_are_decided_for_the_whole_file(
    tmp_path: Path, encoding: str, label: str, suffix: str
) -> None:
    rows = [{"id": f"i{n}", "title": "Café Ölçü".replace("ç", "c") if n % 3 else "plain"} for n in range(9)]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if suffix == ".csv":
        text = "id,title\n" + "".join(f"{row['id']},{row['title']}\n" for row in rows)
    source = source_of(tmp_path / f"a{suffix}", text.encode(encoding))
    assert source.table.to_pylist() == rows and source.about["encoding"] == label
    assert len(source.notes) == (label == "cp1252")
    assert (
        source_of(tmp_path / f"a{suffix}", text.encode(encoding), encoding=encoding).table.to_pylist() == rows
    )


def test_a_wrong_encoding_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="encoding 'klingon' is unknown; write utf-8"):
        source_of(tmp_path / "a.csv", "id\n1\n", encoding="klingon")
    with pytest.raises(InputError, match=r"is not utf-8 .*; give another --encoding"):
        source_of(tmp_path / "a.csv", b"id\n\xe9\n", encoding="utf-8")


def test_one_damaged_line_does_not_make_a_file_latin(tmp_path: Path) -> None:
    lines = [f"{n},café".encode() for n in range(20)]
    lines[7] = b"7,caf\xe9"
    source = source_of(tmp_path / "a.csv", b"id,b\n" + b"\n".join(lines))
    assert source.table["b"].to_pylist() == ["café"] * 7 + [None] + ["café"] * 12
    assert not source.unreadable and [*map(int, source.damaged["b"].nonzero()[0])] == [7]
    with pytest.raises(InputError, match=r"a\.csv, row 8, column 'b': the text is not UTF-8"):
        read_any(tmp_path / "a.csv")


def test_a_tsv_file_with_commas_and_a_typed_header_with_a_column_more(tmp_path: Path) -> None:
    source = source_of(tmp_path / "a.tsv", b"user_id:token,item_id:token,rating:float,note\n1,2,3.5,good\n")
    assert source.table.to_pylist() == [{"user_id": "1", "item_id": "2", "rating": "3.5", "note": "good"}]
    single = source_of(tmp_path / "one.tsv", b"item_id\n1\n")
    assert single.table.column_names == ["item_id"] and single.table.num_rows == 1


def test_the_atomic_files_of_recbole(tmp_path: Path) -> None:
    text = "item_id:token\tgenre:token_seq\tyear:float\n1\tComedy Drama\t1999.0\n2\t\t2000.0\n"
    source = source_of(tmp_path / "ml.item", text)
    assert source.table.to_pylist() == [
        {"item_id": "1", "genre": ["Comedy", "Drama"], "year": "1999.0"},
        {"item_id": "2", "genre": None, "year": "2000.0"},
    ]


def test_an_array_of_objects(tmp_path: Path) -> None:
    source = source_of(tmp_path / "a.json", json.dumps([{"id": 1}, 5, {"id": 2}], indent=1))
    assert source.table["id"].to_pylist() == [1, 2] and source.about["format"] == "json"
    assert [(refusal.row, refusal.reason) for refusal in source.unreadable] == [(2, "not an object")]


def test_ids_and_numbers_of_typed_tables(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "user_id,item_id,answer,note,timestamp\n1.0,007,4,x,2024-01-02\n2.0,12,,1,2024-01-03T04:05:06Z\n"
    )
    assert [list(row.values())[:4] for row in read_typed(path).to_pylist()] == [
        ["1", "007", 4.0, "x"],
        ["2", "12", None, "1"],
    ]


def _wide(path: Path) -> None:
    path.write_text("item_id," + ",".join(f"c{n}" for n in range(200_000)) + "\n" + "1," * 200_000 + "1\n")


def _bomb(path: Path) -> None:
    path.write_bytes(gzip.compress(b"item_id,title\n" + b"1,a\n" * 50_000_000, 1))


def _bomb_of_rows(path: Path) -> None:
    pq.write_table(pa.table({"item_id": pa.array(["a"] * 10_000_000).dictionary_encode()}), path)


def _wide_objects(path: Path) -> None:
    path.write_text("".join(json.dumps({f"c{n}": 1, "item_id": str(n)}) + "\n" for n in range(10_000)))


def _wide_parquet(path: Path) -> None:
    pq.write_table(pa.table({f"c{n}": [1] for n in range(5000)}), path)


def _same_text(path: Path) -> None:
    same = pa.DictionaryArray.from_arrays(pa.array(np.zeros(100_000, np.int32)), pa.array(["x" * 200_000]))
    pq.write_table(pa.table({"item_id": pa.array(range(100_000)), "title": same}), path)


def _bomb_of_lists(path: Path) -> None:
    ends = pa.array([0, 10_000_000], pa.int32())
    pq.write_table(
        pa.table({"a": pa.ListArray.from_arrays(ends, pa.array(np.zeros(10_000_000, np.int8)))}), path
    )


def _same_text_in_lists(path: Path) -> None:
    same = pa.DictionaryArray.from_arrays(pa.array(np.zeros(100_000, np.int32)), pa.array(["x" * 200_000]))
    lists = pa.ListArray.from_arrays(pa.array([0, 60_000, 100_000], pa.int32()), same)
    with pq.ParquetWriter(path, pa.schema({"title": lists.type})) as writer:
        writer.write_table(pa.table({"title": pa.array([None], lists.type)}))  # no dictionary in this part
        writer.write_table(pa.table({"title": lists}))


def _same_plain_text(path: Path) -> None:
    pq.write_table(pa.table({"title": ["x" * 20_000] * 10_000}), path)


def _long_record(path: Path) -> None:
    path.write_text("item_id,title\n1," + "a" * (17 << 20) + "\n")


@pytest.mark.parametrize(
    ("name", "make", "says"),
    [
        ("wide.csv", _wide, "more than 4,096 columns; drop"),
        ("bomb.csv.gz", _bomb, "unpacks to more than"),
        ("rows.parquet", _bomb_of_rows, "10,000,000 rows of 1 columns with"),
        ("wide.jsonl", _wide_objects, "more than 4,096 columns by row"),
        ("wide.parquet", _wide_parquet, "5,000 columns, more than"),
        ("same.parquet", _same_text, "column 'title' holds 19,073 MiB of text in a file of"),
        ("lists.parquet", _bomb_of_lists, "1 rows of 1 columns with 10,000,000 values in"),
        ("deep.parquet", _same_text_in_lists, "column 'title' holds 19,073 MiB of text in a file of"),
        ("plain.parquet", _same_plain_text, "column 'title' holds 190 MiB of text in a file of"),
        ("long.csv", _long_record, "record 1 is longer than 16 MiB"),
    ],
)
def test_budgets_end_early_in_one_line(tmp_path: Path, name: str, make, says: str) -> None:
    make(tmp_path / name)
    began = time.process_time()
    with pytest.raises(InputError, match=says) as caught:
        read_any(tmp_path / name)
    assert time.process_time() - began < 5 and "\n" not in str(caught.value) and name in str(caught.value)


def test_a_guess_is_logged_where_no_report_is_printed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"id,b\n1,caf\xe9\n")
    assert read_any(path)["b"].to_pylist() == ["café"]
    assert "a.csv: not UTF-8 from line 2 on: the whole file was read as cp1252" in caplog.text


TITLES = {
    "cp1251": ("Война и мир, Лев Толстой", "Преступление и наказание", "Мастер и Маргарита", "Анна Каренина"),
    "koi8_r": ("Война и мир, Лев Толстой", "Преступление и наказание", "Мастер и Маргарита", "Анна Каренина"),
    "gb18030": ("红楼梦,曹雪芹", "三国演义", "西游记", "水浒传,施耐庵"),
    "big5": ("紅樓夢,曹雪芹", "三國演義", "西遊記", "聊齋誌異,蒲松齡"),
    "cp932": ("吾輩は猫である", "こころ", "銀河鉄道の夜", "人間失格", "ソラリスの陽のもとに|表"),
    "euc_jp": (
        "吾輩は猫である",
        "こころの手紙",
        "銀河鉄道の夜",
        "人間失格",
        "雪国の朝",
        "羅生門の鬼",
        "細雪の頃",
    ),
    "cp949": ("태백산맥, 조정래", "토지, 박경리", "채식주의자", "소년이 온다"),
    "cp1253": ("Οδύσσεια, Όμηρος", "Ιλιάδα", "Αλέξης Ζορμπάς", "Αντιγόνη"),
    "cp1250": ("Książka o żółwiach", "Łódź i okolice", "Podróże małe i duże", "Święta w górach"),
    "iso8859_2": ("Książka o żółwiach", "Łódź i okolice", "Podróże małe i duże", "Święta w górach"),
    "cp1254": ("Kırmızı ışık", "Gümüş yüzük", "İstanbul hatırası", "dağ başında çocuk"),
    "cp1252": ("À la recherche", "L'ÉTÉ", "Größe", "El niño", "Œuvres à l'état brut", "ÅÄÖ", "Ødegård"),
}


@pytest.mark.parametrize(
    ("encoding", "titles"),
    [
        ("cp1250", ("Příliš žluťoučký kůň", "Česká kuchařka", "úpěl ďábelské ódy")),
        ("cp1250", ("Árvíztűrő tükörfúrógép", "Magyar nyelvű könyvek")),
        ("cp1252", ("Það er gott að lesa", "Nýtt líf", "Sögur af fólki", "Þrjár bækur")),
        ("cp1252", ("Bakstein 5m³ rød", "Sand 2m³", "Grus 3m³", "Jord 4m³", "Leca 1m³")),
    ],
    ids=["Czech", "Hungarian", "Icelandic", "cubic metres"],
)
def test_a_language_is_told_by_its_letters(tmp_path: Path, encoding: str, titles: tuple[str, ...]) -> None:
    rows = "".join(f"i{n};{title}\n" for n, title in enumerate(titles))
    (tmp_path / "items.csv").write_bytes(f"item_id;title\n{rows}".encode(encoding))
    source = read_source(tmp_path / "items.csv")
    assert source.about["encoding"] == encoding and source.table["title"].to_pylist() == list(titles)


@pytest.mark.parametrize("encoding", TITLES)
def test_an_alphabet_is_told_by_its_letters(tmp_path: Path, encoding: str) -> None:
    """Shops export what their spreadsheet writes; all was read as Western European, titles without a word."""
    titles = [f"{title} {n}" for n in range(20) for title in TITLES[encoding]]
    rows = "".join(f'i{n};"{title}"\n' for n, title in enumerate(titles))
    (tmp_path / "items.csv").write_bytes(f"item_id;title\n{rows}".encode(encoding))
    source = read_source(tmp_path / "items.csv")
    assert source.about["encoding"] == encoding and source.table["title"].to_pylist() == titles
    kind = "Western European" if encoding == "cp1252" else "guessed from its letters"
    assert f"was read as {encoding} ({kind})" in source.notes[0] and "--encoding" in source.notes[0]
    (tmp_path / "items.jsonl").write_bytes(f'{{"item_id": "i1", "title": "{titles[0]}"}}\n'.encode(encoding))
    assert read_source(tmp_path / "items.jsonl").table["item_id"].to_pylist() == ["i1"]


@pytest.mark.parametrize("roles", ["row=1\tcol=1\tclass", "meta\tmeta\t", "\t\tclass"])
def test_the_lines_of_types_in_a_tab_of_orange_are_no_rows(tmp_path: Path, roles: str) -> None:
    for types in ("c\tc\tc", "discrete\tstring\tcontinuous"):
        text = f"user\tmovie\tscore\n{types}\n{roles}\n1\t7\t2.5\n2\t8\t4\n"
        (tmp_path / "ratings.tab").write_text(text)
        assert read_any(tmp_path / "ratings.tab").to_pylist() == [
            {"user": "1", "movie": "7", "score": "2.5"},
            {"user": "2", "movie": "8", "score": "4"},
        ]
    (tmp_path / "grades.tab").write_text("user\tgrade\nc\td\nt\tc\n")  # people called c and t
    assert read_any(tmp_path / "grades.tab").num_rows == 2
