from __future__ import annotations

import threading
import time
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
    first = journal.sent("k1", Usage(100, 50), {"unit": "u"})
    journal.answered("k1", first, "valid", Usage(80, 20))
    second = journal.sent("k2", Usage(100, 50), {"unit": "u"})
    journal.failed("k2", second, "timeout", Usage(100, 50))
    journal.sent("k3", Usage(7, 3), {"unit": "u"})
    journal.unit("u", "done")
    journal.unit("v", "schema")
    again = begin(path, {"seed": 1})
    assert again.units == {"u": "done", "v": "schema"} and again.failures() == {"schema": 1}
    assert again.attempts == {"valid": 1, "timeout": 1}
    assert again.spent() == journal.spent() == (Usage(187, 73), 3)  # the call in doubt counts at its maximum
    assert again.sent("k3", Usage(7, 3), {}) == 4


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


def test_records_that_come_while_one_is_written_share_the_next_line():
    first, more = threading.Event(), threading.Event()
    lines = []

    def append(value):
        lines.append(value)
        if len(lines) == 2:
            first.set()
            more.wait(5)

    journal = Journal(append, [], {})
    threads = [threading.Thread(target=journal.unit, args=(f"u{i}", "done")) for i in range(6)]
    threads[0].start()
    first.wait(5)
    for thread in threads[1:]:
        thread.start()
    while len(journal._queue) < 5:
        time.sleep(0.001)
    more.set()
    for thread in threads:
        thread.join(5)
    assert len(lines) == 3 and len(lines[2]) == 5 and len(journal.units) == 6
    assert Journal(lines.append, list(lines), {}).units == journal.units


def test_a_full_disk_fails_the_writer_and_loses_no_other_record():
    held, failing = threading.Event(), threading.Event()
    lines = []

    def append(value):
        if not failing.is_set() and lines:
            failing.set()
            held.wait(5)
            raise OSError("disk full")
        lines.append(value)

    journal = Journal(append, [], {})
    caught = []

    def write(unit):
        try:
            journal.unit(unit, "done")
        except OSError as error:
            caught.append(error)

    threads = [threading.Thread(target=write, args=(f"u{i}",)) for i in range(4)]
    threads[0].start()
    failing.wait(5)
    for thread in threads[1:]:
        thread.start()
    while len(journal._queue) < 3:
        time.sleep(0.001)
    held.set()
    for thread in threads:
        thread.join(5)
    assert not any(thread.is_alive() for thread in threads)
    assert len(caught) == 1 and set(journal.units) == {"u1", "u2", "u3"}
