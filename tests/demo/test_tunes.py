"""The catalogue: what it promises about every row, with the collections and without them."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pytest

from tastemaker.demo import tunes
from tastemaker.demo.abc import read_abc
from tastemaker.demo.covers import PALETTES, SHAPES, warmth
from tastemaker.demo.procedural import procedural_tunes
from tastemaker.demo.synth import TIMBRES
from tastemaker.errors import InputError
from tastemaker.schema import ITEMS

INVENTED = ("procedural",)


@pytest.fixture(scope="module")
def invented() -> tuple[pa.Table, pa.Table]:
    return tunes.catalogue(120, seed=3, books=INVENTED)


@pytest.fixture(scope="module")
def collected() -> tuple[pa.Table, pa.Table]:
    if tunes.corpus_folder() is None:
        pytest.skip("music21, whose collections this reads, is not installed")
    return tunes.catalogue(None, seed=3, one_per_family=False)


def test_items_and_facts_are_complete_and_in_step(invented: tuple[pa.Table, pa.Table]) -> None:
    items, facts = invented
    assert items.schema.equals(ITEMS)
    assert facts.schema.equals(tunes.FACTS)
    assert items["item_id"].to_pylist() == facts["item_id"].to_pylist()
    assert len(set(items["item_id"].to_pylist())) == 120
    for item, fact in zip(items.to_pylist(), facts.to_pylist(), strict=True):
        attributes = dict(pair.split("=", 1) for pair in item["attributes"])
        assert attributes["mode"] == fact["mode"]
        assert attributes["tune_type"] == fact["tune_type"]
        assert item["audio"] == f"media/{fact['item_id']}.wav"
        assert item["image"] == f"media/{fact['item_id']}.png"
        assert item["creator"] == fact["book"] == "Invented Airs"
        assert fact["title"] in item["text"]
        assert fact["timbre"] in TIMBRES
        assert fact["cover_palette"] in PALETTES
        assert fact["cover_shape"] in SHAPES


def test_the_text_does_not_tell_what_is_to_be_heard_and_seen(invented: tuple[pa.Table, pa.Table]) -> None:
    items, facts = invented
    for item, fact in zip(items.to_pylist(), facts.to_pylist(), strict=True):
        words = set(re.findall(r"[a-z]+", item["text"].replace(fact["title"], "").lower()))
        assert not words & {*TIMBRES, *PALETTES, *SHAPES}
        assert f"{fact['tempo_bpm']:.0f}" not in item["text"]


def test_the_same_seed_gives_the_same_rows_and_another_seed_others(
    invented: tuple[pa.Table, pa.Table],
) -> None:
    again = tunes.catalogue(120, seed=3, books=INVENTED)
    assert again[0].equals(invented[0])
    assert again[1].equals(invented[1])
    other = tunes.catalogue(120, seed=4, books=INVENTED)
    assert not other[0].equals(invented[0])


def test_notes_play_at_the_stated_tempo(invented: tuple[pa.Table, pa.Table]) -> None:
    for fact in invented[1].to_pylist():
        notes = tunes.notes_of(fact)
        quarters = notes[:, 1] * fact["tempo_bpm"] * tunes.beat(fact["metre"]) / 60.0
        assert np.allclose(quarters * 8, np.round(quarters * 8), atol=1e-3)
        if fact["tune_type"] in {"jig", "slip jig", "reel"}:
            assert np.median(quarters) == pytest.approx(0.5, abs=1e-3)  # they run in quavers
        assert notes[-1, 0] < tunes.CLIP_SECONDS
        assert np.all(np.diff(notes[:, 0]) > 0)


@pytest.mark.parametrize(
    "kind", ["reel", "hornpipe", "jig", "slip jig", "polka", "waltz", "march", "strathspey", "air"]
)
def test_invented_tunes_fill_their_bars_and_end_on_the_tonic(kind: str) -> None:
    texts = [body for body in procedural_tunes(150, seed=1) if f"\nR:{kind}\n" in body]
    assert texts
    for text in texts:
        tune = read_abc(text, repeats=False).at_tempo(60)
        top, bottom = map(int, tune.metre.split("/"))
        assert tune.notes[-1, 0] + tune.notes[-1, 1] == pytest.approx(16 * 4 * top / bottom)
        tonic = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}[tune.key.tonic]
        assert tune.notes[-1, 2] % 12 == tonic
        assert tune.notes[:, 2].min() >= 55
        assert tune.notes[:, 2].max() <= 96


def test_invented_tunes_differ_and_do_not_depend_on_their_number() -> None:
    many, few = procedural_tunes(80, seed=5), procedural_tunes(20, seed=5)
    assert many[:20] == few
    assert len({text.split("K:")[1] for text in many}) == 80
    assert len({re.search("T:(.*)", text)[1] for text in many}) == 80  # type: ignore[index]


def entry(name: str, title: str, body: str) -> tunes.Entry:
    return tunes.Entry(name, "Book", read_abc(f"X:1\nT:{title}\nM:C\nL:1/8\nK:G\n{body}"))


def test_versions_of_a_tune_share_a_family() -> None:
    groups = tunes.families(
        [
            entry("a", "Fisher's -- Hornpipe", "GABc"),
            entry("b", "FISHER'S HORNPIPE", "GABd"),  # the same title
            entry("c", "Quite Another Name", "GABd"),  # the same melody as b
            entry("d", "Hornpipe", "Bcde"),  # a type identifies nothing
            entry("e", "A Hornpipe", "Bcdf"),
            entry("f", "Another Name", "[K:A]ABce"),  # and the same again, transposed
            entry("g", "Yet Another", "GABd"),
        ]
    )
    assert groups == ["a", "a", "a", "d", "e", "a", "a"]


def test_the_whole_collection(collected: tuple[pa.Table, pa.Table]) -> None:
    items, facts = collected
    assert items.num_rows == 4239  # of 4,248, less nine from the minstrel stage
    types = facts["tune_type"].to_pylist()
    assert 0.40 < types.count(None) / len(types) < 0.48
    assert facts["tempo_source"].to_pylist().count("printed") >= 1170
    assert all(
        title and not re.search(r"[a-z]--|, The$|[@<>]", title) for title in facts["title"].to_pylist()
    )
    text = " ".join(items["text"].to_pylist())
    assert "@" not in text
    assert not re.search(r"\.(com|org|net)\b", text)
    assert len(set(facts["family_id"].to_pylist())) < 4000


def test_transcriptions_of_one_printed_tune_share_a_family(collected: tuple[pa.Table, pa.Table]) -> None:
    rows = [row for row in collected[1].to_pylist() if row["title"] == "The Templehouse Jig"]
    assert len(rows) == 4
    assert len({row["family_id"] for row in rows}) == 1


def test_mode_and_warmth_of_the_cover_correlate_by_a_half(collected: tuple[pa.Table, pa.Table]) -> None:
    facts = collected[1]
    bright = [mode not in tunes.DARK_MODES for mode in facts["mode"].to_pylist()]
    warm = [warmth(palette) for palette in facts["cover_palette"].to_pylist()]
    # Three standard errors of a correlation of .5 over 4,239 rows: 3 (1 - .25) / sqrt(4239) = .035.
    assert abs(np.corrcoef(bright, warm)[0, 1] - 0.5) < 0.035
    for other in ("timbre", "cover_shape"):
        codes = np.unique(facts[other].to_pylist(), return_inverse=True)[1]
        for code in range(codes.max() + 1):
            assert abs(np.corrcoef(bright, codes == code)[0, 1]) < 0.05


def test_a_sample_has_one_tune_a_family_and_does_not_depend_on_its_size(
    collected: tuple[pa.Table, pa.Table],
) -> None:
    large, small = (tunes.catalogue(n, seed=3, books=["airdsAirs"])[1] for n in (300, 100))
    assert large.slice(0, 100).equals(small)
    assert len(set(large["family_id"].to_pylist())) == 300


def test_what_cannot_be_had_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="5,000"):
        tunes.catalogue(6_000, books=INVENTED)
    monkeypatch.setattr(tunes, "corpus_folder", lambda: None)
    with pytest.raises(InputError, match="pip install --no-deps music21"):
        tunes.catalogue(10, books=["airdsAirs"])
    items, _ = tunes.catalogue(10)
    assert set(items["creator"].to_pylist()) == {"Invented Airs"}


def test_an_unknown_book_and_too_many_tunes_are_refused(collected: tuple[pa.Table, pa.Table]) -> None:
    with pytest.raises(InputError, match="'airs' is not known"):
        tunes.catalogue(10, books=["airs"])
    with pytest.raises(InputError, match="9,999 tunes were asked for"):
        tunes.catalogue(9_999, books=["airdsAirs"])
