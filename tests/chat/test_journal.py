from __future__ import annotations

from contextlib import nullcontext
from functools import partial

import pytest

from tastemaker.chat import Journal, Usage
from tastemaker.chat.journal import differences
from tastemaker.errors import InputError
from tastemaker.store import append_line, read_lines


def begin(path, settings, resume="same"):
    return Journal(partial(append_line, path), read_lines(path) if path.exists() else [], settings, resume)


def test_a_journal_comes_back_as_it_was(tmp_path):
    path = tmp_path / "j.jsonl"
    journal = begin(path, {"seed": 1})
    first = journal.announced("k1", Usage(100, 50), {"unit": "u"})
    journal.answered("k1", first, "valid", Usage(80, 20))
    second = journal.announced("k2", Usage(100, 50), {"unit": "u"})
    journal.failed("k2", second, "timeout", Usage(100, 50))
    journal.announced("k3", Usage(7, 3), {"unit": "u"})
    journal.unit("u", "done")
    journal.unit("v", "schema")
    again = begin(path, {"seed": 1})
    assert again.units == {"u": "done", "v": "schema"} and again.failures() == {"schema": 1}
    assert again.attempts == {"valid": 1, "timeout": 1}
    assert (
        again.billed() == journal.billed() == (Usage(187, 73), 3)
    )  # the unconfirmed call counts at its maximum
    assert again.announced("k3", Usage(7, 3), {}) == 4


def test_a_torn_last_line_is_left_out_and_written_over(tmp_path):
    path = tmp_path / "j.jsonl"
    begin(path, {}).unit("u", "done")
    with path.open("ab") as stream:
        stream.write(b'{"event": "unit", "unit": "v", "outc')
    journal = begin(path, {})
    assert journal.units == {"u": "done"}
    journal.unit("w", "done")
    assert begin(path, {}).units == {"u": "done", "w": "done"}


def test_changed_settings_are_refused_by_name(tmp_path):
    path = tmp_path / "j.jsonl"
    begin(path, {"sampling": {"temperature": 0.7, "top_p": 1}, "turns": 8}).unit("u", "done")
    with pytest.raises(InputError, match=r"sampling\.temperature: 0\.7 -> 0\.9; turns: 8 -> None"):
        begin(path, {"sampling": {"temperature": 0.9, "top_p": 1}})
    with pytest.raises(InputError, match="already holds a run"):
        begin(path, {"sampling": {"temperature": 0.7, "top_p": 1}, "turns": 8}, "never")
    assert begin(path, {"turns": 9}, "always").units == {"u": "done"}
    assert begin(path, {"turns": 9}).units == {"u": "done"}
    assert differences({"a": [1]}, {"a": [1]}) == []


def test_a_file_of_something_else_is_named(tmp_path):
    with pytest.raises(InputError, match="line 2"):
        Journal(lambda record: None, [{"event": "begin", "settings": {}}, {"key": 1}], {})


def test_lines_of_several_records_are_read():
    """Version 0.1 wrote records that came together on one line, and three numbers of tokens."""
    lines = [
        {"event": "begin", "settings": {}},
        [
            {"event": "sent", "call": "k", "attempt": 1, "maximum": [100, 50, 0], "unit": "u"},
            {"event": "unit", "unit": "v", "outcome": "done"},
        ],
        {
            "event": "answered",
            "call": "k",
            "attempt": 1,
            "outcome": "valid",
            "usage": [80, 20, 10],
            "paid": 1,
        },
    ]
    journal = Journal(pytest.fail, lines, {})
    assert journal.units == {"v": "done"} and journal.billed() == (Usage(80, 20), 1)


def test_a_full_disk_fails_the_writer_and_no_other_record():
    lines = []

    def append(value):
        if value.get("unit") == "u1":
            raise OSError("disk full")
        lines.append(value)

    journal = Journal(append, [], {})
    for unit in ("u0", "u1", "u2"):
        with pytest.raises(OSError, match="full") if unit == "u1" else nullcontext():
            journal.unit(unit, "done")
    assert set(journal.units) == {"u0", "u2"} == {line["unit"] for line in lines[1:]}
