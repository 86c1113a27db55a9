"""`tastemaker retention survey`: files in, weights and reports out, exit codes, and refusals that name file,
row and column.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from tastemaker.cli.main import app
from tastemaker.errors import InputError
from tastemaker.store.tables import read_typed


def run(*arguments: str | Path) -> tuple[int, str]:
    """Exit code and stdout; errors meant for people are raised, as `main` catches them."""
    result = CliRunner().invoke(app, ["retention", "survey", *map(str, arguments)])
    if isinstance(result.exception, InputError):
        raise result.exception
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout


@pytest.fixture
def surveys(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    n = 900
    age = rng.integers(18, 70, n)
    answered = rng.random(n) < 1 / (1 + np.exp(-(age - 44) / 20))
    table = pa.table(
        {
            "user_id": [f"00{i}" for i in range(n)],
            "item_id": ["a"] * n,
            "question": ["return"] * n,
            "asked_probability": np.full(n, 0.25),
            "answer": pa.array(
                np.clip(np.round(3 + age / 40 + rng.normal(size=n)), 1, 5).astype(int), mask=~answered
            ),
            "timestamp": ["2025-01-31T12:00:00"] * n,
            "age": age,
            "country": rng.choice(["GB", "SE"], n),
        }
    )
    pc.write_csv(table.drop_columns(["age", "country"]), tmp_path / "surveys.csv")
    pc.write_csv(table.select(["user_id", "age", "country"]), tmp_path / "users.csv")
    return tmp_path


def test_weigh_writes_weights_and_a_report(surveys: Path) -> None:
    out = surveys / "out"
    given = (
        "weigh",
        surveys / "surveys.csv",
        "--users",
        surveys / "users.csv",
        "--covariate",
        "age",
        "--covariate",
        "country",
    )
    code, text = run(*given, "--out", out, "--threshold", "3", "--json", "--quiet")
    report = json.loads(text)
    assert code == 0 and report["verdict"] == "supported" and report["exit_code"] == 0
    weights = pq.read_table(out / "weights.parquet")
    assert weights["user_id"][0].as_py() == "000"  # ids keep their zeros
    assert weights["weight"].to_numpy().sum() == pytest.approx(900 / 0.25)
    page = (out / "report.html").read_text()
    assert page.count("<svg") == 2 and "Tipping point" in page and "Mean answer" in page
    assert (out / "report.md").exists() and (out / "balance.parquet").exists()


def test_weigh_prints_text_and_ends_with_1_when_squares_stay_off(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=1500)
    answered = rng.random(1500) < 1 / (1 + np.exp(1.5 - 1.5 * x**2))
    table = pa.table(
        {
            "user_id": np.arange(1500).astype(str),
            "item_id": ["a"] * 1500,
            "question": ["return"] * 1500,
            "asked_probability": [1.0] * 1500,
            "answer": pa.array(np.full(1500, 4) - (x > 0), mask=~answered),
            "timestamp": pa.nulls(1500, pa.timestamp("us", tz="UTC")),
            "x": x,
        }
    )
    pq.write_table(table, tmp_path / "s.parquet")
    code, text = run(
        "weigh", tmp_path / "s.parquet", "--covariate", "x", "--out", tmp_path / "out", "--quiet"
    )
    assert code == 1 and "**Verdict: not supported.**" in text


@pytest.mark.parametrize(
    ("change", "more", "words"),
    [
        (("0.25", "0"), [], r"surveys.csv: row 1, column 'asked_probability' is 0"),
        (("2025-01-31T12:00:00", "soon"), [], r"surveys.csv: row 1, column 'timestamp' is 'soon'"),
        (("001", "000"), [], r"surveys.csv: row 2 repeats row 1"),
        (("return", "return"), ["--question", "joy"], "question 'joy' was never asked"),
        (("return", "return"), ["--column", "answer"], "--column answer: write it as name=value"),
        (("return", "return"), ["--covariate", "height"], "column 'height' is missing"),
    ],
)
def test_bad_input_is_named(surveys: Path, change: tuple[str, str], more: list[str], words: str) -> None:
    file = surveys / "surveys.csv"
    file.write_text(file.read_text().replace(*change, 1))
    arguments = [
        "weigh",
        file,
        "--users",
        surveys / "users.csv",
        "--covariate",
        "age",
        "--out",
        surveys / "out",
        "--quiet",
    ]
    with pytest.raises(InputError, match=words):
        run(*arguments, *more)


def test_answers_to_what_was_never_logged_are_refused(surveys: Path) -> None:
    pc.write_csv(pa.table({"user_id": ["000"], "item_id": ["a"]}), surveys / "log.csv")
    with pytest.raises(InputError, match=r"row 2: user '001' answers about item 'a', which was never logged"):
        run(
            "weigh",
            surveys / "surveys.csv",
            "--impressions",
            surveys / "log.csv",
            "--covariate",
            "age",
            "--quiet",
        )


def long_answers(path: Path) -> Path:
    rng = np.random.default_rng(2)
    n = 600
    value = rng.normal(size=n)
    cut = [-1.28, -0.77, -0.15, 0.7]
    rows = {"user_id": [], "item_id": [], "question": [], "answer": [], "timestamp": [], "like": []}
    like = (rng.random(n) < 1 / (1 + np.exp(2 - 0.4 * value))).astype(int)
    for question, day in (("return", 0), ("worth", 0), ("return", 7)):
        rows["user_id"] += [f"u{i}" for i in range(n)]
        rows["item_id"] += ["a"] * n
        rows["question"] += [question] * n
        rows["answer"] += (1 + np.digitize(0.8 * value + 0.6 * rng.normal(size=n), cut)).tolist()
        rows["timestamp"] += [day] * n
        rows["like"] += like.tolist()
    time = pa.array(np.array(rows.pop("timestamp")) * 86_400_000_000, pa.timestamp("us", tz="UTC"))
    pq.write_table(
        pa.table(rows | {"asked_probability": np.ones(3 * n)}).append_column("timestamp", time), path
    )
    return path


def test_validate_takes_a_survey_log_with_repeats(tmp_path: Path) -> None:
    file = long_answers(tmp_path / "answers.parquet")
    asked = ("--question", "return", "--question", "worth", "--event", "like")
    given = ("validate", file, *asked, "--out", tmp_path / "v", "--quiet")
    code, text = run(*given, "--json")
    report = json.loads(text)
    assert code == 0 and report["verdict"] == "supported"
    titles = [table["title"] for table in report["tables"]]
    assert "Test-retest" in titles and "Correlation without measurement error" in titles
    assert (tmp_path / "v" / "pairs.parquet").exists() and (tmp_path / "v" / "report.html").exists()


def test_validate_a_battery(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    factors = rng.multivariate_normal([0, 0], [[1, 0.3], [0.3, 1]], size=500)
    items = np.hstack(
        [factors[:, [0]] + 0.5 * rng.normal(size=(500, 3)), factors[:, [1]] + 0.5 * rng.normal(size=(500, 3))]
    )
    columns = {f"q{i}": column for i, column in enumerate(items.T)}
    pq.write_table(
        pa.table(columns | {"country": rng.choice(["GB", "SE"], 500)}), tmp_path / "people.parquet"
    )
    given = ("validate", tmp_path / "people.parquet", "--out", tmp_path / "b", "--quiet", "--by", "country")
    code, text = run(*given, "--block", "value=q0,q1,q2", "--block", "joy=q3,q4,q5")
    assert code == 0 and "HTMT of value and joy" in text and "scalar" in text
    with pytest.raises(InputError, match="factor 'value' has 1 item"):
        run(*given, "--block", "value=q0", "--block", "joy=q3,q4,q5")


def test_an_item_worded_the_other_way_round_is_named_and_can_be_turned(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    mood = rng.normal(size=(500, 1))
    items = np.clip(np.round(3 + mood + 0.8 * rng.normal(size=(500, 4))), 1, 5).astype(int)
    items[:, 3] = 6 - items[:, 3]
    table = pa.table({f"v{i}": column for i, column in enumerate(items.T)})
    pq.write_table(table, tmp_path / "people.parquet")
    given = ("validate", tmp_path / "people.parquet", "--out", tmp_path / "b", "--quiet")
    block = ("--block", "value=v0,v1,v2,v3")
    code, text = run(*given, *block)
    assert code == 1 and "not supported" in text and "alpha of value" in text and "--reverse v3" in text
    code, text = run(*given, *block, "--reverse", "v3")
    assert code == 0 and "supported" in text and "--reverse" not in text
    with pytest.raises(InputError, match="'v9' cannot be reversed, it is in no block: v0, v1, v2, v3"):
        run(*given, *block, "--reverse", "v9")
    answers = pa.table({"user_id": np.arange(500), "return": items[:, 0], "worth": items[:, 3]})
    pq.write_table(answers, tmp_path / "answers.parquet")
    asked = ("validate", tmp_path / "answers.parquet", "--out", tmp_path / "q", "--quiet")
    asked += ("--question", "return", "--question", "worth")
    code, text = run(*asked)
    assert code == 1 and "'worth' runs against 'return'" in text and "--reverse" in text
    assert run(*asked, "--reverse", "worth")[0] == 0


def test_columns_of_text_get_their_types(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("user_id,answered,score,when,name\n007,true,1.5,x,a\n008,false,,y,b\n")
    table = read_typed(tmp_path / "t.csv")
    assert table.to_pydict() == {
        "user_id": ["007", "008"],
        "answered": [1.0, 0.0],
        "score": [1.5, None],
        "when": ["x", "y"],
        "name": ["a", "b"],
    }


def test_help_teaches_with_an_example() -> None:
    for command in ("weigh", "validate"):
        code, text = run(command, "--help")
        assert code == 0 and "Example" in text and "--json" in text


def test_words_for_nothing_padded_ids_and_two_spellings(
    surveys: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table, about = (
        read_typed(surveys / "surveys.csv"),
        [
            "--users",
            surveys / "users.csv",
            "--covariate",
            "age",
        ],
    )
    answers = ["NA" if value is None else str(value) for value in table["answer"].to_pylist()]
    users = [f" {user} " if place == 3 else user for place, user in enumerate(table["user_id"].to_pylist())]
    written = table.set_column(table.column_names.index("answer"), "answer", pa.array(answers))
    written = written.set_column(written.column_names.index("user_id"), "user_id", pa.array(users))
    pc.write_csv(written, tmp_path / "r.csv")
    code, text = run("weigh", tmp_path / "r.csv", *about, "--out", tmp_path / "w", "--json", "-q")
    assert code == 0 and json.loads(text)["verdict"] == "supported"
    messages = [record.getMessage() for record in caplog.records]
    assert any("read as empty ('NA')" in message for message in messages)
    assert any(
        "1 cell has blanks around them, or characters that nobody sees (the first is ' 003 ')" in message
        for message in messages
    )
    questions = ["Return" if place % 2 else "return" for place in range(table.num_rows)]
    pc.write_csv(
        table.set_column(table.column_names.index("question"), "question", pa.array(questions)),
        tmp_path / "q.csv",
    )
    with pytest.raises(InputError, match="'return' and 'Return', two spellings of one value"):
        run("weigh", tmp_path / "q.csv", *about, "--out", tmp_path / "v")


def test_margins_are_raked_to(surveys: Path, tmp_path: Path) -> None:
    (tmp_path / "margins.csv").write_text("covariate,value,share\ncountry,GB,70\ncountry,SE,30\n")
    about = ["--users", surveys / "users.csv", "--covariate", "age", "--margins", tmp_path / "margins.csv"]
    words = ["weigh", surveys / "surveys.csv", *about, "--out", tmp_path / "w"]
    code, text = run(*words, "--json", "-q")
    report = json.loads(text)
    assert code == 0 and "raked to the margins" in [row[0] for row in report["tables"][2]["rows"]]
    weights = pq.read_table(tmp_path / "w" / "weights.parquet")
    raked, country = weights["raked"].to_numpy(), np.array(weights["country"].to_pylist())
    assert raked[country == "GB"].sum() / raked.sum() == pytest.approx(0.7)
