"""Claims: verdicts that follow the numbers, and pages that open offline."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.server.chromium import Browser, find

from tastemaker.errors import InputError
from tastemaker.flows.retention.tables import write_claim
from tastemaker.retention.report import ClaimReport, Groups, Intervals, Lines, Table
from tastemaker.retention.validity.claim import validity_claim
from tastemaker.retention.validity.table import ValiditySettings, widen
from tastemaker.retention.weights.claim import weights_claim
from tastemaker.stats.intervals import Interval

ESTIMATE = Interval(0.6312, 0.6219, 0.6403, 5000, "Pearson")
TABLE = Table.of("Numbers", [{"name": "a | b", "r": ESTIMATE, "n": 5000, "p": 1e-9}], "a note")


QUICK = ValiditySettings(resamples=60)


def claim(**changes: object) -> ClaimReport:
    given = {
        "claim": "Water is <wet>",
        "verdict": "supported",
        "because": "r = .63.",
        "tables": (TABLE,),
    }
    return ClaimReport(**(given | changes))  # type: ignore[arg-type]


def test_a_command_fails_unless_its_claim_is_supported() -> None:
    assert [
        claim(verdict=verdict).exit_code for verdict in ("supported", "not supported", "cannot tell")
    ] == [
        0,
        1,
        1,
    ]


def test_a_claim_becomes_three_files_that_need_nothing_else(tmp_path: Path) -> None:
    figures = (
        Intervals.of(
            "Agreement",
            "r",
            {"a": ESTIMATE, "none": Interval(np.nan, np.nan, np.nan, 0, "", reason="constant")},
        ),
        Lines("Curve", "x", "y", (("one", (0.0, 1.0), (0.0, 2.0)),)),
        Groups("By cohort", "cohort", "r", ("low", "high"), (("ours", ((0.1, 0.0, 0.2), None)),)),
    )
    result = write_claim(claim(figures=figures, horizon="day 1", settings={"seed": 0}), tmp_path)
    page, text = (tmp_path / "report.html").read_text(), (tmp_path / "report.md").read_text()
    assert page.count("<svg") == 3 and "Water is &lt;wet&gt;" in page and "<h2>Numbers</h2>" in page
    for outside in ("http://", "https://", "src=", "<script", "@import"):
        assert outside not in page.replace("http://www.w3.org", "")
    assert "a \\| b" in text and "0.6312 [0.6219, 0.6403]" in text and "Horizon: day 1." in text
    assert all((tmp_path / name).exists() for name in ("figures/figure-1.svg", "figures/figure-3.png"))
    assert json.loads((tmp_path / "report.json").read_text())["tables"][0]["rows"][0][1]["value"] == 0.6312
    assert result["text"].startswith("# Water is <wet>")


@pytest.mark.skipif(find() is None, reason="needs Chromium")
@pytest.mark.parametrize("width", [1400, 390])
def test_wide_tables_scroll_inside_their_frame(tmp_path: Path, width: int) -> None:
    wide = Table.of(
        "Many columns", [{f"a longer column {n}": "+1.20 % (+0.40 % to +2.00 %)" for n in range(9)}]
    )
    write_claim(claim(tables=(TABLE, wide)), tmp_path / "report")
    with Browser(tmp_path / "profile") as browser:
        browser.open((tmp_path / "report" / "report.html").as_uri(), width)
        overflow = browser.run("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0


def test_an_estimate_without_a_number_shows_its_reason(tmp_path: Path) -> None:
    none = Interval(np.nan, np.nan, np.nan, 3, "Pearson", reason="everyone gave the same answer")
    one_sided = Interval(0.5, 0.4, np.inf, 3, "bound")
    write_claim(
        claim(tables=(Table.of("t", [{"r": none, "bound": one_sided, "none": None, "yes": True}]),)), tmp_path
    )
    text = (tmp_path / "report.md").read_text()
    assert (
        "everyone gave the same answer" in text
        and "0.50 [0.40, ∞]" in text
        and "| – " in text
        and "yes" in text
    )


def survey(n: int = 3_000, *, curved: bool = False) -> pa.Table:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 2))
    lean = 1.2 * (x[:, 0] ** 2 - 1) + 0.1 * x[:, 0] if curved else x @ [0.7, -0.4]
    answered = rng.random(n) < 1 / (1 + np.exp(-lean))
    answer = np.clip(np.round(3 + 0.6 * x[:, 0] + rng.normal(size=n)), 1, 5)
    columns = {"x0": x[:, 0], "x1": x[:, 1], "user_id": np.arange(n), "asked_probability": np.full(n, 0.3)}
    return pa.table(columns | {"answer": pa.array(answer, mask=~answered), "question": ["return"] * n})


def test_squares_show_what_balanced_means_hide() -> None:
    """People at both ends answer more: means balance exactly, squares stay far off."""
    data = survey(curved=True)
    weighting, report = weights_claim(data, ["x0", "x1"])
    assert weighting.worst() < 1e-6 and report.verdict == "not supported"
    assert report.tables and report.figures
    fixed = data.append_column("x0²", pa.array(data["x0"].to_numpy() ** 2))
    assert weights_claim(fixed, ["x0", "x1", "x0²"])[0].worst("square") < 0.5


def test_weights_report_names_cost_and_tipping_point() -> None:
    weighting, report = weights_claim(survey(), ["x0", "x1"], threshold=2.5)
    assert report.verdict == "supported"
    assert [table.title for table in report.tables][-1] == "Tipping point"
    assert dict(report.tables[3].rows)["effective sample size"] == weighting.ess
    mixed = survey(4).set_column(5, "question", pa.array(["return", "return", "worth", "worth"]))
    with pytest.raises(InputError, match="holds return, worth: choose one"):
        weights_claim(mixed, ["x0"])


def test_a_verdict_remembers_the_weights_under_it() -> None:
    rng = np.random.default_rng(1)
    few = survey(600).append_column("cell", pa.array(np.repeat(["a", "c"], [540, 60])))
    answers = [a if row < 541 else None for row, a in enumerate(few["answer"].to_pylist())]
    answers[540] = 4.0
    few = few.set_column(few.column_names.index("answer"), "answer", pa.array(answers, pa.float64()))
    weighting, report = weights_claim(few, ["cell"])
    assert report.verdict == "cannot tell" and "'cell=c' (1 person answered of 60 asked" in report.because
    heavy = survey(600)
    asked = np.where(np.arange(600) == heavy["answer"].is_valid().index(True).as_py(), 1e-6, 1.0)
    heavy = heavy.set_column(
        heavy.column_names.index("asked_probability"), "asked_probability", pa.array(asked)
    )
    weighting, report = weights_claim(heavy.append_column("x", pa.array(rng.normal(size=600))), ["x"])
    assert (
        weighting.ess < 2
        and report.verdict != "supported"
        and "effective sample size is 1.0" in report.because
    )
    only = survey(600)
    _, report = weights_claim(only.filter(only["answer"].is_valid()), ["x0"])
    assert report.verdict == "cannot tell" and "rows are answered" in report.because


def test_weights_of_equal_answers_have_a_report_without_means(tmp_path: Path) -> None:
    same = survey()
    place = same.column_names.index("answer")
    equal = pa.array([None if answer is None else 4.0 for answer in same["answer"].to_pylist()])
    _, report = weights_claim(same.set_column(place, "answer", equal), ["x0", "x1"], threshold=3.0)
    assert report.verdict == "supported" and len(report.figures) == 1
    assert "same answer (4)" in write_claim(report, tmp_path)["text"]


def test_weights_when_everyone_answered() -> None:
    everyone = survey()
    place = everyone.column_names.index("answer")
    answer = np.nan_to_num(everyone["answer"].to_numpy(), nan=2.0)
    _, report = weights_claim(
        everyone.set_column(place, "answer", pa.array(answer)), ["x0", "x1"], threshold=3.0
    )
    assert report.verdict == "cannot tell" and "one row a question shown" in report.because


def answers(n: int = 2_500, repeat: bool = False) -> pa.Table:
    rng = np.random.default_rng(1)
    value = rng.normal(size=n)
    cut = np.quantile(rng.normal(size=100_000), [0.1, 0.22, 0.44, 0.76])
    latent = {
        "return": 0.8 * value + 0.6 * rng.normal(size=n),
        "worth": 0.8 * value + 0.6 * rng.normal(size=n),
        "interest": 0.7 * value + 0.71 * rng.normal(size=n),
    }
    if repeat:
        latent["worth"] = latent["return"] + 0.2 * rng.normal(size=n)
    columns = {name: 1 + np.digitize(values, cut) for name, values in latent.items()}
    like = rng.random(n) < 1 / (1 + np.exp(3 - value))
    return pa.table(
        columns | {"like": like, "content": rng.choice(["a", "b"], n), "user_id": np.arange(n) // 2}
    )


def test_validity_is_supported_refused_or_open() -> None:
    result, report = validity_claim(answers(), replace(QUICK, events=("like",), by="content"))
    assert report.verdict == "supported" and report.tables and len(report.figures) == 2
    assert len(result.pairs) == 9 and len(result.contrasts) == 4 and len(result.events) == 1
    assert {row["reading"] for row in result.contrasts} == {"other question", "other content"}
    assert validity_claim(answers(repeat=True), QUICK)[1].verdict == "not supported"
    same = answers(200).set_column(1, "worth", pa.array([3] * 200))
    unsure = validity_claim(same, QUICK)[1]
    assert unsure.verdict == "cannot tell" and "same answer" in unsure.because


def test_bad_answers_are_named() -> None:
    with pytest.raises(InputError, match="column 'like' is 2; an event is 0 or 1"):
        validity_claim(
            answers(50).set_column(3, "like", pa.array([2] * 50)), replace(QUICK, events=("like",))
        )
    with pytest.raises(InputError, match="needs two questions; got return"):
        validity_claim(answers(50), replace(QUICK, questions=("return",)))
    with pytest.raises(InputError, match="column 'joy' is missing"):
        validity_claim(answers(50), replace(QUICK, questions=("return", "joy")))
    with pytest.raises(InputError, match="weight is -1"):
        validity_claim(answers(50).append_column("w", pa.array([-1.0] * 50)), replace(QUICK, weight="w"))
    none = answers(50).set_column(1, "worth", pa.nulls(50, pa.int64()))
    with pytest.raises(InputError, match="no row has answers to two of return, worth"):
        validity_claim(none, replace(QUICK, questions=("return", "worth")))


def test_long_answers_become_wide() -> None:
    long = pa.table(
        {
            "user_id": ["u", "u", "u", "v"],
            "item_id": ["a", "a", "a", "a"],
            "question": ["return", "worth", "return", "return"],
            "answer": [4, 5, 1, 2],
            "timestamp": pa.array([1, 2, 3, 4], pa.timestamp("us", tz="UTC")),
            "like": [None, 1, None, 0],
        }
    )
    assert widen(long, ["like"]).to_pylist() == [
        {"user_id": "u", "item_id": "a", "return": 4, "worth": 5, "like": 1},
        {"user_id": "v", "item_id": "a", "return": 2, "worth": None, "like": 0},
    ]
    with pytest.raises(InputError, match="column 'save' is missing"):
        widen(long, ["save"])
