from __future__ import annotations

import pytest

from tastemaker.chat import CallError, Media, Message, Reply, Request, assistant, user
from tastemaker.chat.answers import ask_again, read_answer, schema_prompt
from tastemaker.errors import InputError

from .conftest import Pick, ask


def test_an_answer_is_parsed_into_its_model():
    assert read_answer(Reply('{"item": 3}'), ask()) == Pick(item=3)
    assert read_answer(Reply('```json\n{"item": 3}\n```'), ask()) == Pick(item=3)


@pytest.mark.parametrize(
    ("reply", "kind", "message"),
    [
        (Reply('{"item": 3'), "not_json", "not JSON"),
        (Reply("Sure! {}"), "not_json", "not JSON"),
        (Reply("I cannot help with that."), "not_json", "not JSON .‘I cannot help with that.’"),
        (Reply('{"item": 3', cut_off=True), "cut_off", "fewer words"),
        (Reply('{"item": "x"}'), "schema", "item: Input should be a valid integer"),
        (Reply("{}"), "schema", "item: Field required"),
        (Reply("[]"), "schema", "answer"),
        (Reply('{"item": 9}'), "domain", "T9 is not a candidate"),
    ],
)
def test_each_stage_names_its_failure(reply, kind, message):
    with pytest.raises(CallError, match=message) as caught:
        read_answer(reply, ask(), lambda pick: "T9 is not a candidate" if pick.item == 9 else None)
    assert caught.value.kind == kind


def test_plain_text_may_not_be_empty_or_cut_off():
    plain = Request((user("hello"),), str)
    assert read_answer(Reply(" a tune \n"), plain) == "a tune"
    for reply, kind in ((Reply("  "), "schema"), (Reply("a tu", cut_off=True), "cut_off")):
        with pytest.raises(CallError) as caught:
            read_answer(reply, plain)
        assert caught.value.kind == kind


def test_asking_again_shows_every_try_and_its_reason():
    tries = [{"text": "x", "detail": "not JSON"}, {"text": "", "detail": "item missing"}]
    messages = ask_again(ask("q"), tries).messages
    assert messages[:2] == (user("q"), assistant("x"))
    assert (
        "not JSON" in messages[2].text
        and messages[3].text == "(empty)"
        and "item missing" in messages[4].text
    )
    assert ask_again(ask("q"), []) == ask("q")
    assert '"item"' in schema_prompt(ask()) and schema_prompt(Request((user("q"),), str)) == ""


def test_what_no_model_takes_is_refused():
    with pytest.raises(InputError):
        Media(b"", "image/gif")


def test_media_are_parts_with_a_kind_and_a_hash():
    cover = Media(b"png", "image/png")
    assert (cover.medium, len(cover.sha256)) == ("image", 64)
    assert Message("user", ("a", cover, "b")).text == "a\nb"
