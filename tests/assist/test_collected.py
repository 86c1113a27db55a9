"""What people said and liked in conversations reaches what is learnt next."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import tastemaker as tm
from tastemaker.cli.main import app
from tastemaker.converse import collect, open_dataset
from tastemaker.errors import InputError
from tastemaker.flows.data import take_snapshot, telling_events
from tastemaker.store import Workspace


def command(*words: str) -> Any:
    done = CliRunner().invoke(app, [*words, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def talk(folder: Path) -> dict[str, Any]:
    """Somebody talks in the workspace; the items of the two lists that they had an opinion of."""
    assistant = tm.Assistant.open(folder)
    try:
        first = [part.public() for part in assistant.respond("a reel", None, "ann")]
        name = first[-1]["conversation_id"]
        list(assistant.respond("what key is the first in?", name, "ann"))
        list(assistant.respond("not that one, I like the second", name, "ann"))
        second = [part.public() for part in assistant.respond("a jig in D", name, "ann")]
        reels, jigs = (
            [part["item_id"] for part in parts if part["kind"] == "item"] for parts in (first, second)
        )
        list(assistant.respond("", name, "ann", feedback={jigs[0]: "skip", jigs[-1]: "play"}))
        list(assistant.respond("a reel"))  # of nobody nothing is kept
    finally:
        assistant.close()
    return {"reels": reels, "jigs": jigs}


@pytest.fixture(scope="module")
def talked(
    tmp_path_factory: pytest.TempPathFactory, untouched_workspace: Path
) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("talked") / "workspace"
    shutil.copytree(untouched_workspace, folder)
    return folder, talk(folder)


def test_likes_and_plays_of_a_conversation_are_learnt(talked: tuple[Path, dict[str, Any]]) -> None:
    folder, lists = talked
    workspace = Workspace.open(folder)
    events = telling_events(workspace).to_pylist()
    wanted = {row["item_id"] for row in events if row["user_id"] == "ann" and row["kind"] in ("like", "play")}
    assert {lists["reels"][1], lists["jigs"][-1]} <= wanted
    result = command("train", "-w", str(folder), "--until", "vectors", "-q")
    assert result is not None and take_snapshot(workspace).events


def test_conversations_of_people_are_read_as_generated_ones(talked: tuple[Path, dict[str, Any]]) -> None:
    folder, lists = talked
    report = command("converse", "collect", "-w", str(folder), "-q")
    assert (report["conversations"], report["people"]) == (1, 1)
    (conversation,) = open_dataset(folder, "people")
    reels, jigs = conversation.turns[0], conversation.turns[-1]
    assert reels.message == "a reel" and "what key" in conversation.turns[1].message
    assert [shown.item_id for shown in reels.candidates] == lists["reels"]
    assert reels.item_id == lists["reels"][1] and conversation.label(1) == "MOVES_TOWARD_GOAL"
    assert jigs.item_id == lists["jigs"][-1] and conversation.label(jigs.turn) == "MOVES_TOWARD_GOAL"
    assert jigs.candidates[0].violates == "turned down"
    assert {(c.clause.field, c.clause.value) for c in jigs.delta} >= {("type", "jig"), ("key", "D")}
    for kind in ("chat", "retrieval", "preference", "tools", "talkplay"):
        file = folder / f"{kind}.jsonl"
        rows = command(
            "converse", "export", "-w", str(folder), "--name", "people", "--format", kind, "--out", str(file)
        )
        assert len(file.read_text().splitlines()) == rows["rows"] > 0, kind
        assert "ann" not in {
            str(row.get("user_id")) for row in map(json.loads, file.read_text().splitlines())
        }
    chat = json.loads((folder / "chat.jsonl").read_text().splitlines()[0])
    assert chat["messages"][0] == {"role": "user", "content": "a reel"}
    assert chat["messages"][1]["role"] == "assistant" and "1. " in chat["messages"][1]["content"]
    pair = json.loads((folder / "preference.jsonl").read_text().splitlines()[-1])
    assert (pair["chosen_item"], pair["rejected_item"]) == (lists["jigs"][-1], lists["jigs"][0])


def test_a_collected_set_tells_of_itself_and_is_not_generated_over(
    talked: tuple[Path, dict[str, Any]],
) -> None:
    folder, _ = talked
    set_named = ("-w", str(folder), "--name", "said")
    result = command("converse", "collect", *set_named, "-q")
    status = command("converse", "status", *set_named)
    assert (status["finished"], status["turns"]) == (1, result["turns"]) and status["turns"] > 1
    text = CliRunner().invoke(app, ["converse", "status", *set_named]).output
    assert f"conversations: 1, turns: {result['turns']}" in text and status["collected"] in text
    assert "said to the assistant" in status["source"] and status["source"] in text
    before = {path: path.read_bytes() for path in (folder / "conversations" / "said").iterdir()}
    for words in (("run", "--n", "4"), ("resume",), ("retry",)):
        done = CliRunner().invoke(app, ["converse", *words, *set_named, "-q"])
        assert done.exit_code != 0 and "another --name" in (done.output + str(done.exception))
    assert {path: path.read_bytes() for path in (folder / "conversations" / "said").iterdir()} == before


def test_what_was_collected_goes_with_the_person(tmp_path: Path, untouched_workspace: Path) -> None:
    copy = tmp_path / "workspace"
    shutil.copytree(untouched_workspace, copy)
    talk(copy)
    assert len(collect(copy)) == 1
    command("admin", "forget", "-w", str(copy), "--user", "ann")
    with pytest.raises(InputError, match="no person with a name"):
        collect(copy)
    assert len(open_dataset(copy, "people")) == 0
