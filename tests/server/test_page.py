"""The page in a headless Chromium: what a person does, what they see, and what reaches the service."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import chromium
import pytest
import uvicorn
from server_fake import FakeService, goods, tunes
from tests.conftest import tiny_interactions, tiny_items

import tastemaker as tm
from tastemaker.assist.assistant import Assistant
from tastemaker.errors import InputError
from tastemaker.flows.ingest import ingest_files
from tastemaker.schema import KINDS
from tastemaker.server import ServerSettings, address, bind, create_app
from tastemaker.server.operator import LOAD, PARTS
from tastemaker.serving.query import Happened
from tastemaker.serving.service import WorkspaceService
from tastemaker.store import Workspace, write_table

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        chromium.find() is None,
        reason="no Chromium on the PATH; install the chromium package to test the page",
    ),
]
IDS = "[...document.querySelectorAll('.card[data-item]')].map(card => card.dataset.item)"
SAID = "document.querySelector('#changes').textContent"
PAST = "[...document.querySelectorAll('.past-item')].map(item => item.title)"
WIDTHS = {390: 844, 768: 1024, 1280: 900}
AXE = find_spec("axe_playwright_python")


@contextmanager
def served(service: FakeService | WorkspaceService, talker: Assistant | None = None) -> Iterator[str]:
    listener = bind(port=0)
    listener.listen()
    app = create_app(service, ServerSettings(deadline=60), talker=talker)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield address(listener)
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Browser]:
    with chromium.Browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
def page(browser: chromium.Browser, service: FakeService) -> Iterator[chromium.Browser]:
    """The first view, loaded; afterwards the page must have had nothing to complain about."""
    browser.console.clear()
    with served(service) as url:
        start_view(browser, f"{url}/")
        yield browser
        assert browser.console == []
        browser.run("localStorage.clear()")
        browser.send("Network.clearBrowserCookies")
        browser.open("about:blank")


def pick(page: chromium.Browser, number: int = 2) -> list[str]:
    """Take up a listener; the ids of the first list."""
    page.run(f"document.querySelectorAll('.person')[{number}].click()")
    page.until(f"{IDS}.length")
    ids: list[str] = page.run(IDS)
    return ids


def start_view(page: chromium.Browser, url: str, **window: Any) -> None:
    """Load the page and wait for all of its first view."""
    page.open(url, **window)
    page.until(
        "document.querySelectorAll('.person').length && document.querySelectorAll('.found"
        " [data-item]').length"
    )


def search(page: chromium.Browser, text: str) -> None:
    """Type into the search field."""
    page.run(f"document.querySelector('#query').value = {text!r}")
    page.run("document.querySelector('#query').dispatchEvent(new Event('input'))")


def click(page: chromium.Browser, selector: str, number: int = 0) -> None:
    page.run(f"document.querySelectorAll({selector!r})[{number}].click()")


def test_a_like_changes_the_next_list_and_undo_brings_it_back(
    page: chromium.Browser, service: FakeService
) -> None:
    before = pick(page)
    click(page, ".card .like", 3)
    page.until(f"{SAID}.startsWith('Since you liked')")
    after = page.run(IDS)
    assert before[3] not in after and after != before
    marked = page.run("[...document.querySelectorAll('.card:has(.is-new)')].map(card => card.dataset.item)")
    assert sorted(marked) == sorted(set(after) - set(before))
    assert f"{len(marked)} new" in page.run(SAID)
    assert page.run(PAST)[0].endswith(", liked")
    (event,) = service.stored.values()
    assert (event.kind, event.item_id, event.user_id, event.position) == (
        "like",
        before[3],
        "listener-0002",
        3,
    )
    assert event.request_id
    click(page, "#toast-undo")
    page.until(f"{SAID}.includes('taken back')")
    assert page.run(IDS) == before
    assert [stored.kind for stored in service.stored.values()] == ["like", "undo"]


@pytest.mark.parametrize("fresh", [False, True])
def test_what_was_refused_never_returns(page: chromium.Browser, fresh: bool) -> None:
    if fresh:
        click(page, "#begin")
        page.until(f"{IDS}.length")
    before = page.run(IDS) if fresh else pick(page)
    click(page, ".card .refuse")
    page.until(f"{SAID}.startsWith('Without')")
    assert before[0] not in page.run(IDS)
    click(page, ".card .like")
    page.until(f"{SAID}.startsWith('Since')")
    assert before[0] not in page.run(IDS)
    assert [label.rsplit(", ", 1)[1] for label in page.run(PAST)[:2]] == ["liked", "not interested"]


def test_quick_verdicts_are_all_kept_and_sent_in_turn(page: chromium.Browser, service: FakeService) -> None:
    store, at_once = service.add_events, threading.Semaphore(1)
    overlaps = []

    def slowly(events: Any) -> Any:
        overlaps.append(not at_once.acquire(blocking=False))
        try:
            threading.Event().wait(0.1)
            return store(events)
        finally:
            at_once.release()

    service.add_events = slowly  # type: ignore[method-assign]
    ids = pick(page)
    page.run("for (const button of [...document.querySelectorAll('.card .like')].slice(0, 4)) button.click()")
    page.until(f"{PAST}.filter(label => label.endsWith('liked')).length === 4")
    page.until(f"{IDS}.length === 12")
    assert [(stored.kind, stored.item_id) for stored in service.stored.values()] == [
        ("like", item) for item in ids[:4]
    ]
    assert overlaps == [False] * 4


def test_a_second_click_on_the_same_card_is_no_second_verdict(
    page: chromium.Browser, service: FakeService
) -> None:
    pick(page)
    page.run(
        "for (const name of ['like', 'like', 'refuse']) document.querySelector('.card .' + name).click()"
    )
    page.until(f"{SAID}.startsWith('Since') && !document.querySelector('.leaving')")
    assert [event.kind for event in service.stored.values()] == ["like"]


def test_it_is_said_everywhere_that_listeners_are_simulated(page: chromium.Browser) -> None:
    assert page.run(
        "[...document.querySelectorAll('.person')].every(one => one.textContent.includes('simulated'))"
    )
    assert "simulated" in page.run("document.querySelector('#notice').textContent")
    pick(page)
    assert page.run("document.querySelector('#whom-kind').textContent") == "Simulated listener"
    assert "Not a person" in page.run("document.querySelector('#whom-note').textContent")
    assert "simulated" in page.run("document.querySelector('#past-title').textContent")


def test_one_sound_at_a_time_with_progress_and_a_play_that_counts(
    page: chromium.Browser, service: FakeService
) -> None:
    ids = pick(page)
    before = len(page.run(PAST))
    click(page, ".card .play", 0)
    page.until("Number(document.querySelector('.card.sounding')?.style.getPropertyValue('--heard')) > 0.12")
    click(page, ".card .play", 1)
    page.until(f"document.querySelector('.card.sounding')?.dataset.item === {ids[1]!r}")
    assert page.run("document.querySelectorAll('.sounding').length") == 1
    assert page.run("document.querySelectorAll('.card .play')[0].getAttribute('aria-label')").startswith(
        "Play "
    )
    assert page.run("document.querySelectorAll('.card .play')[1].getAttribute('aria-label')").startswith(
        "Pause "
    )
    page.until(f"{PAST}.length === {before + 1} && {PAST}[0].endsWith('played')")
    (event,) = service.stored.values()
    assert (event.kind, event.item_id) == ("play", ids[0]) and 0.1 <= (event.value or 0) <= 1
    click(page, "#player-close")
    assert page.run("document.querySelector('#player').hidden && !document.querySelector('.sounding')")


def test_the_keyboard_does_everything(page: chromium.Browser) -> None:
    ids = pick(page)
    current = "document.activeElement.dataset.item"
    page.press("j")
    assert page.run(current) == ids[0]
    page.press("j")
    page.press("ArrowRight")
    page.press("k")
    assert page.run(current) == ids[1]
    page.press("w")
    assert page.run("document.activeElement.querySelector('details').open")
    page.press(" ")
    page.until(f"document.querySelector('.sounding')?.dataset.item === {ids[1]!r}")
    page.press(" ")
    page.until("!document.querySelector('.sounding')")
    page.press("l")
    page.until(f"{SAID}.startsWith('Since you liked')")
    assert page.run(f"{IDS}.includes({current})")  # the keyboard stays in the list
    page.press("x")
    page.until(f"{SAID}.startsWith('Without')")
    page.press("u")
    page.until(f"{SAID}.includes('taken back')")
    page.press("?")
    assert page.run("document.querySelector('#help').open")
    page.press("Escape")
    page.until("!document.querySelector('#help').open")
    page.press("/")
    assert page.run("document.activeElement.id") == "query" and not page.run(
        "document.querySelector('#start').hidden"
    )
    page.press("l")
    assert page.run("document.querySelector('#query').value") == "l"


def test_tab_reaches_one_card_and_then_its_buttons(page: chromium.Browser) -> None:
    pick(page)
    page.press("j")
    assert page.run("document.querySelectorAll('.card[tabindex=\"0\"]').length") == 1
    seen = []
    for _ in range(4):
        page.press("Tab")
        seen.append(page.run("document.activeElement.className || document.activeElement.tagName"))
    assert seen == ["play round solid", "SUMMARY", "like", "refuse"]


def test_why_this_one_shows_only_evidence(page: chromium.Browser) -> None:
    pick(page)
    click(page, ".card summary")
    text = page.run("document.querySelector('.card .evidence').innerText")
    assert text.startswith("You heard ") and "found by: model" in text and "always" in text


def test_a_fresh_start_follows_from_what_was_searched_and_chosen(
    page: chromium.Browser, service: FakeService
) -> None:
    search(page, "polka")
    page.until(
        "[...document.querySelectorAll('.found .hint')].every(one => one.textContent.startsWith('Polka'))"
    )
    click(page, ".found .add", 1)
    assert page.run("document.querySelector('#begin').textContent") == "Begin with this 1 tune"
    click(page, "#begin")
    page.until(f"{IDS}.length")
    assert page.run("document.querySelector('#past-title').textContent") == "What I have heard"
    assert "tune-008" not in page.run(IDS)
    assert page.run("document.querySelector('.card .facts').textContent").startswith("Polka")
    (event,) = service.stored.values()
    assert event.item_id == "tune-008" and event.user_id.startswith("visitor-")


def test_filters_narrow_the_list_and_say_when_little_is_left(page: chromium.Browser) -> None:
    pick(page)
    click(page, ".menu input[value=waltz]")
    click(page, ".menu input[value='E dorian']")
    page.until(
        "[...document.querySelectorAll('.card .facts')].every(one => one.textContent.startsWith('WaltzE"
        " dorian'))"
    )
    page.until("document.querySelector('#fewer').textContent.startsWith('Only ')")
    click(page, "#fewer button")
    page.until(f"{IDS}.length === 12")
    assert page.run("document.querySelector('#fewer').hidden")


SHOWN = "[...document.querySelectorAll('.found [data-item] strong')].map(item => item.textContent)"


def test_search_finds_parts_of_words_and_forgives_an_error(page: chromium.Browser) -> None:
    for text in ("lar", "lark mornin", "mornign lark"):
        search(page, text)
        page.until(f"{SHOWN}.length && {SHOWN}.every(title => title.includes('Lark'))")
        search(page, "")
        page.until(f"{SHOWN}.some(title => !title.includes('Lark'))")


WIDE = "document.documentElement.scrollWidth"
MENUS = "[...document.querySelectorAll('.menu')].filter(menu => menu.offsetWidth)"


@pytest.mark.parametrize("width", WIDTHS)
def test_every_filter_menu_opens_inside_the_window(
    page: chromium.Browser, service: FakeService, width: int
) -> None:
    assert len(service.fields()) == 10
    start_view(page, page.run("location.href"), width=width, height=WIDTHS[width])
    assert page.run(WIDE) == width
    pick(page)
    assert page.run(WIDE) == width
    if width < 600:
        assert page.run(f"{MENUS}.length") == 3
        click(page, "#filters .more")
    assert page.run(f"{MENUS}.length") == 10
    for scrolled in (0, 120, 300):
        for menu in range(10):
            page.run(f"scrollTo(0, {scrolled})")
            click(page, ".menu summary", menu)
            options = f"document.querySelectorAll('.menu')[{menu}].querySelector('.options')"
            page.until(f"{options}.matches('.placed')")
            box = page.run(
                "(({left, top, right, bottom}) => [left, top, right,"
                f" bottom])({options}.getBoundingClientRect())"
            )
            button = page.run(
                f"{options}.parentElement.querySelector('summary').getBoundingClientRect().bottom"
            )
            assert 0 <= box[0] < box[2] <= width, (menu, box)
            assert button < 0 or 0 <= box[1] < box[3] <= WIDTHS[width], (menu, box)
            assert page.run(WIDE) == width
            page.run(f"document.querySelectorAll('.menu')[{menu}].open = false")
            page.until(f"!{options}.matches('.placed')")


TEMPO = "[...document.querySelectorAll('.menu')].find(menu => menu.querySelector('.range'))"


def typed(page: chromium.Browser, end: int, number: str) -> None:
    """A number in the place of what stands in From (0) or To (1), by the keyboard."""
    page.run(f"{TEMPO}.querySelectorAll('input')[{end}].select()")
    for key in (*number, "Enter"):
        page.press(key)


@pytest.mark.parametrize("width", [390, 1280])
def test_numbers_are_narrowed_from_and_to(page: chromium.Browser, service: FakeService, width: int) -> None:
    def tempos() -> list[int]:
        pairs = (pair for item in page.run(IDS) for pair in service.by_id[item]["attributes"])
        return sorted(
            {int(value) for name, _, value in (p.partition("=") for p in pairs) if name == "tempo_bpm"}
        )

    start_view(page, page.run("location.href"), width=width, height=WIDTHS[width])
    pick(page)
    if width < 600:
        click(page, "#filters .more")
    label, wrong = f"{TEMPO}.querySelector('.menu-name').textContent", f"{TEMPO}.querySelector('.wrong')"
    assert page.run(f"{TEMPO}.querySelectorAll('input[type=checkbox]').length") == 0
    page.run(f"{TEMPO}.querySelector('summary').focus()")
    page.press("Enter")
    page.until(f"{TEMPO}.querySelector('.options').matches('.placed')")
    page.press("Tab")
    assert page.run("document.activeElement.parentElement.textContent") == "From"
    assert page.run(f"{TEMPO}.querySelector('.hint').textContent") == "84 to 120"
    typed(page, 0, "100")
    page.until(f"{label} === 'Tempo bpm: from 100'")
    typed(page, 1, "104")
    page.until(f"{label} === 'Tempo bpm: 100 to 104' && {IDS}.length && {IDS}.length < 12")
    assert tempos() == [100, 104]
    click(page, ".menu input[value=reel]")  # beside another filter, which does not undo it
    page.until(
        "[...document.querySelectorAll('.card .facts')].every(one => one.textContent.startsWith('Reel'))"
    )
    assert set(tempos()) <= {100, 104} and page.run(IDS)
    before = page.run(IDS)
    page.run(f"{TEMPO}.open = true")
    page.until(f"{TEMPO}.querySelector('.options').matches('.placed')")
    typed(page, 0, "110")
    page.until(f"{wrong}.textContent.includes('“from” is above “to”')")
    assert page.run(f"[...{TEMPO}.querySelectorAll('[aria-invalid=true]')].length") == 2
    assert page.run(label) == "Tempo bpm: 100 to 104" and page.run(IDS) == before
    box = page.run(
        f"(({{left, right}}) => [left, right])({TEMPO}.querySelector('.options').getBoundingClientRect())"
    )
    assert 0 <= box[0] < box[1] <= width and page.run(WIDE) == width  # though its button has moved
    assert page.run(f"{TEMPO}.querySelector('input') === document.activeElement")
    if AXE is not None and AXE.origin is not None:
        page.run(f"{(Path(AXE.origin).parent / 'axe.min.js').read_text()}; null")
        assert page.run(FAULTS) == []
    typed(page, 0, "-e")
    page.until(f"{wrong}.textContent.startsWith('That is no number')")
    typed(page, 0, "104")
    page.until(f"{label} === 'Tempo bpm: 104 to 104' && !{wrong}.textContent")
    page.press("Escape")
    assert page.run(f"!{TEMPO}.open && document.activeElement === {TEMPO}.querySelector('summary')")
    click(page, "#filters .clear")
    page.until(f"{IDS}.length === 12")
    assert page.run(f"[...{TEMPO}.querySelectorAll('input')].map(input => input.value).join()") == ","


def visit(page: chromium.Browser, likes: int = 1) -> None:
    """Begin as a visitor and like the first item of the list, some times."""
    click(page, "#begin")
    for number in range(likes):
        page.until(
            f"{IDS}.length === 12 && {PAST}.length === {number} && !document.querySelector('.leaving')"
        )
        click(page, ".card .like")
    page.until(f"{PAST}.length === {likes} && !document.querySelector('.leaving')")


def test_a_visitor_comes_back_to_what_they_did(page: chromium.Browser, service: FakeService) -> None:
    url = page.run("location.href")
    assert page.run("document.querySelector('#data-open').hidden")
    visit(page, likes=2)
    liked, listed = page.run(PAST), page.run(IDS)
    page.open("about:blank")
    page.open(f"{url}#me")  # the address that the visit was left at
    page.until(f"{IDS}.length === 12")
    assert (page.run(PAST), page.run(IDS)) == (liked, listed)
    start_view(page, url)
    assert page.run("document.querySelector('#fresh-title').textContent") == "Welcome back"
    assert "2 events" in page.run("document.querySelector('#fresh-hint').textContent")
    click(page, ".found .add")
    click(page, "#begin")
    page.until(f"{PAST}.length === 3")
    assert len({event.user_id for event in service.stored.values()}) == 1


def test_undo_reaches_earlier_visits(page: chromium.Browser, service: FakeService) -> None:
    url = page.run("location.href")
    visit(page, likes=2)
    start_view(page, url)
    click(page, "#begin")
    for left in (1, 0):
        page.until(f"{IDS}.length === 12 && !document.querySelector('#listen').hidden")
        page.press("u")
        page.until(f"{PAST}.length === {left} && {SAID}.includes('taken back')")
    page.press("u")
    page.until("document.querySelector('#toast-text').textContent === 'There is nothing to undo.'")
    assert [event.kind for event in service.stored.values()] == ["like", "like", "undo", "undo"]


def test_your_data_can_be_taken_along_and_deleted(page: chromium.Browser, service: FakeService) -> None:
    visit(page)
    (user,) = {event.user_id for event in service.stored.values()}
    click(page, "#data-open")
    page.until("document.querySelector('#data').open")
    assert page.run("document.querySelector('#data-id').textContent") == user
    taken = page.run("fetch(document.querySelector('#data-take').href).then(answer => answer.json())")
    assert [(event["kind"], event["item"]["item_id"]) for event in taken] == [
        (event.kind, event.item_id) for event in service.stored.values()
    ]
    assert page.run("document.querySelector('#data-take').download") == f"tastemaker-{user}.json"
    click(page, "#data-delete")
    click(page, "#data-keep")
    assert len(service.stored) == 1
    click(page, "#data-delete")
    click(page, "#data-erase")
    page.until("!document.querySelector('#start').hidden && !document.querySelector('#data').open")
    assert service.stored == {} and service.erased == {user}
    page.until("document.querySelector('#fresh-title').textContent === 'Start fresh'")
    assert page.run("document.querySelector('#data-open').hidden")


def test_visitors_are_not_shown_to_each_other(page: chromium.Browser, service: FakeService) -> None:
    service.past = {"visitor-1": ["tune-001"], "listener-1": ["tune-002"]}
    start_view(page, page.run("location.href"))
    people = page.run("[...document.querySelectorAll('.person')].map(person => person.dataset.user)")
    assert people == ["listener-1"]


def test_a_visitor_whom_the_server_has_forgotten_begins_anew(
    page: chromium.Browser, service: FakeService
) -> None:
    url = page.run("location.href")
    visit(page)
    (user,) = {event.user_id for event in service.stored.values()}
    service.forget(user)
    start_view(page, url)
    assert page.run("document.querySelector('#fresh-title').textContent") == "Start fresh"
    visit(page)
    assert {event.user_id for event in service.stored.values()} - {user}


def test_the_page_holds_no_more_than_its_visitor_and_says_what_it_showed(
    page: chromium.Browser, service: FakeService
) -> None:
    visit(page)
    (user,) = {event.user_id for event in service.stored.values()}
    page.until("true")
    assert page.run("document.cookie") == "" and page.run("Object.keys(localStorage).length") == 0
    status = "fetch('users/listener-0001/history').then(answer => answer.status)"
    assert page.run(status) == 403
    assert page.run(status.replace("listener-0001", user)) == 200
    shown = [name for name in service.sent if name in service.seen]
    assert shown and len(shown) >= len(service.sent) - 1
    page.console.clear()  # the browser notes the 403


def test_a_token_in_the_address_opens_the_page_for_one_person(
    page: chromium.Browser, service: FakeService
) -> None:
    url = page.run("location.href")
    ask = "fetch('session', {method: 'POST', headers: {'Content-Type': 'application/json'}, body: "
    ask += "JSON.stringify({user_id: 'listener-0003'})}).then(answer => answer.json())"
    token = page.run(ask)["token"]
    page.open("about:blank")
    page.open(f"{url}#token={token}")
    page.until(f"{IDS}.length")
    assert "token" not in page.run("location.href")
    assert len(page.run(PAST)) == len(service.past["listener-0003"])


SHEET = "[...document.querySelectorAll('#sheet-acts button')].map(button => button.textContent)"


def test_not_interested_in_something_played_takes_it_out_of_the_taste(
    page: chromium.Browser, service: FakeService
) -> None:
    before = pick(page)
    first = page.run("document.querySelector('.past-item').title")
    click(page, ".past-item button")
    page.until("document.querySelector('#sheet').open")
    assert page.run("document.querySelector('#sheet-title').textContent") in first
    assert page.run(SHEET) == ["Play", "Not interested"]
    click(page, "#sheet-acts button", 1)
    page.until(f"{SAID}.startsWith('Without')")
    assert not page.run("document.querySelector('#sheet').open")
    assert page.run(IDS) != before
    labels = page.run(PAST)
    assert labels[0].endswith("not interested") and labels[1] == f"{first}, no longer counts"
    (event,) = service.stored.values()
    assert event.kind == "not_interested" and event.item_id == service.past["listener-0002"][-1]
    click(page, ".past-item button")
    page.until("document.querySelector('#sheet').open")
    assert page.run(SHEET) == ["Play", "Like", "Remove from history"]
    click(page, "#sheet-acts button", 2)
    page.until(f"{SAID}.includes('taken back')")
    assert page.run(IDS) == before and page.run(PAST)[0] == first


def test_what_a_kind_says_comes_from_the_server(page: chromium.Browser, service: FakeService) -> None:
    kinds = {kind["name"]: kind["sign"] for kind in page.run("fetch('info').then(a => a.json())")["kinds"]}
    assert kinds == {name: kind.sign for name, kind in KINDS.items()}
    known = service.past["listener-0002"]
    for number, (kind, value) in enumerate([("dislike", None), ("rating", 1.0), ("purchase", None)]):
        service.stored[kind] = Happened(f"e{number}", "listener-0002", kind, known[number], value=value)
    pick(page)
    marks = "[...document.querySelectorAll('.past-item')].map(item => item.classList.contains('unwanted'))"
    assert page.run(marks)[:3] == [False, True, True]
    assert [label.rsplit(", ", 1)[1] for label in page.run(PAST)[:3]] == ["bought", "rated", "disliked"]


HOSTILE = "<img src=x onerror=window.hacked=1>\u202e\"'&lt;script>"


def test_hostile_text_stays_text(browser: chromium.Browser) -> None:
    catalogue = tunes(20)
    for item in catalogue:
        item["title"] = HOSTILE
        item["attributes"] = [f"tune_type={HOSTILE}{item['item_id'][-1]}", f"{HOSTILE}=a"]
    service = FakeService(catalogue)
    service.past = {HOSTILE: [item["item_id"] for item in catalogue[:3]]}
    with served(service) as url:
        start_view(browser, f"{url}/")
        pick(browser, 0)
        click(browser, ".card .like")
        browser.until(f"{SAID}.startsWith('Since you liked')")
        click(browser, ".past-item button")
        browser.until("document.querySelector('#sheet').open")
        assert HOSTILE in browser.run("document.querySelector('#sheet').textContent")
        assert browser.run("window.hacked === undefined && !document.querySelector('img[src=x]')")
        browser.open("about:blank")


LONG = "Llanfairpwllgwyngyll" * 9
MARKED = "Z" + "\u0363" * 300  # one letter, which no line can break


@pytest.mark.parametrize("width", WIDTHS)
def test_endless_words_do_not_widen_the_page(browser: chromium.Browser, width: int) -> None:
    catalogue = tunes(20)
    for item in catalogue:
        fields = [pair.split("=") for pair in item["attributes"]]
        item["attributes"] = [f"{name}{LONG * (name != 'key')}={value}{LONG}" for name, value in fields]
        item["title"] = item["creator"] = LONG + MARKED + item["item_id"]
    service = FakeService(catalogue, asks=True)
    service.past = {LONG: [item["item_id"] for item in catalogue[:5]]}
    with served(service) as url:
        start_view(browser, f"{url}/", width=width, height=WIDTHS[width])
        search(browser, "Llan")
        assert browser.run(WIDE) == width
        pick(browser, 0)
        click(browser, ".card .like")
        browser.until(f"{SAID}.startsWith('Since you liked') && {SAID}.length < 100")
        click(browser, ".card summary")
        assert browser.run(WIDE) == width
        click(browser, ".past-item button")
        browser.until("document.querySelector('#sheet').open")
        right = browser.run("document.querySelector('#sheet').getBoundingClientRect().right")
        assert right <= width == browser.run(WIDE)
        browser.open("about:blank")


FAULTS = """axe.run(document, {resultTypes: ['violations']}).then(found => found.violations.map(
rule => [rule.id, rule.nodes.length, rule.nodes[0].html.slice(0, 200), rule.nodes[0].failureSummary]))"""


@pytest.mark.skipif(AXE is None, reason="no axe; install it with pip install --no-deps axe-playwright-python")
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_no_fault(page: chromium.Browser, service: FakeService, width: int, dark: bool) -> None:
    assert AXE is not None and AXE.origin is not None
    service.asks = service.moves = True
    script = (Path(AXE.origin).parent / "axe.min.js").read_text()
    start_view(page, page.run("location.href"), width=width, height=WIDTHS[width], dark=dark)
    page.run(f"{script}; null")
    assert page.run(FAULTS) == []
    visit(page, likes=2)
    click(page, ".card summary")
    click(page, ".card .play")
    page.until("document.querySelector('.sounding') && !document.querySelector('#survey').hidden")
    assert page.run(FAULTS) == []
    click(page, "#data-open")
    page.until("document.querySelector('#data').open")
    assert page.run(FAULTS) == []
    page.press("Escape")
    page.until("!document.querySelector('#data').open")
    click(page, ".past-item button")
    page.until("document.querySelector('#sheet').open")
    assert page.run(FAULTS) == []


ITEMS = "[...document.querySelectorAll('.reply:last-child .said-item')].map(item => item.dataset.item)"
CHIPS = "[...document.querySelectorAll('#talk-chips .chip')].map(chip => chip.textContent)"
QUIET = "!document.querySelector('#talk-log').hasAttribute('aria-busy')"
HERE = "(({top, bottom}) => top >= 0 && bottom <= innerHeight)"


def say(page: chromium.Browser, words: str) -> None:
    """Type words into the conversation, send them by the keyboard, and wait for the whole answer."""
    if page.run("document.activeElement.id") != "talk-text":
        page.press("c")
    for letter in words:
        page.press(letter)
    page.press("Enter")
    page.until("document.querySelector('#talk-text').value === ''")
    page.until(QUIET)


@pytest.mark.parametrize("width", [390, 1280])
def test_a_conversation_beside_the_cards(browser: chromium.Browser, tiny_workspace: Path, width: int) -> None:
    browser.send("Network.clearBrowserCookies")
    browser.console.clear()
    assistant = tm.Assistant.open(tiny_workspace)
    with served(assistant.service, assistant) as url:
        start_view(browser, f"{url}/", width=width, height=WIDTHS[width], dark=width < 600)
        click(browser, "#begin")
        browser.until(f"{IDS}.length")
        say(browser, "a reel in D")
        assert browser.run(CHIPS) == ["type reel", "key D"]
        first = browser.run(ITEMS)
        assert first and browser.run(f"{HERE}(document.querySelector('#talk-text').getBoundingClientRect())")
        browser.run("document.querySelectorAll('#talk-chips .chip')[1].click()")
        browser.until(f"{CHIPS}.join() === 'type reel' && {ITEMS}.length")
        assert browser.run("document.querySelector('#talk').contains(document.activeElement)")
        browser.until(QUIET)
        shown = browser.run(ITEMS)
        browser.run("document.querySelector('.reply:last-child .deeds [aria-label^=Like]').click()")
        browser.until(f"{PAST}.length === 1 && {SAID}.startsWith('Since you liked')")
        browser.until(QUIET)
        assert (
            shown[0] not in browser.run(IDS)
            and browser.run("document.querySelectorAll('.reply').length") == 2
        )
        assert browser.run("document.querySelectorAll('#talk [aria-pressed=true]').length") == 1
        say(browser, "I don't like the second")
        browser.until(f"{PAST}.length === 2 && {SAID}.startsWith('Since you said so')")
        assert browser.run(PAST)[0].endswith(("skipped", "not interested")) and shown[1] not in browser.run(
            ITEMS
        )
        click(browser, ".reply:last-child .deeds [aria-label^=Not]")
        browser.until(f"{PAST}.length === 3 && {SAID}.startsWith('Without')")
        browser.until(QUIET)
        places = "[...document.querySelectorAll('.said-item')].map(item => getComputedStyle(item).position)"
        assert set(browser.run(places)) == {"static"}  # a verdict moves nothing out of its place
        say(browser, "a waltz in D that is a jig in G")
        browser.until("document.querySelector('.reply:last-child .choices button')")
        assert browser.run(
            "document.querySelector('.choices button').checkVisibility({visibilityProperty: true})"
        )
        assert browser.run(WIDE) == width and browser.console == []
        if AXE is not None and AXE.origin is not None:
            browser.run(f"{(Path(AXE.origin).parent / 'axe.min.js').read_text()}; null")
            assert browser.run(FAULTS) == []
        say(browser, "forget everything about me")
        browser.run("document.querySelector('.reply:last-child .choices button').click()")
        browser.until(
            "!document.querySelector('#start').hidden && document.querySelector('#data-open').hidden"
        )
        browser.send("Network.clearBrowserCookies")
        browser.open("about:blank")
    assistant.close()


def test_dark_and_phone(page: chromium.Browser, tmp_path: Path) -> None:
    url = page.run("location.href")
    light = page.run("getComputedStyle(document.body).backgroundColor")
    page.open(url, width=390, height=844, dark=True)
    page.until("document.querySelectorAll('.person').length")
    assert page.run("getComputedStyle(document.body).backgroundColor") != light
    assert page.run("document.documentElement.scrollWidth") == 390
    pick(page, 3)
    click(page, ".card .play")
    page.until("document.querySelector('.sounding')")
    assert page.run("document.documentElement.scrollWidth") == 390
    parts = "[...document.querySelectorAll('.card, .card button, .menu, .player, .whom')]"
    assert page.run(f"{parts}.every(one => one.getBoundingClientRect().right <= 390)")
    assert page.run("[...document.querySelectorAll('.verdict button')].every(one => one.offsetHeight >= 44)")
    page.picture(tmp_path / "phone.png")
    assert (tmp_path / "phone.png").stat().st_size > 10_000
    click(page, "#theme")
    assert page.run("document.documentElement.dataset.theme") == "light"
    assert page.run("getComputedStyle(document.body).backgroundColor") == light
    page.run("localStorage.clear()")


def test_everything_that_can_be_pressed_has_a_name_and_its_own_id(page: chromium.Browser) -> None:
    pick(page)
    named = "one.getAttribute('aria-label') || one.textContent.trim() || one.labels?.length"
    every = "[...document.querySelectorAll('button, input, a, summary')]"
    assert page.run(f"{every}.filter(one => !({named})).map(one => one.outerHTML)") == []
    assert page.run("[...document.querySelectorAll('img')].every(one => one.hasAttribute('alt'))")
    assert page.run(
        "(ids => ids.length === new Set(ids).size)([...document.querySelectorAll('[id]')].map(one => one.id))"
    )


def test_trouble_is_shown_with_its_remedy_and_can_be_retried(
    browser: chromium.Browser, service: FakeService
) -> None:
    def refuse(_: Any) -> None:
        raise InputError("the codebook does not match the model; run tastemaker train")

    service.gate = refuse
    with served(service) as url:
        browser.open(f"{url}/")
        browser.until("document.querySelectorAll('.person').length")
        click(browser, ".person")
        browser.until("!document.querySelector('#trouble').hidden")
        text = browser.run("document.querySelector('#trouble').innerText")
        assert "the codebook does not match the model" in text and "run tastemaker train" in text
        service.gate = lambda _: None
        click(browser, "#trouble button")
        browser.until(f"{IDS}.length === 12 && document.querySelector('#trouble').hidden")
        browser.open("about:blank")


def test_a_like_that_was_lost_on_the_way_is_repeated_by_trying_again(
    page: chromium.Browser, service: FakeService
) -> None:
    wanted = pick(page)[0]
    page.send("Network.enable")
    offline = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    page.send("Network.emulateNetworkConditions", offline=True, **offline)
    click(page, f".card[data-item='{wanted}'] .like")
    page.until("!document.querySelector('#trouble').hidden")
    page.send("Network.emulateNetworkConditions", offline=False, **offline)
    click(page, "#trouble button")
    page.until(f"{SAID}.startsWith('Since you liked') && document.querySelector('#trouble').hidden")
    assert [event.item_id for event in service.stored.values() if event.kind == "like"] == [wanted]
    page.console.clear()


def test_a_like_whose_answer_was_lost_is_stored_once(page: chromium.Browser, service: FakeService) -> None:
    wanted = pick(page)[0]
    page.run(
        "(() => { const real = window.fetch; window.fetch = async (...call) => {"
        " const answer = await real(...call);"
        " if (String(call[0]).endsWith('events')) { window.fetch = real; throw new TypeError('lost'); }"
        " return answer; }; })()"
    )
    click(page, f".card[data-item='{wanted}'] .like")
    page.until("!document.querySelector('#trouble').hidden")
    click(page, "#trouble button")
    page.until(f"{SAID}.startsWith('Since you liked') && document.querySelector('#trouble').hidden")
    assert [event.item_id for event in service.stored.values() if event.kind == "like"] == [wanted]
    page.console.clear()


def test_a_shop_without_sound_or_pictures(browser: chromium.Browser) -> None:
    with served(FakeService(goods(), simulated=False)) as url:
        browser.console.clear()
        browser.open(f"{url}/")
        browser.until("document.querySelectorAll('.person').length")
        assert browser.run("document.querySelector('#notice').hidden")
        ids = pick(browser)
        assert browser.run("document.querySelectorAll('button.play, .card img').length") == 0
        assert browser.run(
            "[...document.querySelectorAll('.card .tile')].every(tile => tile.textContent.length > 0)"
        )
        assert (
            browser.run("document.querySelector('#past-title').textContent") == "What Customer 3 has chosen"
        )
        assert "simulated" not in browser.run("document.body.innerText.toLowerCase()")
        browser.press("j")
        browser.press(" ")
        click(browser, ".card .like")
        browser.until(f"{SAID}.startsWith('Since you liked')")
        assert ids[0] not in browser.run(IDS) and browser.console == []
        browser.open("about:blank")


def test_the_survey_is_one_small_card_that_can_be_answered_or_skipped(
    page: chromium.Browser, service: FakeService
) -> None:
    service.asks = True
    pick(page)
    click(page, ".card .like", 1)
    page.until("!document.querySelector('#survey').hidden")
    assert page.run("document.querySelector('#survey').innerText").splitlines()[-1] == "Skip"
    assert page.run("document.activeElement.closest('#survey')") is None  # it takes no focus from the list
    named = "one => one.getAttribute('aria-label') || one.textContent"
    names = page.run(f"[...document.querySelectorAll('#survey button')].map({named})")
    assert names == ["1 of 5, surely not", "2 of 5", "3 of 5", "4 of 5", "5 of 5, surely", "Skip"]
    click(page, "#survey-scale button", 3)
    page.until(
        "document.querySelector('#survey').hidden && document.querySelector('#survey-said').textContent ==="
        " 'Thank you.'"
    )
    assert [answers for _, answers in service.questions.values()] == [[4]]
    click(page, ".card .like", 0)
    page.until("!document.querySelector('#survey').hidden")
    click(page, "#survey-skip")
    page.until("document.querySelector('#survey-said').textContent === 'Skipped.'")
    assert [answers for _, answers in service.questions.values()] == [[4], [None]]


def test_the_survey_by_keyboard_and_in_the_dark_on_a_phone(
    page: chromium.Browser, service: FakeService, tmp_path: Path
) -> None:
    service.asks = service.moves = True
    page.open(page.run("location.href"), width=390, height=844, dark=True)
    page.until("document.querySelectorAll('.person').length")
    pick(page)
    page.press("j")
    page.press("l")
    page.until("!document.querySelector('#survey').hidden")
    card = "document.querySelector('#survey').getBoundingClientRect()"
    box = page.run(f"(({{left, right, bottom}}) => [left, right, bottom])({card})")
    assert box[0] >= 0 and box[1] <= 390 and box[2] <= 844
    assert page.run("document.documentElement.scrollWidth") == 390
    assert page.run(
        "[...document.querySelectorAll('#survey-scale button')].every(one => one.offsetHeight >= 44)"
    )
    page.press("q")
    assert page.run("document.activeElement.dataset.value") == "3"
    page.press("5")
    page.until("document.querySelector('#survey').hidden")
    page.until("document.querySelector('#survey-said').textContent === 'Thank you.'")
    assert [answers for _, answers in service.questions.values()] == [[5]]
    click(page, ".card summary")
    assert page.run("document.querySelector('.card .evidence .moved').innerText").startswith(
        "Moved up 2 places"
    )
    page.picture(tmp_path / "phone.png")


def test_who_looked_at_the_page_is_still_the_operator_without_keys(
    browser: chromium.Browser, tiny_workspace: Path
) -> None:
    service = WorkspaceService(Workspace.open(tiny_workspace))
    with served(service) as url:
        browser.open(url)  # which gives this browser a visitor's cookie
        browser.until("document.querySelector('#start, main')")
        browser.run("fetch('session', {method: 'POST'}).then(answer => answer.status)")
        browser.open(f"{url}/operator")
        browser.until("document.querySelectorAll('.part').length")
        assert browser.run("document.querySelector('#trouble').hidden")
    service.close()


@pytest.fixture(scope="module")
def operated(
    untouched_workspace: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[WorkspaceService, str]]:
    """A workspace with two deployments and an operator key, and its server."""
    root = tmp_path_factory.mktemp("operated")
    folder = Path(shutil.copytree(untouched_workspace, root / "w"))
    write_table(root / "items.parquet", tiny_items().slice(1))
    write_table(root / "interactions.parquet", tiny_interactions())
    ingest_files(folder, root / "items.parquet", root / "interactions.parquet")
    service = WorkspaceService(Workspace.open(folder))
    service.watches.round()
    key = service.keys.add("operator", "boss")
    with served(service) as url:
        yield service, f"{url}/operator#{key}"
    service.close()


def operator_view(browser: chromium.Browser, address: str, **window: Any) -> None:
    """The page, after its form was given the key."""
    url, _, key = address.partition("#")
    browser.open(url, **window)
    browser.run("sessionStorage.clear()")
    browser.open(url, **window)
    browser.until("!document.querySelector('#key-form').hidden && !document.querySelector('#trouble').hidden")
    browser.run(f"document.querySelector('#key').value = {key!r}")
    click(browser, "#key-form button")
    browser.until("document.querySelector('#key-form').hidden && document.querySelectorAll('.part').length")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dark", [False, True])
def test_the_operators_page_shows_every_part(
    browser: chromium.Browser, operated: tuple[WorkspaceService, str], width: int, dark: bool
) -> None:
    service, address = operated
    operator_view(browser, address, width=width, height=WIDTHS[width], dark=dark)
    titles = browser.run("[...document.querySelectorAll('.part')].map(part => part.id)")
    assert titles == [f"part-{name}" for name in ("watches", LOAD, *PARTS[1:])]
    assert service.parts.deployment in browser.run("document.querySelector('#part-deployments').textContent")
    assert browser.run(WIDE) == width
    if AXE is not None and AXE.origin is not None:
        browser.run(f"{(Path(AXE.origin).parent / 'axe.min.js').read_text()}; null")
        assert browser.run(FAULTS) == []


def test_the_operator_rolls_back_with_one_click(
    browser: chromium.Browser, operated: tuple[WorkspaceService, str]
) -> None:
    service, address = operated
    operator_view(browser, address)
    serving = service.parts.deployment
    browser.run("window.confirm = () => true")
    click(browser, "#rollback")
    browser.until(f"!document.querySelector('#rollback').textContent.includes({serving!r})")
    assert service.parts.deployment != serving
    assert service.keys.entries()[-1].actor == "boss"
    browser.console.clear()  # it says 401 of the first look, without a key


def test_a_column_is_a_menu_of_its_own_name(browser: chromium.Browser, tmp_path: Path) -> None:
    from tests.flows.test_filters import EVENTS, books

    browser.console.clear()
    tm.Workspace.create(tmp_path / "w").ingest(items=books(), interactions=EVENTS).train()
    assistant = tm.Assistant.open(tmp_path / "w")
    with served(assistant.service, assistant) as url:
        start_view(browser, f"{url}/")
        pick(browser, 0)
        names = "[...document.querySelectorAll('.menu-name')].map(name => name.textContent)"
        assert browser.run(names) == ["Genre", "Publisher", "Year"]
        facts = "[...document.querySelectorAll('.card .facts')].map(fact => fact.textContent)"
        assert browser.run(f"{facts}.every(fact => /^(Drama|Comedy|Poetry)(19|20)\\d\\d$/.test(fact))")
        click(browser, ".menu input[value=comedy]")
        browser.until(f"{facts}.length && {facts}.every(fact => fact.startsWith('Comedy'))")
        say(browser, "a drama from after 1995")
        assert browser.run(CHIPS) == ["genre drama", "year at least 1996"]
        assert browser.console == []
    assistant.close()
