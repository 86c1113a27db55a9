"""The planner without a model: wishes, corrections, questions, opinions, small talk, and what to do when
lost.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from tastemaker.assist.parts import Explanation, Item, NothingFits, Part, Question, Text, Understood
from tastemaker.assist.ranking import Evidence, Ranker
from tastemaker.assist.shelf import Shelf
from tastemaker.assist.state import chip_name
from tastemaker.converse.catalogue import Catalogue, Field
from tastemaker.converse.reading.names import Names
from tastemaker.converse.reading.together import without
from tastemaker.converse.reading.vocabulary import Vocabulary
from tastemaker.converse.reading.wishes import Wishes

from .conftest import KEYS, TYPES, Talk, rows_of, tunes

Talks = Callable[..., Talk]


PAIRED = {
    "a jig in D and a reel in G": {("jig", "D"), ("reel", "G")},
    "a jig in D, a reel in G or a waltz in A": {("jig", "D"), ("reel", "G"), ("waltz", "A")},
    "reels in G or airs in D and G": {("reel", "G"), ("air", "D"), ("air", "G")},
    "a jig or reel, in D or G": {("jig", "D"), ("jig", "G"), ("reel", "D"), ("reel", "G")},
    "jigs in D and slow reels in G": {("jig", "D"), ("reel", "G")},
    "a jig in D, no, a reel in G": {("reel", "G")},
    "jigs in D, reels in G, and waltzes in A": {("jig", "D"), ("reel", "G"), ("waltz", "A")},
    "jigs in D, reels in G": {("jig", "D"), ("reel", "G")},
}
BOTH = "a jig in D and a reel in G"
ALL = {(kind, key) for kind in TYPES for key in KEYS}
LATER: dict[tuple[str, ...], set[tuple[str, str]]] = {
    (BOTH, "only the jig"): {("jig", "D")},
    (BOTH, "just the ones in G"): {("reel", "G")},
    (BOTH, "not the reel"): {("jig", "D")},
    (BOTH, "and a waltz in A"): {("jig", "D"), ("reel", "G"), ("waltz", "A")},
    (BOTH, "and a waltz in A", "not in D"): {("reel", "G"), ("waltz", "A")},
    ("a jig in D", "also a reel in G"): {("jig", "D"), ("reel", "G")},
    (BOTH, "and a slow waltz in A"): {("jig", "D"), ("reel", "G"), ("waltz", "A")},
    ("a jig in D", "and a slow jig in D or a reel"): {("jig", "D"), *(("reel", key) for key in KEYS)},
    ("in A", "a jig in G or a reel"): {("jig", "G"), *(("reel", key) for key in KEYS)},
    ("not in D", BOTH): {("jig", "D"), ("reel", "G")},
    ("no jigs, nothing in G", "jigs in D, reels in G, and waltzes in A"): {
        ("jig", "D"),
        ("reel", "G"),
        ("waltz", "A"),
    },
    ("a jig in D or a reel",): {("jig", "D"), *(("reel", key) for key in KEYS)},
    ("a jig in D, a reel in G or a waltz",): {
        ("jig", "D"),
        ("reel", "G"),
        *(("waltz", key) for key in KEYS),
    },
    ("a jig in D, reels in G, or an air and waltz",): {
        ("jig", "D"),
        ("reel", "G"),
        *((kind, key) for kind in ("air", "waltz") for key in KEYS),
    },
    ("a slow jig in D or a slow reel",): {("jig", "D"), *(("reel", key) for key in KEYS)},
    ("a reel or a slow air, in D",): {("reel", "D"), ("air", "D")},
    ("not a jig in D",): ALL - {("jig", "D")},
    ("neither a jig in D nor a reel in G",): ALL - {("jig", "D"), ("reel", "G")},
    ("no jig in D and no reel in G",): ALL - {("jig", "D"), ("reel", "G")},
    ("no jigs or reels in G",): ALL - {("jig", "G"), ("reel", "G")},
    ("not a jig in G or A, please",): ALL - {("jig", "G"), ("jig", "A")},
    ("no jigs, nothing in D",): {(kind, key) for kind, key in ALL if kind != "jig" and key != "D"},
    ("jigs or reels", "not a jig in D"): {
        (kind, key) for kind, key in ALL - {("jig", "D")} if kind in ("jig", "reel")
    },
    (BOTH, "not the jig in D"): {("reel", "G")},
    ("not a jig in D", "a jig in D"): {("jig", "D")},
    ("a jig in D", "not a jig in D"): ALL - {("jig", "D")},
    ("a jig in D or a reel", "in D"): {("jig", "D"), ("reel", "D")},
    ("a jig in D or a reel", "and a waltz in A"): {
        ("jig", "D"),
        ("waltz", "A"),
        *(("reel", key) for key in KEYS),
    },
}


TEMPI = {
    "a jig at 120 bpm and a reel at 70 bpm": [("jig", 108, 132), ("reel", 63, 77)],
    "jigs under 80 bpm or reels over 150": [("jig", 0, 80), ("reel", 150, 999)],
    "jigs slower than 80 bpm and reels between 100 and 120 bpm": [("jig", 0, 80), ("reel", 100, 120)],
    "a jig under 80 bpm or a reel": [("jig", 0, 80), ("reel", 0, 999)],
    "jigs or reels, over 150 bpm": [("jig", 150, 999), ("reel", 150, 999)],
    "a jig in D under 100 bpm or a reel over 150 bpm": [("jig", 0, 100), ("reel", 150, 999)],
    "a jig at 120 and a reel at 70": [("jig", 108, 132), ("reel", 63, 77)],
}


@pytest.mark.parametrize("message", TEMPI)
def test_numbers_that_were_said_together_stay_together(talk: Talks, shelf: Shelf, message: str) -> None:
    talking, facts = talk(), shelf.catalogue.columns
    answer = talking.words(message)
    fits = np.flatnonzero(shelf.adherence(talking.state.active).holds)
    wanted = [
        row
        for row in range(len(shelf))
        if any(
            kind == facts["tune_type"][row] and low <= facts["tempo_bpm"][row] <= high
            for kind, low, high in TEMPI[message]
        )
        and (" in D" not in message or facts["tune_type"][row] == "reel" or facts["key"][row] == "D")
    ]
    assert fits.tolist() == wanted and f"{len(wanted)} fit" in answer
    later = np.array(talking.rows("only the jigs"))
    assert (
        len(later)
        and {facts["tune_type"][row] for row in later} == {"jig"}
        and set(later.tolist()) <= set(wanted)
    )


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ("a reel or a jig in D", "“in D” for each; if it is for the last alone, say “jig in D or reel”"),
        ("a reel or a jig under 100 bpm", "say “jig under 100 bpm or reel”"),
        ("a reel, or a jig at 120 bpm", "say “jig at 120 bpm or reel”"),
        ("reels or jigs in D", ""),
        ("a reel or a jig, in D", ""),
        ("a jig in D or a reel", ""),
        ("no reel or a jig in D", ""),
    ],
)
def test_what_may_be_for_the_last_alone_is_said(talk: Talks, message: str, says: str) -> None:
    answer = talk().words(message)
    assert says in answer and ("I took" in answer) == bool(says)


def test_what_was_said_for_the_last_alone_can_be_said_so(talk: Talks, shelf: Shelf) -> None:
    talking, facts = talk(), shelf.catalogue.columns
    talking.say("a reel or a jig in D")
    talking.say("jig in D or reel")
    fits = np.flatnonzero(shelf.adherence(talking.state.active).holds)
    pairs = {(facts["tune_type"][row], facts["key"][row]) for row in fits}
    assert pairs == {("jig", "D"), *(("reel", key) for key in KEYS)}


@pytest.mark.parametrize(
    "message",
    [
        "a jig under 120 and in D or a reel over 90 and in G",
        "a jig in D and under 120 or a reel in G and over 90",
    ],
)
def test_what_and_joins_inside_of_a_way_belongs_to_it(talk: Talks, shelf: Shelf, message: str) -> None:
    talking, facts = talk(), shelf.catalogue.columns
    talking.say(message)
    wanted = [
        row
        for row, about in enumerate(zip(facts["tune_type"], facts["key"], facts["tempo_bpm"], strict=True))
        if (about[:2] == ("jig", "D") and about[2] <= 120) or (about[:2] == ("reel", "G") and about[2] >= 90)
    ]
    assert wanted and np.flatnonzero(shelf.adherence(talking.state.active).holds).tolist() == wanted


@pytest.mark.parametrize("message", [*PAIRED, *TEMPI])
def test_the_chip_of_a_pair_stands_alone(talk: Talks, message: str) -> None:
    """Without the chips of its parts, and an explanation counts as many as the page shows."""
    parts = talk().say(message)
    chips = next(part for part in parts if isinstance(part, Understood)).chips
    pair = [chip for chip in chips if " with " in chip["label"]]
    parts_of_it = {"type", "key", "tempo"} if pair else set()
    assert not {chip["label"].split()[0] for chip in chips if chip not in pair} & parts_of_it
    names = {chip["name"] for chip in chips}
    asked = [part for part in parts if isinstance(part, Explanation) and part.evidence == "attribute"]
    assert asked and all(set(part.because_of) == names for part in asked)


@pytest.mark.parametrize("message", PAIRED)
def test_values_that_were_said_together_stay_together(
    talk: Callable[..., Talk], shelf: Shelf, message: str
) -> None:
    talking, facts = talk(), shelf.catalogue.columns
    talking.say(message)
    fits = np.flatnonzero(shelf.adherence(talking.state.active).holds)
    assert {(facts["tune_type"][row], facts["key"][row]) for row in fits} == PAIRED[message]
    for later in ("more", "a waltz in A"):
        rows = talking.rows(later)
        pairs = {(facts["tune_type"][row], facts["key"][row]) for row in rows}
        assert pairs and pairs <= ({("waltz", "A")} if "waltz" in later else PAIRED[message])


@pytest.mark.parametrize("messages", LATER)
def test_what_was_said_together_is_narrowed_and_widened(
    talk: Talks, shelf: Shelf, messages: tuple[str, ...]
) -> None:
    talking, facts = talk(), shelf.catalogue.columns
    for message in messages:
        answer = talking.words(message)
    fits = np.flatnonzero(shelf.adherence(talking.state.active).holds)
    assert {(facts["tune_type"][row], facts["key"][row]) for row in fits} == LATER[messages]
    assert f"{len(fits)} fit" in answer


def test_what_was_said_together_is_told_with_its_refusals_and_taken_back_whole(talk: Talks) -> None:
    talking = talk()
    talking.say("no waltzes, nothing in A")
    answer = talking.words(BOTH)
    assert (
        "jig with key D or reel with key G" in answer and "not type waltz" in answer and "not key A" in answer
    )
    assert "type jig or reel" not in answer
    chips = [chip for part in talking.say("more") if isinstance(part, Understood) for chip in part.chips]
    (both,) = [chip for chip in chips if chip["label"] == "jig with key D or reel with key G"]
    active = without(talking.state.active, [c for c in talking.state.active if chip_name(c) == both["name"]])
    assert {(c.kind, c.clause.value) for c in active} == {("must_not", "waltz"), ("must_not", "A")}


def test_a_way_out_counts_what_is_left_without_all_that_it_takes_back(talk: Talks, shelf: Shelf) -> None:
    talking = talk()
    parts = [*talking.say(BOTH), *talking.say("tempo 69 to 73")]
    (nothing,) = [part for part in parts if isinstance(part, NothingFits)]
    for way in nothing.ways:
        gone = [c for c in talking.state.active if chip_name(c) in way["name"].split("\n")]
        left = without(talking.state.active, gone)
        assert shelf.fits(left) == way["count"] > 0


def test_every_item_meets_every_demand_and_says_why(talk: Talks) -> None:
    spoken = talk()
    parts = spoken.say("a lively jig in D")
    items = [part for part in parts if isinstance(part, Item)]
    assert items and all(part.facts["tune_type"] == "jig" and part.facts["key"] == "D" for part in items)
    assert all(part.facts["speed"] == "fast" for part in items)
    chips = next(part for part in parts if isinstance(part, Understood))
    assert {chip["label"] for chip in chips.chips} == {"speed fast", "type jig", "key D"} and chips.fits == 1
    assert all("as you asked" in part.text for part in parts if isinstance(part, Explanation))


def test_slower_than_what_was_shown(talk: Talks) -> None:
    spoken = talk()
    first = spoken.rows("a reel")
    slower = spoken.rows("like the second but slower")
    tempo = spoken.shelf.catalogue.columns["tempo_bpm"]
    assert slower and all(tempo[row] < tempo[first[1]] for row in slower)


def test_questions_are_answered_from_facts(talk: Talks) -> None:
    spoken = talk()
    rows = spoken.rows("a waltz")
    key = KEYS[rows[1] // 4 % 3]
    assert f"key {key}" in spoken.words("what key is the second in?")
    assert "Yes" in spoken.words(f"is it in {key}?")
    assert "creator Ann Dow" in spoken.words("who wrote it?")
    assert "no such fact" in spoken.words("what colour is it?")
    assert "tempo " in spoken.words("how fast is the first?")
    slowest = min(rows, key=lambda row: spoken.shelf.catalogue.columns["tempo_bpm"][row])  # type: ignore[arg-type, return-value]
    assert spoken.shelf.title(slowest) in spoken.words("which of those is the slowest?")
    assert spoken.words("how many jigs are there?").startswith("15")
    assert "share" in spoken.words("compare the first two")
    assert "as you asked" in spoken.words("why that one?")


def test_titles_are_known_as_they_are_misspelt(talk: Talks) -> None:
    spoken = talk()
    assert "The Fiddler of Clare" in spoken.words("do you know The Fidler of Clare?")
    assert spoken.state.focus == spoken.shelf.catalogue.titles.index("The Fiddler of Clare")


def test_not_that_one_never_comes_back(talk: Talks) -> None:
    spoken = talk()
    first = spoken.rows("an air")
    shown = {row for _ in range(6) for row in spoken.rows("not that one")}
    assert first[0] not in shown and spoken.state.disliked[0] == first[0]


def test_likes_are_kept_for_people_with_a_name_alone(talk: Talks) -> None:
    spoken = talk(user="ann")
    rows = spoken.rows("an air")
    spoken.say("I love the second")
    assert spoken.crowd.feedback == [("ann", rows[1], "like")] and spoken.state.liked == (rows[1],)
    nobody = talk()
    nobody.rows("an air")
    nobody.say("I love the second")
    assert nobody.crowd.feedback == [] and len(nobody.state.liked) == 1


@pytest.mark.parametrize("words", ["forget that I liked it", "take back my like"])
def test_a_like_is_taken_back_by_words(talk: Talks, words: str) -> None:
    spoken = talk(user="u1")
    row = spoken.rows("a reel")[1]
    spoken.say("I love the second")
    assert spoken.state.liked == (row,)
    answer = " ".join(getattr(part, "text", "") for part in spoken.say(words))
    assert spoken.state.liked == () and "you like" not in answer and spoken.shelf.title(row) in answer
    assert spoken.crowd.feedback == [] and row not in spoken.state.disliked


def test_nothing_fits_is_counted_and_the_closest_say_what_they_miss(talk: Talks) -> None:
    parts = talk().say("a fast jig in D at 60 bpm")
    nothing = next(part for part in parts if isinstance(part, NothingFits))
    assert all(way["count"] > 0 for way in nothing.ways)
    items = [part for part in parts if isinstance(part, Item)]
    assert items and all(part.unmet for part in items)


@pytest.mark.parametrize(
    ("message", "sentence"),
    [("hi there", "Hello"), ("thank you!", "welcome"), ("how are you?", "mood"), ("who are you?", "program")],
)
def test_small_talk_is_one_sentence_and_no_item(talk: Talks, message: str, sentence: str) -> None:
    spoken = talk()
    parts = spoken.say(message)
    assert len(parts) == 1 and sentence in parts[0].public()["text"]


@pytest.mark.parametrize("message", ["", "🎻🎻", "...", "qwxz vbnm", "?" * 300])
def test_it_asks_when_it_does_not_know(talk: Talks, message: str) -> None:
    assert any(isinstance(part, Question) for part in talk().say(message))


@pytest.mark.parametrize(
    "message",
    [
        "ジグをください",
        "джига в ре",
        "<b>jig</b> <script>alert(1)</script>",
        "a reel that is not a reel",
        "\u202ejig",
    ],
)
def test_odd_messages_are_answered_safely(talk: Talks, message: str) -> None:
    parts = talk().say(message)
    assert parts and not any("<" in str(part.public()) for part in parts)


def test_erasing_asks_first(talk: Talks) -> None:
    spoken = talk(user="ann")
    spoken.rows("an air")
    spoken.say("I like it")
    assert any(isinstance(part, Question) for part in spoken.say("forget everything about me"))
    assert spoken.words("no") == "Nothing was erased." and spoken.crowd.feedback
    spoken.say("delete my data")
    spoken.say("Yes, erase everything")
    assert not spoken.crowd.feedback and spoken.state.liked == ()


def test_a_catalogue_of_titles_and_texts_alone() -> None:
    titles = tuple(f"A book about {word}" for word in ("bees", "ships", "bread", "stars", "rivers", "clocks"))
    texts = [f"{title}. All there is to know." for title in titles]
    table = {
        word: place for place, word in enumerate(sorted({w for text in texts for w in text.lower().split()}))
    }

    def embed(batch: object) -> np.ndarray:  # type: ignore[type-arg]
        rows = [[text.lower().split().count(word) for word in table] for text in batch]  # type: ignore[attr-defined]
        vectors = np.array(rows, np.float32)
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1)

    catalogue = Catalogue(titles, titles, ((),) * 6, (None,) * 6, titles, {}, np.zeros(6, np.int64))
    spoken = Talk(Shelf.of(catalogue, texts, embed))
    assert spoken.rows("something about bread please")[0] == 2
    assert "bread" in spoken.words("tell me about the first")


def test_ranking_names_before_words(shelf: Shelf) -> None:
    ranker, everything = Ranker(shelf), np.arange(len(shelf))
    best = ranker.rank(Evidence(("something by Bo Reed please",)), everything, 10)
    assert all(shelf.catalogue.creators[row] == "Bo Reed" for row in best)
    liked = ranker.rank(Evidence(("more",), liked=(1, 5)), everything, 10)
    assert sum(TYPES[row % 4] == "jig" for row in liked) >= 4


def test_what_few_people_chose_is_no_reason() -> None:
    shelf = tunes()
    played = np.zeros(len(shelf), np.int64)
    played[0] = 40
    shelf = replace(shelf, catalogue=replace(shelf.catalogue, played=played))
    for people in (0, 1, 4, 5, 6):
        talk = Talk(shelf)
        talk.crowd.chosen = lambda row, people=people: people  # type: ignore[method-assign, misc]
        talk.words("hello")
        texts = [reason.text for reason in talk.desk.explain(0)]
        line = f"among the most chosen here: {people} people wanted it"
        assert texts == ([line] if people >= 5 else [])


@pytest.mark.parametrize(
    ("message", "labels"),
    [
        ("a wlatz in a mnior key, modrate", {"type waltz", "mode minor", "speed moderate"}),
        ("a reel which is not too fast and is in a minor key", {"type reel", "not speed fast", "mode minor"}),
        ("not the jig, anything but the jig", {"not type jig"}),
        ("nothing but jigs", {"type jig"}),
        ("can you maybe find me a reel in D", {"type reel", "key D"}),
        ("maybe a reel", {"type reel if possible"}),
        ("a march of the reals", set()),
    ],
)
def test_slips_hedges_and_refusals(talk: Talks, message: str, labels: set[str]) -> None:
    parts = talk().say(message)
    chips = next((part.chips for part in parts if isinstance(part, Understood)), ())
    assert {chip["label"] for chip in chips} == labels


@pytest.mark.parametrize(
    ("message", "missing", "labels"),
    [
        ("a tango in D", ["tango"], {"key D"}),
        ("do you have a jig or a bossa nova?", ["bossa nova"], {"type jig"}),
        ("any jazz?", ["jazz"], set()),
        ("Do you have Yesterday by the Beatles?", ["Yesterday", "Beatles"], set()),
        ("Have you the tune called The Minor Polka?", ["The Minor Polka"], set()),
        ("a reel in C sharp", ["C sharp"], {"type reel"}),
        ("hello! my sister would like a tarantella, slow", ["tarantella"], {"speed slow"}),
        ("a nice reel for my grandma's birthday on Friday", [], {"type reel"}),
        ("do you have The Wind of Clare?", [], set()),
        ("neither reels nor jigs, in D", [], {"not type reel", "not type jig", "key D"}),
        ("I'd rather have a jig than a reel", [], {"type jig", "not type reel"}),
        ("I like the jigs but today rather a reel", [], {"type reel"}),
        ("a jig in d please, and not too fast", [], {"type jig", "key D", "not speed fast"}),
    ],
)
def test_what_is_not_here_is_said(talk: Talks, message: str, missing: list[str], labels: set[str]) -> None:
    parts = talk().say(message)
    chips = next((part.chips for part in parts if isinstance(part, Understood)), ())
    assert {chip["label"] for chip in chips} == labels
    notices = [part.text for part in parts if isinstance(part, Text) and "here that I know of" in part.text]
    assert len(notices) == bool(missing) and all(f"no ‘{words}’" in notices[0] for words in missing)


@pytest.mark.parametrize(
    ("message", "refused"),
    [
        ("not the second", {1}),
        ("no, not the first one, it's silly", {0}),
        ("the third not, please", {2}),
        ("drop the first and the third", {0, 2}),
        ("not the first one and not number 2 either", {0, 1}),
        ("I like the first, but not the second", {1}),
        ("why not the second?", set()),
    ],
)
def test_places_that_are_turned_down(talk: Talks, message: str, refused: set[int]) -> None:
    spoken = talk()
    rows = spoken.rows("a reel")
    spoken.say(message)
    assert set(spoken.state.disliked) == {rows[place] for place in refused}
    assert not set(spoken.state.shown) & set(spoken.state.disliked)


@pytest.mark.parametrize(
    "message", ["the second one but slower", "2, but slower", "I take the second but more slow"]
)
def test_as_a_place_but_otherwise(talk: Talks, message: str) -> None:
    spoken = talk()
    tempo = spoken.shelf.catalogue.columns["tempo_bpm"]
    second = max(spoken.rows("a reel in major, moderate or fast"), key=lambda row: tempo[row])
    spoken.state = replace(spoken.state, shown=(0, second, 4))
    assert all(tempo[row] < tempo[second] for row in spoken.rows(message) or [second])


def test_the_end_of_a_scale_in_the_whole_catalogue(talk: Talks) -> None:
    spoken = talk()
    tempo = spoken.shelf.catalogue.columns["tempo_bpm"]
    assert spoken.rows("what is the slowest reel you have?") == [0, 4, 8]
    fastest = spoken.rows("start over: the fastest of them all in D, please")
    assert [tempo[row] for row in fastest] == sorted((tempo[row] for row in fastest), reverse=True)


def test_pointing_where_nothing_stands_asks_which(talk: Talks) -> None:
    spoken = talk()
    rows = spoken.rows("a reel")
    (question,) = spoken.say("what about the seventh one, who wrote it?")
    assert isinstance(question, Question) and spoken.shelf.title(rows[0]) in question.options
    assert any(isinstance(part, Question) for part in talk(user="ann").say("forget that I liked it"))
    assert "no like" in spoken.words("forget that I liked the second")


def test_similar_without_more_is_like_what_was_spoken_of(talk: Talks) -> None:
    spoken = talk()
    spoken.rows("do you have The Fiddler of Clare?")
    parts = spoken.say("anything similar but in minor")
    items = [part for part in parts if isinstance(part, Item)]
    assert items and all(part.facts["mode"] == "minor" for part in items)
    assert "Like “The Fiddler of Clare”" in "".join(getattr(part, "text", "") for part in parts)


@pytest.mark.parametrize(
    "message",
    ["a jig " * 1660, "Not " * 2500, "x" * 9_999, "é🎻<b>" * 1600, "D. " * 3300, "1, " * 3300, "9" * 9_999],
)
def test_long_messages_take_no_longer(talk: Talks, message: str) -> None:
    spoken = talk()
    spoken.say("hi")
    start = time.process_time()
    assert spoken.say(message)
    assert time.process_time() - start < 8


@pytest.mark.parametrize(
    "message",
    [
        "the slowest you have",
        "the fastest reel",
        "the slowest",
        "show me the quickest jig",
        "play the liveliest",
    ],
)
def test_an_end_of_a_scale_that_was_read_is_not_said_to_be_missing(talk: Talks, message: str) -> None:
    spoken = talk()
    parts = spoken.say(message)
    words = " ".join(part.text for part in parts if hasattr(part, "text"))
    assert "There is no" not in words and any(part.kind == "item" for part in parts)
    assert "something is ‘cheapest’" in spoken.words("show me the cheapest")  # nothing has a price here


def test_turning_one_down_keeps_what_was_sought(talk: Talks) -> None:
    tempo = talk().shelf.catalogue.columns["tempo_bpm"]
    for wish in ("like The Lark of Kerry", "something like The Lark of Kerry"):
        spoken = talk()
        sought, rows = spoken.shelf.catalogue.titles.index("The Lark of Kerry"), spoken.rows(wish)
        for message in ("not the second", "more", "not the first"):
            parts, refused = spoken.say(message), rows[{"not the second": 1}.get(message, 0)]
            shown = rows_of(spoken.shelf, parts)
            words = " ".join(part.text for part in parts if hasattr(part, "text"))
            assert "Like “The Lark of Kerry”" in words and shown and sought not in shown
            assert message == "more" or refused not in shown
            rows = shown
    spoken = talk()
    liked = spoken.rows("a reel")[1]
    spoken.say("like the second but slower")
    again = spoken.words("not the first")
    assert f"Like “{spoken.shelf.title(liked)}”" in again and liked not in spoken.state.shown
    spoken = talk()
    first = spoken.rows("the slowest reel you have")
    then = spoken.rows("not the second")
    assert min(tempo[row] for row in then) > max(tempo[row] for row in first)  # type: ignore[type-var]
    assert [*then] == sorted(then, key=lambda row: tempo[row])  # type: ignore[arg-type, return-value]
    assert "Like" not in spoken.words("a waltz")


def _labels(parts: Sequence[Part]) -> set[str]:
    return {chip["label"] for part in parts if part.kind == "understood" for chip in part.chips}  # type: ignore[attr-defined]


def test_a_likeness_stands_until_it_is_taken_back(talk: Talks) -> None:
    def begun() -> tuple[Talk, str]:
        spoken = talk()
        spoken.say("something like The Boys of Cork")
        assert spoken.state.near == (0,)
        return spoken, "like “The Boys of Cork”"

    spoken, like = begun()
    assert like in _labels(spoken.say("faster"))
    parts = spoken.say("in D")
    assert {like, "key D"} <= _labels(parts) and rows_of(spoken.shelf, parts)
    assert {like, "key D", "not type waltz"} <= _labels(spoken.say("no waltzes"))
    parts = spoken.say("forget that")
    assert _labels(parts) >= {like, "key D"} and "not type waltz" not in _labels(parts)
    parts = spoken.say("not like The Boys of Cork any more")
    assert like not in _labels(parts) and "key D" in _labels(parts) and rows_of(spoken.shelf, parts)
    for words in (
        "start over",
        "forget that",
        "it needn't be like that any more",
        "the waltz The Maids of Clare",
    ):
        spoken, like = begun()
        assert like not in _labels(spoken.say(words)), words
    spoken, _ = begun()
    spoken.say("the slowest you have")
    assert spoken.state.extreme == "slower" and "slower first" in _labels(spoken.say("a reel"))
    assert "slower first" not in _labels(spoken.say("faster"))


@pytest.mark.parametrize(
    "message",
    [
        "I like the first and skip the second",
        "skip the second, I like the first",
        "I hate the second and love the first",
        "I like the first, not the second",
        "the second is awful but the first is great",
        "I love the first but drop the second",
    ],
)
def test_a_like_and_a_refusal_in_one_message_both_count(talk: Talks, message: str) -> None:
    spoken = talk(user="ann")
    first, second, _ = spoken.rows("a reel")
    answer = spoken.words(message)
    assert (spoken.state.liked, spoken.state.disliked) == ((first,), (second,)), answer
    assert f"you like “{spoken.shelf.title(first)}”" in answer
    assert f"Left out from now on: “{spoken.shelf.title(second)}”" in answer


@pytest.mark.parametrize(
    ("before", "message"),
    [
        ("a waltz in G", "ein Walzer in G-Dur bitte"),
        ("a waltz", "actually I hate waltzes"),
        ("a waltz", "honestly, no reels"),
        ("hello", "zero"),
        ("hello", "fourteen"),
        ("hello", "una polca en G"),
        ("a reel in D", "frankly in G"),
    ],
)
def test_what_was_read_and_small_words_are_never_called_absent(
    talk: Talks, before: str, message: str
) -> None:
    spoken = talk()
    spoken.say(before)
    answer = spoken.words(message)
    assert "There is no" not in answer, answer
    assert not any(c.clause.field == "creator" for c in spoken.state.active)


def test_what_is_absent_is_still_said(talk: Talks) -> None:
    assert "‘polkas’" in talk().words("actually polkas")
    assert "‘polka’" in talk().words("do you have a polka?")
    assert "‘H’" in talk().words("a reel in H")
    assert "did not understand ‘ein Walzer’" in talk().words("ein Walzer in G-Dur bitte")


def test_a_title_that_misses_what_stands_is_not_passed_over(talk: Talks) -> None:
    spoken = talk()
    spoken.say("a waltz")
    answer = spoken.words("the fiddler of clare")
    assert "“The Fiddler of Clare” is here, but misses: type waltz." in answer
    spoken.say("start over")
    assert "misses" not in spoken.words("the fiddler of clare")


def test_a_title_of_everyday_words_is_one_when_it_is_all_that_is_said() -> None:
    titles = [f"{a} {b}" for a in ("Dark", "Red", "Lost") for b in ("Bell", "Fox", "Mill") for _ in range(9)]
    names = Names([*titles, "Dark Ship", "Thank You"], [None] * (len(titles) + 2))
    assert [(n.name, n.sure) for n in names.find("dark ship")] == [("Dark Ship", 0.9)]
    assert [n.name for n in names.find("dark bell") if n.sure >= 0.6] == ["Dark Bell"]
    assert not [n for n in names.find("a dark bell of mine") if n.sure >= 0.6]
    assert not [n for n in names.find("thank you") if n.sure >= 0.6]


@pytest.mark.parametrize("words", ["between 90 and 95", "from 90 to 95", "tempo between 90 and 95"])
def test_a_range_is_of_the_only_number_that_holds_it(talk: Talks, words: str) -> None:
    parts = talk().say(f"a reel {words}")
    chips = next(part for part in parts if isinstance(part, Understood)).chips
    assert {chip["label"] for chip in chips} == {"type reel", "tempo 90 to 95"}


def test_a_range_that_nothing_holds_is_said_to_be_unread(talk: Talks) -> None:
    assert "I did not read ‘between 1900 and 1950’" in talk().words("a reel between 1900 and 1950")


def test_what_was_asked_for_is_listed(talk: Talks) -> None:
    spoken = talk()
    assert "No wish" in spoken.words("what did I ask for?")
    spoken.say("a waltz in G")
    assert spoken.words("what did I ask for?") == "You asked for: type waltz; key G."
    assert spoken.words("what have I asked for so far?") == "You asked for: type waltz; key G."


def test_what_an_item_is_about_holds_its_text(talk: Talks) -> None:
    spoken = talk()
    rows = spoken.rows("a waltz")
    assert spoken.shelf.texts[rows[1]].split(": ")[1] in spoken.words("what is the second about?")


FREE_NUMBERS: dict[str, Callable[[float], bool]] = {
    "not between 80 and 100 bpm": lambda bpm: not 80 <= bpm <= 100,
    "tempo not between 80 and 100": lambda bpm: not 80 <= bpm <= 100,
    "nothing under 100 bpm": lambda bpm: bpm >= 100,
    "not over 120": lambda bpm: bpm <= 120,
    "neither under 100 nor over 140 bpm": lambda bpm: 100 <= bpm <= 140,
    "not too slow, around 100 bpm": lambda bpm: 100 <= bpm <= 110,
    "from 90-110 bpm in 6/8": lambda bpm: 90 <= bpm <= 110,
    "100 +- 10 bpm": lambda bpm: 90 <= bpm <= 110,
    "100 ± 10": lambda bpm: 90 <= bpm <= 110,
    "100 bpm ± 5%": lambda bpm: 95 <= bpm <= 105,
    "between 90 bpm and 110 bpm": lambda bpm: 90 <= bpm <= 110,
    "under 100 bpm or above 140 bpm": lambda bpm: bpm <= 100 or bpm >= 140,
    "under 100 and over 140 bpm": lambda bpm: bpm <= 100 or bpm >= 140,
    "over 100 bpm and under 120 bpm": lambda bpm: 100 <= bpm <= 120,
    "90bpm, 100bpm or 110bpm": lambda bpm: 81 <= bpm <= 121,
    "90 bpm, no, 120 bpm": lambda bpm: 108 <= bpm <= 132,
    "70-80 or 120-130 bpm": lambda bpm: 70 <= bpm <= 80 or 120 <= bpm <= 130,
    "70, 100 or 150 bpm": lambda bpm: 63 <= bpm <= 77 or 90 <= bpm <= 110 or 135 <= bpm <= 165,
}


@pytest.mark.parametrize("message", FREE_NUMBERS)
def test_numbers_are_read_as_they_are_said(talk: Talks, shelf: Shelf, message: str) -> None:
    talking, tempi = talk(), shelf.catalogue.columns["tempo_bpm"]
    answer = talking.words(message)
    fits = np.flatnonzero(shelf.adherence(talking.state.active).holds)
    assert fits.tolist() == [row for row in range(len(shelf)) if FREE_NUMBERS[message](tempi[row])]  # type: ignore[arg-type]
    assert "did not read" not in answer and f"{len(fits)} fit" in answer
    talking.say("tempo 70 to 80")
    assert {(c.clause.cmp, c.clause.value) for c in talking.state.active if c.kind == "must"} >= {
        ("between", (70.0, 80.0))
    } and not any(c.clause.cmp == "either" for c in talking.state.active)


def test_a_number_refused_of_one_thing_is_refused_of_it_alone(talk: Talks, shelf: Shelf) -> None:
    talking, facts = talk(), shelf.catalogue.columns
    talking.say("no jigs under 100 bpm")
    holds = shelf.adherence(talking.state.active).holds
    jigs = [
        kind == "jig" and bpm <= 100 for kind, bpm in zip(facts["tune_type"], facts["tempo_bpm"], strict=True)
    ]  # type: ignore[operator]
    assert holds.tolist() == [not jig for jig in jigs]


def test_what_follows_a_refused_number_is_not_refused(talk: Talks) -> None:
    for message in ("jigs not between 80 and 100 bpm, in D or G", "a jig, not over 100 bpm, in D or G"):
        talking = talk()
        talking.say(message)
        kinds = {(c.kind, c.clause.field) for c in talking.state.active}
        assert ("must", "key") in kinds and ("must_not", "key") not in kinds
    talking = talk()
    talking.say("not slow, major or in D")
    assert ("must_not", "key") in {(c.kind, c.clause.field) for c in talking.state.active}


@pytest.mark.parametrize(
    "words",
    ["between -5 and 5 bpm", "between 1e999 and 5", "over -10 bpm", "under 3:45", "since 1950", "1e3 bpm"],
)
def test_numbers_that_cannot_be_read_are_said_and_ask_for_nothing(talk: Talks, words: str) -> None:
    talking = talk()
    answer = talking.words(f"a reel {words}")
    assert f"I did not read ‘{words}’" in answer
    assert {c.clause.field for c in talking.state.active} == {"tune_type"}


@pytest.mark.parametrize(
    ("message", "right"),
    [
        ("$50-100", [("must", "price", "between", (50.0, 100.0))]),
        ("between 50 and $100", [("must", "price", "between", (50.0, 100.0))]),
        ("under $1,000", [("must", "price", "le", 1000.0)]),
        ("not under $20", [("must", "price", "ge", 20.0)]),
        ("not $20 to $50", [("must_not", "price", "between", (20.0, 50.0))]),
        ("$20 ± 5", [("must", "price", "between", (15.0, 25.0))]),
        ("$10 or $20", [("must", "price", "either", ("price=\x1e9.0\x1e11.0", "price=\x1e18.0\x1e22.0"))]),
        ("between 2 and 4 minutes", [("must", "duration_s", "between", (120.0, 240.0))]),
        ("not over 200 seconds", [("must", "duration_s", "le", 200.0)]),
        ("year 1980", [("must", "year", "between", (1980.0, 1980.0))]),
        ("not between 1980 and 1990", [("must_not", "year", "between", (1980.0, 1990.0))]),
        ("before 1980 or after 2000", [("must", "decade", "in", ("1970s", "2000s"))]),
    ],
)
def test_numbers_of_other_catalogues(message: str, right: list[object]) -> None:
    kinds = {"price": (3.0, 400.0), "duration_s": (60.0, 1200.0), "year": (1900.0, 2024.0)}
    fields = {name: Field(name, "number", (), 1.0, *ends) for name, ends in kinds.items()}
    fields["decade"] = Field("decade", "word", ("1970s", "1980s", "1990s", "2000s"), 1.0)
    del fields["year" if "decade" in str(right) else "decade"]
    reading = Wishes(Vocabulary(fields), lambda row, name: None).read(message)
    assert [(c.kind, c.clause.field, c.clause.cmp, c.clause.value) for c in reading.changes] == right
