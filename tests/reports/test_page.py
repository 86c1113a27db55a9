"""The page: self-contained, well-formed, escaped, readable without its pictures; and errors that name the
place.
"""

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from tastemaker.reports.evaluation import render
from tastemaker.reports.figures import Row, forest
from tastemaker.reports.plots import drawings
from tastemaker.reports.templating import svg

EVIL = '<script>alert("x")</script> & $a$ {{ 7 * 7 }} {% raw %}'


class Balance(HTMLParser):
    """Collects open elements, ids and attribute values; void elements need no end."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag != "meta":
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "xlink:href", "src"):
                self.links.append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag != "meta":
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(page: str) -> Balance:
    document = Balance()
    document.feed(page)
    assert document.open == []
    return document


def test_the_page_stands_alone_and_is_well_formed(page: str) -> None:
    document = parsed(page)
    assert len(set(document.ids)) == len(document.ids)
    assert all(link.startswith("#") for link in document.links)
    assert {link[1:] for link in document.links} <= set(document.ids)
    assert not {"script", "link", "img", "iframe"} & set(document.tags)
    assert not re.search(r"url\((?!#)|@import", page)
    assert set(re.findall(r"https?://[^\s\"')]+", page)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    references = set(re.findall(r"url\(#([^)]+)\)", page))
    assert references and references <= set(document.ids)


def test_figures_follow_light_and_dark(page: str) -> None:
    body = page[page.index("</style>") :]
    assert (
        "prefers-color-scheme:dark" in page
        and "var(--ink)" in body
        and "#1b1f24" not in body
        and "#0072b2" not in body
    )


def test_every_section_and_number_is_there(page: str) -> None:
    for heading in (
        "Results",
        "Alarms",
        "Slices",
        "Reach into the catalogue",
        "Semantic IDs",
        "Training",
        "Settings",
        "Provenance",
    ):
        assert f"<h2>{heading}</h2>" in page
    words = re.sub(r"<[^>]+>", " ", page)
    for piece in (
        "0.0906",
        "+0.0035",
        "better than SASRec (cross-entropy)",
        "(baseline)",
        "R@10 by method",
        "tastemaker evaluate beauty",
        "16,384",
    ):
        assert piece in words, piece
    assert words.index("Deaf to the user") < words.index("Collapsed lists")  # raised alarms come first


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.1, 0.3, "better than"),
        (-0.3, -0.1, "worse than"),
        (-0.1, 0.3, "not told apart"),
        (-0.3, 0.1, "not told apart"),
    ],
)
def test_the_verdict_follows_the_paired_interval(low: float, high: float, verdict: str) -> None:
    middle = {"value": (low + high) / 2, "low": low, "high": high}
    method = {
        "name": "ours",
        "highlight": True,
        "values": {"R@10": {"value": 0.5, "low": 0.4, "high": 0.6}},
        "differences": {"R@10": middle},
    }
    assert verdict in render(
        {"title": "t", "metrics": {"names": ["R@10"], "baseline": "b", "methods": [method]}}
    )


def test_all_text_is_escaped() -> None:
    interval = {"value": 0.5, "low": 0.4, "high": 0.6}
    report: dict[str, Any] = {
        "title": EVIL,
        "subtitle": EVIL,
        "notices": [EVIL],
        "metrics": {
            "names": [EVIL],
            "primary": EVIL,
            "baseline": EVIL,
            "methods": [{"name": EVIL, "highlight": True, "values": {EVIL: interval}}],
        },
        "alarms": [{"name": EVIL, "ok": True, "text": EVIL}],
        "slices": [
            {"name": EVIL, "metric": EVIL, "groups": [{"label": EVIL, "n": 3, "values": {EVIL: interval}}]}
        ],
        "coverage": {"methods": [{"name": EVIL, "effective": 3, "distinct": 4, "curve": [0.5, 1.0]}]},
        "sids": {"facts": {EVIL: EVIL}, "levels": [[1, 0]], "group_sizes": {"1": 2}},
        "training": [
            {
                "name": EVIL,
                "x": EVIL,
                "y": EVIL,
                "caption": EVIL,
                "series": [{"name": EVIL, "x": [1, 2], "y": [2, 1]}],
            }
        ],
        "settings": {EVIL: EVIL, "a": {EVIL: [EVIL]}},
        "provenance": {EVIL: EVIL},
        "commands": [EVIL],
        "terms": {EVIL: EVIL},
    }
    page = render(report)
    assert "script" not in parsed(page).tags and "{{ 7 * 7 }}" in page


def test_a_title_is_enough_and_an_absent_section_is_left_out() -> None:
    page = render({"title": "Nothing yet"})
    assert parsed(page).tags.count("section") == 1 and "<h2>Results</h2>" not in page


def test_figures_can_be_drawn_once_for_files_and_page(
    report: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {key: report[key] for key in ("title", "sids", "training")}
    drawn = drawings(few)
    assert list(drawn) == ["sids-codes", "sids-groups", "training-1", "training-2"]
    monkeypatch.setattr("tastemaker.reports.evaluation.drawings", lambda _: pytest.fail("drawn twice"))
    page = render(few, drawn)
    assert all(f'id="{name}-' in page for name in drawn)


def test_a_figure_in_the_page_speaks(page: str) -> None:
    drawn = svg(forest([Row('say "hi"', 1, 0, 2)], "T", "x"), "f")
    assert 'aria-label="T: say &#34;hi&#34; 1.0000 [0.0000, 2.0000]"' in drawn
    assert page.count('role="img"') == page.count("<svg") == 9
