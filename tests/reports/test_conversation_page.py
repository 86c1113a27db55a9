"""The page of a data set: everything escaped, media inside the page, nothing fetched."""

from __future__ import annotations

import re

import pytest

from tastemaker.errors import InputError
from tastemaker.reports.conversation import render

EVIL = """<script>alert(1)</script> <img src=http://x.example/a> " onerror=x ' {{ 7 * 7 }}"""


def page(**turn: object) -> str:
    one = {
        "number": 1,
        "message": EVIL,
        "media": [("image", "image/png", b"png", EVIL)],
        "reply": EVIL,
        "note": EVIL,
    }
    item = {
        "title": EVIL,
        "facts": EVIL,
        "media": [("audio", "audio/wav", b"RIFF", EVIL), ("image", "image/png", b"x", "c")],
    }
    talk = {
        "heading": EVIL,
        "goal": EVIL,
        "profile": (("age_group", EVIL),),
        "turns": [one | {"item": item} | turn],
    }
    report = {
        "title": EVIL,
        "notices": [EVIL],
        "facts": {EVIL: EVIL},
        "checks": [(EVIL, False, EVIL)],
        "conversations": [talk],
    }
    return render(report)


def test_no_words_become_markup_and_nothing_is_fetched() -> None:
    made = page()
    assert "<script" not in made and "<img src=http" not in made
    assert "{{ 7 * 7 }}" in made and not re.search(r'<[^>]*" onerror', made)
    sources = re.findall(r'<(?:img|audio)[^>]*? src="([^"]*)"', made)
    assert len(sources) == 3 and all(one.startswith("data:") for one in sources)
    assert not re.search(r'(?:src|href)="(?!data:|#)', made)


def test_a_turn_without_item_or_media_is_shown() -> None:
    made = page(item=None, media=[])
    assert "<audio" not in made and "said answer" in made


def test_a_medium_that_is_neither_sound_nor_picture_is_refused() -> None:
    with pytest.raises(InputError, match="cannot be shown"):
        page(media=[("video", "text/html", b"", "")])
