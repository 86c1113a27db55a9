from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from tastemaker.chat import Cache, Media, Request, Sampling, call_key, system, user
from tastemaker.store import write_bytes

from .conftest import ask


class Other(BaseModel):
    """The name and title of a schema are part of it."""

    item: int
    why: str = ""


def test_the_key_changes_with_all_that_decides_the_answer_and_with_nothing_else():
    base = ask("q")
    image, same = Media(b"one", "image/png"), Media(b"one", "image/png", seconds=2)
    differ = [
        call_key("m@2", base),
        call_key("m@1", replace(base, sample=1)),
        call_key("m@1", replace(base, sampling=Sampling(0.1))),
        call_key("m@1", replace(base, answer=Other)),
        call_key("m@1", replace(base, messages=(system("s"), user("q")))),
        call_key("m@1", replace(base, messages=(user("q", image),))),
        call_key("m@1", replace(base, messages=(user("q", Media(b"two", "image/png")),))),
    ]
    key = call_key("m@1", base)
    assert len({key, *differ}) == len(differ) + 1
    assert call_key("m@1", replace(base, subject="ann", unit="c1", kind="listener", view={"a": 1})) == key
    assert call_key("m@1", replace(base, messages=(user("q", same),))) == differ[5]


def test_the_key_is_the_same_in_every_process():
    """A changed value orphans every cache: raise cache.PROTOCOL knowingly, and write the new one here."""
    assert (
        call_key("m@1", Request((user("q"),), str))
        == "8bc62a9053f2346b12ce7c3ded5b2415b80028241e25ebec197b307da3e7639b"
    )


@settings(max_examples=50)
@given(st.lists(st.text(), min_size=2, max_size=4))
def test_parts_do_not_run_into_each_other(parts):
    joined = replace(ask(), messages=(user("".join(parts)),))
    apart = replace(ask(), messages=(user(*parts),))
    assert call_key("m", joined) != call_key("m", apart)


def test_entries_belong_to_a_subject_and_go_with_it(tmp_path):
    cache = Cache(tmp_path, write_bytes)
    cache.put("ann@example.org", "ab12", {"text": "secret of ann"})
    cache.put("bob", "ab12", {"text": "b"})
    assert (
        cache.get("ann@example.org", "ab12") == {"text": "secret of ann"} and cache.get("cy", "ab12") is None
    )
    names = " ".join(str(path) for path in tmp_path.rglob("*"))
    assert "ann" not in names
    assert cache.erase("ann@example.org") == 1 and cache.erase("ann@example.org") == 0
    assert cache.get("ann@example.org", "ab12") is None and cache.get("bob", "ab12") == {"text": "b"}
    assert not any(b"secret" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_a_damaged_entry_counts_as_absent(tmp_path):
    cache = Cache(tmp_path, write_bytes)
    cache.put("a", "ab12", 1)
    next(tmp_path.rglob("*.json")).write_bytes(b'{"te')
    assert cache.get("a", "ab12") is None
