"""What was reported of other survey packages, from the command line: codes for no answer in a battery, items
named by a number, and asking probabilities that let one question stand for all.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from tastemaker.cli.main import app
from tastemaker.errors import InputError, ModelError
from tastemaker.flows.retention.survey import validate_battery

N = 400
VALUE_JOY = {"value": ("v1", "v2", "v3", "v4"), "joy": ("j1", "j2", "j3")}
BLOCKS = ("--block", "value=v1,v2,v3,v4", "--block", "joy=j1,j2,j3")


def run(command: str, table: pl.DataFrame, folder: Path, *words: str) -> dict[str, Any]:
    """What a survey command returns as JSON."""
    table.write_csv(folder / "given.csv")
    out = ("--out", str(folder / "out"), "--json", "-q")
    result = CliRunner().invoke(
        app, ["retention", "survey", command, str(folder / "given.csv"), *words, *out]
    )
    if isinstance(result.exception, InputError):
        raise result.exception
    return dict(json.loads(result.stdout))


def answers() -> pl.DataFrame:
    """Four items of one thing and three of another, from 1 to 5."""
    rng = np.random.default_rng(3)
    value = rng.standard_normal(N)
    joy = 0.4 * value + 0.9 * rng.standard_normal(N)
    return pl.DataFrame(
        {
            name: np.digitize(
                0.9 * (value if name[0] == "v" else joy) + 0.6 * rng.standard_normal(N), [-1, -0.3, 0.4, 1]
            )
            + 1
            for name in ("v1", "v2", "v3", "v4", "j1", "j2", "j3")
        }
    )


def one_in_twenty(name: str, value: int) -> pl.Expr:
    """One answer in twenty to an item is `value`."""
    return pl.when(pl.int_range(pl.len()) % 20 == 0).then(value).otherwise(name).alias(name)


def test_a_battery_without_codes_is_supported_on_any_scale(tmp_path: Path) -> None:
    for shift in (0, -1, 5):
        report = run("validate", answers() + shift, tmp_path, *BLOCKS)
        assert report["verdict"] == "supported", report["because"]


@pytest.mark.parametrize("code", [9, 99, 999, -9, -1, 0])
@pytest.mark.parametrize("turned", [(), ("--reverse", "v2")])
def test_a_code_for_no_answer_is_named(tmp_path: Path, code: int, turned: tuple[str, ...]) -> None:
    """9 counted as more than 5: "supported", 13 of 13."""
    table = answers()
    if turned:
        table = table.with_columns(v2=6 - pl.col("v2"))
    table = table.with_columns(one_in_twenty("v2", code))
    report = run("validate", table, tmp_path, *BLOCKS, *turned)
    assert report["verdict"] == "cannot tell"
    assert f"{code} may be a code for no answer, in 'v2' (20 of 400)" in report["because"]


def test_a_code_in_every_item_is_named(tmp_path: Path) -> None:
    table = answers()
    report = run(
        "validate", table.with_columns(one_in_twenty(name, 9) for name in table.columns), tmp_path, *BLOCKS
    )
    assert "'v1' (20 of 400), 'v2' (20 of 400)" in report["because"]


def test_people_left_out_are_counted_on_the_page(tmp_path: Path) -> None:
    fifth = pl.when(pl.int_range(pl.len()) % 5 == 0).then(None).otherwise("v1").alias("v1")
    report = run("validate", answers().with_columns(fifth), tmp_path, *BLOCKS)
    assert any("80 people with an empty item are left out" in limit for limit in report["limits"])


def test_items_and_groups_are_called_by_their_names(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="items 'v1' and 'v2' repeat each other"):
        run("validate", answers().with_columns(v2="v1"), tmp_path, *BLOCKS)
    with pytest.raises(InputError, match="item 'v1' is in two blocks"):
        run("validate", answers(), tmp_path, "--block", "value=v1,v2,v3,v4", "--block", "joy=j1,j2,v1")
    few = pl.when(pl.int_range(pl.len()) < 5).then(pl.lit("x")).otherwise(pl.lit("y")).alias("country")
    with pytest.raises(InputError, match="5 people of country=x answered all items: too few"):
        run("validate", answers().with_columns(few), tmp_path, *BLOCKS, "--by", "country")


def asked(smallest: float) -> pl.DataFrame:
    """Two groups of whom one answers more and is happier; one question of `smallest` asking probability."""
    rng = np.random.default_rng(0)
    happy = rng.random(N) < 0.5
    table = pl.DataFrame(
        {
            "user_id": [f"u{i}" for i in range(N)],
            "item_id": "i",
            "question": "return",
            "asked_probability": [smallest, *[0.5] * (N - 1)],
            "answer": rng.integers(1, 4, N) + 2 * happy,
            "group": np.where(happy, "a", "b"),
        }
    )
    answered = pl.Series(rng.random(N) < np.where(happy, 0.7, 0.3))
    return table.with_columns(answer=pl.when(answered).then("answer"))


def test_one_question_that_stands_for_all_is_named(tmp_path: Path) -> None:
    """The mean was that of its group, in an interval that did not hold the truth, "supported"."""
    words = ("--covariate", "group")
    assert run("weigh", asked(0.5), tmp_path, *words)["verdict"] == "supported"
    report = run("weigh", asked(1e-6), tmp_path, *words)
    assert report["verdict"] == "cannot tell"
    assert "400 questions asked count as 1.0" in report["because"]


@pytest.mark.parametrize(
    ("column", "cell", "named"),
    [
        ("return", 99, "column 'return' is 99; answers are whole numbers from 1 to 5"),
        ("weight", -1.0, "column 'weight' is '-1.0'"),
        ("weight", None, "column 'weight' is empty"),
        ("liking", None, "column 'liking' is empty"),
    ],
)
def test_a_proxy_names_the_row_of_the_table_whoever_has_it(
    tmp_path: Path, column: str, cell: float | None, named: str
) -> None:
    """People are dealt out to fit, calibrate and judge: 99 was a good answer in two of the parts, and the row
    was counted within the part.
    """
    rng = np.random.default_rng(0)
    rows = pl.DataFrame(
        {
            "user_id": [f"u{i}" for i in range(N)],
            "return": rng.integers(1, 6, N),
            "liking": rng.standard_normal(N),
            "weight": 1.0,
        }
    )
    for row in (9, 10, 11, 12, 13, 14):
        there = pl.when(pl.int_range(pl.len()) == row).then(cell).otherwise(column).alias(column)
        rows.with_columns(there).write_csv(tmp_path / "rows.csv")
        words = ("--feature", "liking", "--weight", "weight", "--out", tmp_path / f"out{row}", "-q")
        given = ("retention", "proxy", "fit", tmp_path / "rows.csv", *words)
        result = CliRunner().invoke(app, list(map(str, given)))
        assert isinstance(result.exception, InputError)
        assert f"row {row + 1}, {named}" in str(result.exception)


def test_one_answer_for_all_days_tells_nothing_inside_users(tmp_path: Path) -> None:
    """It was "two features say the same; leave one out", where no feature was given."""
    rng = np.random.default_rng(0)
    who = np.repeat(np.arange(80), 5)
    table = pl.DataFrame(
        {
            "user_id": [f"u{user}" for user in who],
            "item_id": [f"i{item}" for item in rng.integers(0, 20, 400)],
            "day": [f"2026-03-0{1 + row % 5}" for row in range(400)],
            "return": rng.integers(1, 6, 80)[who],
            "returned": rng.integers(0, 2, 400),
        }
    )
    table.write_csv(tmp_path / "rows.csv")
    words = (
        "retention",
        "mediation",
        str(tmp_path / "rows.csv"),
        "--out",
        str(tmp_path / "out"),
        "--json",
        "-q",
    )
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 1
    assert json.loads(result.stdout)["verdict"] == "cannot tell"
    assert "every user gives one answer only" in json.loads(result.stdout)["because"]


def questions(people: int = 100) -> pl.DataFrame:
    """Three questions that agree, three times a person, and an event that has nothing to do with them."""
    rng = np.random.default_rng(2)
    felt = rng.standard_normal(3 * people)
    asked = {
        name: np.clip(np.round(3 + felt + rng.standard_normal(3 * people)), 1, 5).astype(int)
        for name in ("return", "worth", "enjoy")
    }
    who = {"user_id": np.repeat([f"u{i}" for i in range(people)], 3), "item_id": "i"}
    return pl.DataFrame({**who, **asked, "like": rng.integers(0, 2, 3 * people)})


ASKED = ("--question", "return", "--question", "worth", "--question", "enjoy", "--event", "like")


def test_what_cannot_be_told_of_questions_is_not_supported(tmp_path: Path) -> None:
    """An event that never varies was "no engagement event, supported"; 99 weakened a correlation unseen; and
    the answers of one person had intervals of no width.
    """
    assert run("validate", questions(), tmp_path, *ASKED)["verdict"] == "supported"
    same = run("validate", questions().with_columns(like=1), tmp_path, *ASKED)
    assert same["verdict"] == "cannot tell"
    assert "like is the same on every row" in same["because"]
    coded = run("validate", questions().with_columns(one_in_twenty("worth", 99)), tmp_path, *ASKED)
    assert coded["verdict"] == "cannot tell"
    assert "99 may be a code for no answer, in 'worth' (15 of 300)" in coded["because"]
    report = run("validate", questions().with_columns(user_id=pl.lit("u")), tmp_path, *ASKED)
    assert report["verdict"] == "cannot tell"
    assert "too few units: 1 person" in report["because"]


def surveyed(n: int = 900) -> pl.DataFrame:
    """People of ages and countries, half of whom answered; and who they are."""
    rng = np.random.default_rng(1)
    age, answered = rng.integers(18, 70, n), rng.random(n) < 0.5
    answer = np.clip(np.round(rng.normal(3.2, 1.1, n)), 1, 5)
    return pl.DataFrame(
        {
            "user_id": [f"u{row}" for row in range(n)],
            "item_id": "i",
            "question": "return",
            "timestamp": "2024-01-01T10:00:00Z",
            "asked_probability": 0.5,
            "answer": [int(value) if given else None for value, given in zip(answer, answered, strict=True)],
            "age": age,
            "country": rng.choice(["de", "fr", "it"], n),
        }
    )


def shown(seed: int = 0, n: int = 400) -> pl.DataFrame:
    """Two answers each of people, on two days, that go with returning; `known` is a feature."""
    rng = np.random.default_rng(seed)
    trait = np.repeat(rng.normal(size=n // 2), 2)
    answer = np.clip(np.round(3 + trait + 0.7 * rng.normal(size=n)), 1, 5)
    returned = (rng.random(n) < 1 / (1 + np.exp(-0.9 * (answer - 3)))).astype(int)
    named = {"user_id": [f"u{row // 2}" for row in range(n)], "item_id": "i", "day": np.arange(n) % 2}
    named |= {"request_id": [f"r{row}" for row in range(n)], "known": rng.normal(size=n)}
    return pl.DataFrame(named | {"return": answer.astype(int), "returned": returned})


def retain(command: str, table: pl.DataFrame, folder: Path, *words: str) -> dict[str, Any]:
    """What `retention increment` or `mediation` returns as JSON."""
    table.write_csv(folder / "rows.csv")
    out = ("--out", str(folder / "out"), "--json", "-q")
    names = [*command.split(), str(folder / "rows.csv"), *words, *out]
    result = CliRunner().invoke(app, ["retention", *names])
    if isinstance(result.exception, InputError):
        raise result.exception
    return dict(json.loads(result.stdout))


def test_answers_of_which_1_is_the_best_are_no_missing_link(tmp_path: Path) -> None:
    """The interval lay below 0, and the words beside it were "no link was found"."""
    turned = shown().with_columns((6 - pl.col("return")).alias("return"))
    found = retain("mediation", turned, tmp_path)
    because, tested = found["because"], [row[-1] for row in found["tables"][0]["rows"]]
    assert tested == [False, False, None]  # nothing was dealt at random: that is no "no"
    assert "better answers go with fewer returns; where 1 is the best answer" in because
    assert "no link" not in because


def test_a_baseline_that_tells_the_outcome_leaves_nothing_to_tell(tmp_path: Path) -> None:
    """It read "not supported: +0.000 [+0.000, +0.000]"; the answer or the outcome itself is no feature."""
    told = shown().with_columns((2 * pl.col("returned") + 1).alias("known"))
    found = retain("increment", told, tmp_path, "--baseline", "known")
    assert found["verdict"] == "cannot tell" and "one of them is the outcome" in found["because"]
    for column in ("return", "returned"):
        with pytest.raises(InputError, match=f"baseline column '{column}' is the"):
            retain("increment", shown(), tmp_path, "--baseline", column)


def test_one_weight_that_outweighs_all_others_supports_nothing(tmp_path: Path) -> None:
    heavy = shown().with_columns(pl.when(pl.int_range(pl.len()) == 5).then(1e6).otherwise(1.0).alias("w"))
    found = retain("increment", heavy, tmp_path, "--baseline", "known", "--weight", "w")
    assert found["verdict"] == "cannot tell", found["because"]
    assert "1 person in all" in found["because"] and "count by their weights" in found["because"]


def test_one_weight_supports_no_validity_and_the_answer_is_no_feature(tmp_path: Path) -> None:
    """It was supported with "information with like = -720 of its entropy"."""
    rng = np.random.default_rng(1)
    given = shown().with_columns(
        (pl.col("return") + pl.Series(rng.integers(-2, 3, 400))).clip(1, 5).alias("worth"),
        pl.when(pl.int_range(pl.len()) == 5).then(1e6).otherwise(1.0).alias("w"),
    )
    questions = ("--question", "return", "--question", "worth")
    assert run("validate", given, tmp_path, *questions)["verdict"] == "supported"
    found = run("validate", given, tmp_path, *questions, "--weight", "w")
    assert found["verdict"] == "cannot tell" and "1 person by weight, 30 are needed" in found["because"]
    with pytest.raises(InputError, match="feature 'return' is the answer itself"):
        retain("proxy fit", given, tmp_path, "--feature", "known", "--feature", "return")


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("999", "200 rows of 400 off that scale; is it a code for no answer?"),
        ("50", "200 rows of 400 off that scale; is it a code"),
        (None, "off that scale, from 25 to 125; put answers of another scale on it"),
    ],
)
def test_answers_off_the_scale_are_counted(tmp_path: Path, cell: str | None, words: str) -> None:
    other = 25 * pl.col("return") if cell is None else pl.lit(int(cell))
    some = pl.when(pl.col("day") == 0).then(other).otherwise("return").alias("return")
    with pytest.raises(InputError, match="answers are whole numbers from 1 to 5") as refused:
        retain("mediation", shown().with_columns(some), tmp_path)
    assert words in str(refused.value)


@pytest.mark.parametrize("text", ["{},5", "{} years", "{} %"])
def test_amounts_that_were_not_read_as_numbers_are_refused(tmp_path: Path, text: str) -> None:
    """Ages with a decimal comma were balanced as words, most of them pooled as "other": "supported"."""
    table = surveyed().with_columns(pl.col("age").map_elements(text.format, pl.String))
    with pytest.raises(InputError, match="column 'age' holds numbers that cannot be read as such"):
        run("weigh", table, tmp_path, "--covariate", "age")
    bands = surveyed().with_columns(
        pl.format("{}-{}", pl.col("age") // 5 * 5, pl.col("age") // 5 * 5 + 4).alias("age")
    )
    assert run("weigh", bands, tmp_path, "--covariate", "age")["verdict"] == "supported"


def rake(table: pl.DataFrame, folder: Path, **shares: float) -> dict[str, Any]:
    """The report of weights raked to shares of countries."""
    rows = [{"covariate": "country", "value": name, "share": share} for name, share in shares.items()]
    pl.DataFrame(rows).write_csv(folder / "margins.csv")
    return run("weigh", table, folder, "--covariate", "age", "--margins", str(folder / "margins.csv"))


def test_a_person_alone_stands_for_no_tenth_of_the_population(tmp_path: Path) -> None:
    """Its answer was fitted by its margin exactly, so that no interval held how it might have been."""
    alone = pl.int_range(pl.len()) == pl.col("answer").is_not_null().arg_max()
    table = surveyed().with_columns(country=pl.when(alone).then(pl.lit("mt")).otherwise("country"))
    report = rake(table, tmp_path, de=0.3, fr=0.3, it=0.3, mt=0.1)
    assert report["verdict"] == "cannot tell"
    assert "1 answered for country=mt, 10% of the population; at least 10 people" in report["because"]
    assert rake(surveyed(), tmp_path, de=0.5, fr=0.3, it=0.2)["verdict"] == "supported"


def test_one_answer_of_everybody_has_no_raked_interval(tmp_path: Path) -> None:
    """It was "4 [4, 4]" beside means that could not be told."""
    same = surveyed().with_columns(answer=pl.when(pl.col("answer").is_not_null()).then(4))
    report = rake(same, tmp_path, de=0.5, fr=0.3, it=0.2)
    means = next(table for table in report["tables"] if table["title"] == "Mean answer")
    assert str(means).count("everyone gave the same answer") == 4


def test_how_to_write_a_number_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"write numbers plainly, 0\.12 for 12 %"):
        run("weigh", surveyed().with_columns(answer=pl.lit("60 %")), tmp_path, "--covariate", "age")


def test_few_answers_are_called_few(tmp_path: Path) -> None:
    """Not "20.8 of 21: a few weights decide (the largest is 1 times the mean)"."""
    report = run("weigh", surveyed(40), tmp_path, "--covariate", "age")
    assert report["verdict"] == "cannot tell" and "answers, fewer than 30" in report["because"]
    assert "a few weights decide" not in report["because"]


def test_two_shares_of_one_value_are_refused(tmp_path: Path) -> None:
    """The last one counted, without a word."""
    shares = pl.DataFrame(
        {"covariate": "country", "value": ["de", "de", "fr", "it"], "share": [0.2, 0.5, 0.3, 0.2]}
    )
    shares.write_csv(tmp_path / "margins.csv")
    margins = ("--covariate", "age", "--margins", str(tmp_path / "margins.csv"))
    with pytest.raises(InputError, match="'country=de' has several shares; give one"):
        run("weigh", surveyed(), tmp_path, *margins)


@pytest.mark.parametrize("words", [("--weight", "w"), ("--question", "v1"), ("--event", "w")])
def test_what_a_battery_does_not_read_is_refused(tmp_path: Path, words: tuple[str, str]) -> None:
    """Weights of 0 and below were taken, and left unread; it was supported."""
    weighted = answers().with_columns(pl.lit(0).alias("w"))
    with pytest.raises(InputError, match=f"{words[0]} is not read with --block"):
        run("validate", weighted, tmp_path, *BLOCKS, *words)


def test_a_feature_made_from_the_answer_proves_no_proxy(tmp_path: Path) -> None:
    """The answer in another unit, or a yes or no made from it, was "supported: 0.999 [0.997, 1.002]"."""
    rng = np.random.default_rng(2)
    given = pl.concat([shown()] * 5).with_columns(
        (pl.col("return") * 20.0 + pl.Series(rng.standard_normal(2000))).alias("score"),
        (pl.col("return") >= 4).alias("good"),
        pl.Series("user_id", [f"p{row}" for row in range(2000)]),
    )
    assert "tell the answer" not in retain("proxy fit", given, tmp_path, "--feature", "known")["because"]
    for leak in ("score", "good"):
        (tmp_path / leak).mkdir()
        found = retain("proxy fit", given, tmp_path / leak, "--feature", "known", "--feature", leak)
        assert found["verdict"] == "cannot tell"
        assert f"The features all but tell the answer, '{leak}' most" in found["because"]


def test_a_group_that_ends_a_battery_is_named_with_its_item(tmp_path: Path) -> None:
    """It was "not positive definite over 200 people", or "did not converge in 300 steps"."""
    lands = pl.Series("land", ["de"] * 200 + ["fr"] * 200)
    same = answers().with_columns(lands, v2=pl.when(lands == "fr").then(4).otherwise("v2"))
    with pytest.raises(InputError, match="all 200 people of land=fr gave the same answer to 'v2'; leave"):
        run("validate", same, tmp_path, *BLOCKS, "--by", "land")
    twice = answers().with_columns(lands, v2=pl.when(lands == "fr").then("v1").otherwise("v2"))
    with pytest.raises(
        InputError, match="land=fr: the covariance of 7 items over 200 people is not positive"
    ):
        run("validate", twice, tmp_path, *BLOCKS, "--by", "land")
    few = np.isin(np.arange(N), np.random.default_rng(1).choice(N, 14, replace=False))
    tiny = answers().with_columns(pl.Series("land", np.where(few, "mt", "de")))
    tiny.write_csv(tmp_path / "tiny.csv")
    with pytest.raises(ModelError, match=r"in land=mt \(14 people\) item 'v3' correlates with no other"):
        validate_battery(tmp_path / "tiny.csv", VALUE_JOY, tmp_path, lambda *_: None, by="land")


def test_straight_lines_are_counted(tmp_path: Path) -> None:
    """A third of the people gave 3 throughout, and it was "supported" without a word."""
    words = "gave the same answer to every item"
    assert words not in run("validate", answers(), tmp_path, *BLOCKS)["because"]
    for lined, verdict in ((1, "supported"), (2, "cannot tell")):
        row = pl.int_range(pl.len())
        items = [
            pl.when(row % 3 < lined).then(row % 5 + 1).otherwise(name).alias(name)
            for name in answers().columns
        ]
        table = answers().with_columns(items)
        same = table.select(pl.concat_list(pl.all()).list.n_unique() == 1).to_series().sum()
        report = run("validate", table, tmp_path, *BLOCKS)
        assert f"{same} of 400 people ({same / 400:.0%}) {words}" in report["because"]
        assert report["verdict"] == verdict, report["because"]


def test_the_largest_weight_is_that_after_raking(tmp_path: Path) -> None:
    """The effective size was that after raking, and the largest weight that before."""
    few = pl.int_range(pl.len()) % 40 == 0
    table = surveyed().with_columns(country=pl.when(few).then(pl.lit("mt")).otherwise("country"))
    report = rake(table, tmp_path, de=0.02, fr=0.02, it=0.02, mt=0.94)
    weights = pl.read_parquet(tmp_path / "out" / "weights.parquet").filter(pl.col("raked") > 0)["raked"]
    most = weights.max() / weights.mean()  # type: ignore[operator]
    assert "after raking is" in report["because"]
    assert f"the largest is {most:.0f} times the mean" in report["because"]
