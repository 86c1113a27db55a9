"""Survey tables: every refusal names the row, the column and the remedy."""

from __future__ import annotations

import pyarrow as pa
import pytest

from tastemaker.errors import InputError
from tastemaker.retention.surveys import check_surveys, of_question, with_covariates

ROWS = {
    "user_id": ["u1", "u1", "u2"],
    "item_id": ["a", "b", "a"],
    "question": ["return", "return", "return"],
    "asked_probability": [0.5, 0.5, 1.0],
    "answer": [4, None, 1],
    "timestamp": [0, 1, 2],
}


def table(**changes: object) -> pa.Table:
    columns = ROWS | changes
    time = pa.array(columns.pop("timestamp"), pa.timestamp("us", tz="UTC"))
    return pa.table(columns).append_column("timestamp", time)


def test_a_good_table_keeps_its_further_columns() -> None:
    checked = check_surveys(table(age=[20, 20, 50]))
    assert checked["answer"].to_pylist() == [4, None, 1]
    assert checked.column_names[-1] == "age"


def test_own_column_names_are_renamed() -> None:
    given = table().rename_columns(["who", "item_id", "question", "asked_probability", "score", "timestamp"])
    assert check_surveys(given, columns={"user_id": "who", "answer": "score"})["answer"].to_pylist() == [
        4,
        None,
        1,
    ]
    with pytest.raises(InputError, match="answer: column 'stars' is missing"):
        check_surveys(given, columns={"answer": "stars"})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"asked_probability": [0.5, None, 1.0]}, "row 2, column 'asked_probability' is empty"),
        (
            {"asked_probability": [0.5, 0.5, 0.0]},
            r"row 3, column 'asked_probability' is 0;.*above 0 and at most 1",
        ),
        ({"asked_probability": [0.5, 1.5, 1.0]}, "row 2, column 'asked_probability' is 1.5"),
        ({"answer": [4, None, 6]}, "row 3, column 'answer' is 6; answers are whole numbers from 1 to 5"),
        ({"answer": [4.0, None, 2.5]}, "row 3, column 'answer' is 2.5"),
        ({"answer": [4.0, None, float("inf")]}, "row 3, column 'answer' is 'inf'"),
        ({"user_id": ["u1", None, "u2"]}, "row 2, column 'user_id' is empty"),
        ({"item_id": ["a", "a", "a"], "timestamp": [0, 0, 2]}, "row 2 repeats row 1"),
        ({"item_id": ["a", "a", "a"], "timestamp": [None, None, 2]}, "row 2 repeats row 1"),
        ({"answer": ["good", None, "bad"]}, "row 1, column 'answer' is 'good', which is no finite number"),
    ],
)
def test_bad_rows_are_named(changes: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=f"spring.csv: .*{words}"):
        check_surveys(table(**changes), name="spring.csv")


def test_the_same_question_at_another_time_is_no_duplicate() -> None:
    assert check_surveys(table(item_id=["a", "a", "a"])).num_rows == 3


def test_an_empty_table_and_a_missing_column_are_refused() -> None:
    with pytest.raises(InputError, match="has no row"):
        check_surveys(table().slice(0, 0))
    with pytest.raises(InputError, match="column 'answer' is missing"):
        check_surveys(table().drop_columns(["answer"]))


def test_answers_to_what_was_never_shown_are_refused() -> None:
    shown = pa.table({"user_id": ["u1", "u1"], "item_id": ["a", "b"]})
    with pytest.raises(InputError, match="row 3: user 'u2' answers about item 'a', which was never logged"):
        check_surveys(table(), impressions=shown)
    assert check_surveys(table().slice(0, 2), impressions=shown).num_rows == 2


def test_one_question_is_taken() -> None:
    with pytest.raises(InputError, match="question 'joy' was never asked; the table has return"):
        of_question(table(), "joy")


def test_covariates_of_users_are_joined_in_order() -> None:
    users = pa.table({"user_id": ["u2", "u1"], "age": [50, 20]})
    assert with_covariates(table(), users)["age"].to_pylist() == [20, 20, 50]
    with pytest.raises(InputError, match="user 'u1' was asked but has no row"):
        with_covariates(table(), users.slice(0, 1))
    with pytest.raises(InputError, match="user 'u2' has several rows"):
        with_covariates(table(), pa.concat_tables([users, users.slice(0, 1)]))
