"""Conversations about films: years, and words that no field has and that are turned down."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.assist.conftest import Talk

from tastemaker.assist.parts import Understood
from tastemaker.assist.shelf import Shelf
from tastemaker.converse.catalogue import Catalogue
from tastemaker.encoders.text import fit_tfidf

FILMS = {  # title: year, genres, what it is about
    "Night Hunter": (1958, ("Thriller",), "a killer is hunted through the fog"),
    "Grave Business": (1984, ("Horror", "Comedy"), "zombies open a shop"),
    "Toy Parade": (1995, ("Animation", "Comedy"), "toys march to the sea"),
    "Last Train Home": (1995, ("Drama",), "two strangers and a train"),
    "Blood Letters": (1996, ("Horror",), "vampires write to each other"),
    "The Quiet Shop": (1972, ("Comedy", "Drama"), "a shop where nobody speaks"),
    "Killer Waves": (1999, ("Thriller", "Drama"), "surfers and the storm"),
    "Steel Summer": (2003, ("Thriller",), "a strike that goes wrong"),
    "Meadow Song": (1966, ("Musical",), "a village sings"),
    "Toy Parade Returns": (1999, ("Animation", "Comedy"), "a sequel in the snow"),
}


@pytest.fixture(scope="module")
def films() -> Shelf:
    titles, n = tuple(FILMS), len(FILMS)
    years = [year for year, _, _ in FILMS.values()]
    columns: dict[str, tuple[Any, ...]] = {
        "attribute": tuple(genres for _, genres, _ in FILMS.values()),
        "decade": tuple(f"{year // 10 * 10}s" for year in years),
        "year": tuple(float(year) for year in years),
    }
    texts = [f"{title}. {about}" for title, (_, _, about) in FILMS.items()]
    encoder, vectors = fit_tfidf(texts)
    ids = tuple(f"f{row}" for row in range(n))
    catalogue = Catalogue(ids, titles, ((),) * n, (None,) * n, ids, columns, np.zeros(n, np.int64))
    return Shelf.of(catalogue, texts, lambda batch: np.nan_to_num(encoder.transform(batch)), vectors)


def chips(talk: Talk, *messages: str) -> set[str]:
    """Labels after the last of some messages."""
    for message in messages:
        parts = talk.say(message)
    (understood,) = [part for part in parts if isinstance(part, Understood)]
    return {chip["label"] for chip in understood.chips}


@pytest.mark.parametrize(
    ("messages", "labels"),
    [
        (["something from before 1990"], {"year at most 1989"}),
        (["a thriller from 1999"], {"Thriller", "year 1999"}),
        (["made in 1995 or later"], {"year at least 1995"}),
        (["films newer than 1990"], {"year at least 1991"}),
        (["from 1990 on"], {"year at least 1990"}),
        (["since 1990"], {"year at least 1990"}),
        (["nothing after 1980"], {"year at most 1980"}),
        (["nothing before 1980"], {"year at least 1980"}),
        (["between 1950 and 1970"], {"year 1950 to 1970"}),
        (["a comedy, 1980-1989"], {"Comedy", "year 1980 to 1989"}),
        (["but not from 1995"], {"not year 1995"}),
        (["until 1972"], {"year at most 1972"}),
        (["something from the nineties"], {"decade 1990s"}),
        (["from the late eighties"], {"decade 1980s"}),
        (["before 1970", "newer than 1995"], {"year at least 1996"}),
        (["from the 80s", "newer than 1995"], {"year at least 1996"}),
        (["before 1970", "from the 90s"], {"decade 1990s"}),
        (["from 1972", "something newer"], {"year at least 1973"}),
        (["no musicals"], {"not Musical"}),
        (["don't give me anything after 1980"], {"year at most 1980"}),
        (["not too old, after 1990"], {"year at least 1991"}),
        (["not too long ago, since 1995"], {"year at least 1995"}),
        (["no horror, from 1995"], {"not Horror", "year 1995"}),
    ],
)
def test_years_are_read_as_people_say_them(films: Shelf, messages: list[str], labels: set[str]) -> None:
    assert chips(Talk(films), *messages) == labels


@pytest.mark.parametrize(
    "message",
    [
        "my wife hates horror",
        "my son is scared of horror",
        "nobody likes horror",
        "horror isn't for me",
        "horror films aren't my thing",
        "horror bores me",
        "horror? no thanks",
        "horror is not an option",
        "horror is out of the question",
        "horror excluded",
        "films w/o horror",
        "non-horror films",
        "zero horror",
        "ban horror",
        "stop showing horror",
        "enough horror",
        "too much horror",
        "I can't watch horror",
        "we don't do horror",
        "hold the horror",
        "anything unless it's horror",
        "we've seen all the horror",
        "forget horror",
        "don't give me horror",
    ],
)
def test_a_refusal_in_any_words_is_no_demand(films: Shelf, message: str) -> None:
    talk = Talk(films)
    assert chips(talk, message) == {"not Horror"}
    assert chips(talk, f"a comedy, {message}") == {"Comedy", "not Horror"}


@pytest.mark.parametrize(
    ("message", "labels"),
    [
        ("no comedies please, drama", {"not Comedy", "Drama"}),
        ("no comedies, dramas", {"not Comedy", "Drama"}),
        ("no comedies, dramas or musicals", {"not Comedy", "not Drama", "not Musical"}),
        ("no musicals, comedies, dramas", {"not Comedy", "not Drama", "not Musical"}),
        ("instead of a musical, a drama", {"not Musical", "Drama"}),
        ("horror isn't for me, a drama", {"not Horror", "Drama"}),
        ("a drama, horror isn't my thing", {"Drama", "not Horror"}),
        ("horror and musicals aren't my thing", {"not Horror", "not Musical"}),
        ("horror that isn't boring", {"Horror"}),
        ("nothing wrong with horror", {"Horror"}),
        ("can't get enough of horror", {"Horror"}),
        ("nothing against horror", {"Horror"}),
        ("I wouldn't say no to a musical", {"Musical"}),
        ("I used to hate musicals but now I love them", {"Musical"}),
        ("forget all that, a drama", {"Drama"}),
        ("don't stop showing horror", {"Horror"}),
        ("no comedies, please, dramas", {"not Comedy", "Drama"}),
    ],
)
def test_what_stands_beside_a_refusal_is_wished(films: Shelf, message: str, labels: set[str]) -> None:
    assert chips(Talk(films), message) == labels


@pytest.mark.parametrize(
    ("message", "says", "gone"),
    [
        ("without any zombies please", "Left out: 1 whose words say ‘zombies’", {"Grave Business"}),
        ("nothing with vampires or zombies", "‘vampires’", {"Blood Letters", "Grave Business"}),
        ("I'm sick of toys", "Left out: 2 whose words say ‘toys’", {"Toy Parade", "Toy Parade Returns"}),
        ("a thriller, but nothing with killer", "Left out: 2", {"Killer Waves", "Night Hunter"}),
        ("nothing with Schwarzenegger", "No words here say ‘Schwarzenegger’", set()),
        ("without summer", "Left out: 1 whose words say ‘summer’", {"Steel Summer"}),
        ("nothing with summer in it", "Left out: 1 whose words say ‘summer’", {"Steel Summer"}),
        ("without the word shop", "Left out: 2", {"Grave Business", "The Quiet Shop"}),
        ("no films with summer in the title", "Left out: 1", {"Steel Summer"}),
        ("nothing called Killer", "Left out: 2", {"Killer Waves", "Night Hunter"}),
        ("without the word drama", "No words here say ‘drama’", set()),
        ("no robots", "No words here say ‘robots’", set()),
    ],
)
def test_words_that_are_turned_down_are_left_out(
    films: Shelf, message: str, says: str, gone: set[str]
) -> None:
    talk = Talk(films)
    assert says in talk.words(message)
    shown = {films.catalogue.titles[row] for row in talk.state.shown}
    for _ in range(4):
        shown |= {films.catalogue.titles[row] for row in talk.rows("more")}
    assert not shown & gone and shown
    assert bool(talk.state.words) == bool(gone)


def test_what_cannot_be_left_out_attracts_nothing(films: Shelf) -> None:
    """The words of a refusal are not what is looked for."""
    wanted, refused = Talk(films), Talk(films)
    assert films.catalogue.titles[wanted.rows("strangers")[0]] == "Last Train Home"
    assert "Left out: 1" in refused.words("no strangers")
    assert "Last Train Home" not in {films.catalogue.titles[row] for row in refused.state.shown}


@pytest.mark.parametrize("message", ["no idea, you choose", "no problem", "nothing special", "no, thanks"])
def test_idioms_turn_nothing_down(films: Shelf, message: str) -> None:
    talk = Talk(films)
    assert "whose words say" not in talk.words(message) and not talk.state.words


@pytest.mark.parametrize(
    "message", ["nothing like Toy Parade", "unlike Toy Parade", "not too much like Toy Parade"]
)
def test_unlike_a_title_is_not_like_it(films: Shelf, message: str) -> None:
    talk = Talk(films)
    assert "Left out from now on: “Toy Parade”" in talk.words(message)
    assert talk.state.near == () and "Toy Parade" not in {films.catalogue.titles[r] for r in talk.state.shown}


def test_all_that_bear_a_title_and_a_place_in_the_list_are_left_out(films: Shelf) -> None:
    talk = Talk(films)
    second = talk.rows("a comedy")[1]
    title = films.catalogue.titles[second]
    assert f"Left out from now on: “{title}”" in talk.words("unlike the second")
    assert second in talk.state.disliked and talk.state.near == ()
    n = len(FILMS)
    titles = tuple("Star Waves" if row < 5 else title for row, title in enumerate(FILMS))
    texts = [f"{title}. {row}" for row, title in enumerate(titles)]
    encoder, vectors = fit_tfidf(texts)
    ids = tuple(f"f{row}" for row in range(n))
    catalogue = Catalogue(ids, titles, ((),) * n, (None,) * n, ids, {}, np.zeros(n, np.int64))
    several = Talk(Shelf.of(catalogue, texts, lambda batch: np.nan_to_num(encoder.transform(batch)), vectors))
    assert "Left out from now on: “Star Waves”." in several.words("nothing like Star Waves")
    assert set(several.state.disliked) == set(range(5))


@pytest.mark.parametrize("message", ["I hate musicals", "no horror", "my wife hates musicals"])
def test_what_is_refused_is_not_looked_for(films: Shelf, message: str) -> None:
    talk = Talk(films)
    talk.say(message)
    assert talk.state.messages == ("",)
    talk.say("strangers, but nothing with vampires")
    assert "strangers" in talk.state.messages[-1] and "vampires" not in talk.state.messages[-1]


def test_starting_over_is_no_title(films: Shelf) -> None:
    talk = Talk(films)
    talk.say("no zombies")
    assert "For you:" in talk.words("start over") and talk.state.words == ()


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        (
            "what genres do you have?",
            "There are Comedy (4), Thriller (3), Drama (3), Horror (2), Animation (2), Musical (1).",
        ),
        ("which decades are there?", "Decade: 1990s (5)"),
        ("list the genres", "There are Comedy (4)"),
        ("what kinds of films do you have?", "There are Comedy (4)"),
        ("what years do you have?", "Year: 1958 to 2003."),
    ],
)
def test_what_there_is_is_listed_with_counts(films: Shelf, message: str, answer: str) -> None:
    talk = Talk(films)
    assert answer in talk.words(message) and talk.state.shown == ()


def test_another_subject_takes_the_place_of_one_that_nothing_shares(films: Shelf) -> None:
    talk = Talk(films)
    talk.say("a musical")
    assert "Nothing here is that and “Musical” too, so “Musical” no longer counts." in talk.words(
        "a horror film"
    )
    assert chips(talk, "from the 80s") == {"Horror", "decade 1980s"}
    assert chips(Talk(films), "a comedy", "a drama") == {"Comedy", "Drama"}  # one is both
    both = Talk(films)
    both.say("a musical")
    assert "Nothing here is all of this: Musical, Horror" in str(both.say("and horror too"))


@pytest.mark.parametrize("message", ["something cheaper", "a bit longer please", "cheaper ones"])
def test_a_comparison_that_no_field_tells_is_said_to_be_unread(films: Shelf, message: str) -> None:
    talk = Talk(films)
    talk.say("a comedy")
    answer = talk.words(message)
    assert "Nothing is known here by which something is ‘" in answer and "There is no" not in answer


def test_instead_lets_go_of_what_stands_against_it_alone(shelf: Shelf) -> None:
    talk = Talk(shelf)
    talk.say("a reel at 60 bpm, slow")
    answer = talk.words("a jig instead, fast")
    assert "no longer count" in answer and "tempo" in answer
    assert chips(talk, "and in D") == {"type jig", "speed fast", "key D"}


def test_the_closest_have_no_word_that_was_turned_down(films: Shelf) -> None:
    talk = Talk(films)
    talk.say("nothing with toys")
    parts = talk.say("an animation from before 1960")
    assert any(part.kind == "nothing_fits" for part in parts) and talk.state.shown
    assert not {films.catalogue.titles[r] for r in talk.state.shown} & {"Toy Parade", "Toy Parade Returns"}


def test_what_nothing_would_mend_is_not_said_to_be_let_go(films: Shelf) -> None:
    talk = Talk(films)
    talk.say("a comedy")
    assert "no longer" not in talk.words("a musical from 1850 instead")
