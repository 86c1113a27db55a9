"""Requests for the demo catalogue in six voices, with right answers that can be run.

For each: is every demand read (the items that the assistant's constraints admit on that field are exactly the
right ones), does any item that is shown violate a demand that was read, is what is not here said not to be
here, and is every question about an item answered with its fact? Target: 85 % of demands read, no violation,
every question. `--file unseen` takes 40 further ones, written after the reader was and before any was tried.

    tastemaker demo -w demo --no-serve && python -m recipes.assistant.requests -w demo [--file unseen]
"""

from __future__ import annotations

import json
import operator
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recipes.common import command, parser, read_arguments
from tastemaker.assist.assistant import Assistant
from tastemaker.assist.shelf import Shelf
from tastemaker.assist.state import State
from tastemaker.converse.constraints import Clause, Constraint, granted
from tastemaker.converse.reading.plain import in_words

FIELDS = {"type": "tune_type", "tempo": "tempo_bpm"}
ABSENT_HERE = "here that I know of"
Part = dict[str, Any]


@dataclass(frozen=True)
class Demand:
    """A right answer: a constraint. soft: a preference will do."""

    constraint: Constraint
    soft: bool


@dataclass(frozen=True)
class Asked:
    """A line of the file: turns; answers to the newest of a request, or a field for a question."""

    voice: str
    turns: tuple[str, ...]
    answers: tuple[str, ...] = ()
    question: str = ""


@dataclass(frozen=True)
class Outcome:
    """What came of a request: rows of the list before the newest turn, its parts, rows shown as fitting,
    the state.
    """

    before: tuple[int, ...]
    parts: tuple[Part, ...]
    items: tuple[int, ...]
    state: State


def requests(name: str) -> Iterator[Asked]:
    """The lines of a file of this folder."""
    for line in Path(__file__).with_name(f"{name}.txt").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            voice, text, answer = (part.strip() for part in line.rsplit("|", 2))
            if voice.startswith("?"):
                yield Asked(voice[1:].strip(), (text,), question=answer)
            else:
                yield Asked(voice, tuple(re.split(r"\s*>>\s*", text)), tuple(answer.split()))


def hear(assistant: Assistant, shelf: Shelf, asked: Asked) -> Outcome:
    """Say the turns of a request."""
    before: tuple[int, ...] = ()
    conversation, parts = None, list[Part]()
    for text in asked.turns:
        if conversation is not None:
            before = assistant.state(conversation).shown
        parts = [part.public() for part in assistant.respond(text, conversation)]
        conversation = parts[-1]["conversation_id"]
    rows = shelf.catalogue.row
    items = tuple(rows[part["item_id"]] for part in parts if part["kind"] == "item" and not part["unmet"])
    return Outcome(before, tuple(parts), items, assistant.state(str(conversation)))


def judged(answer: str, outcome: Outcome, shelf: Shelf) -> tuple[bool, int]:
    """Whether an answer was read, and how many items violate it although it was."""
    if answer.startswith("!"):  # said not to be here
        words = answer[1:].replace("_", " ").casefold()
        texts = [str(part.get("text", "")) for part in outcome.parts]
        return any(words in text.casefold() and ABSENT_HERE in text for text in texts), 0
    if (place := re.search(r"@(\d)", answer)) and len(outcome.before) < int(place[1]):
        return False, 0
    if pointed := re.fullmatch(r"-item=@(\d)", answer):
        row = outcome.before[int(pointed[1]) - 1]
        return row in outcome.state.disliked, int(row in outcome.items)
    if compared := re.fullmatch(r"(\w+)([<>=])@(\d)", answer):
        name, sign, which = compared.groups()
        name = FIELDS.get(name, name)
        than = shelf.fact(outcome.before[int(which) - 1], name)
        holds: Callable[[Any, Any], bool] = {"<": operator.lt, ">": operator.gt, "=": operator.eq}[sign]
        own = [c for c in outcome.state.active if c.clause.field == name and c.kind == "must"]
        admitted = np.flatnonzero(np.all([granted(c, shelf.match) == 1 for c in own], axis=0)) if own else ()
        met = [holds(shelf.fact(int(row), name), than) for row in admitted]
        return bool(own) and all(met), sum(not holds(shelf.fact(row, name), than) for row in outcome.items)
    wanted = demand(answer)
    hit = read(wanted, outcome.state.active, shelf)
    wrong = sum(granted(wanted.constraint, shelf.match)[row] != 1 for row in outcome.items)
    return hit, int(wrong) if hit and not wanted.soft else 0


def demand(text: str) -> Demand:
    """`-key=G`, `~mode=minor`, `tempo<=100`, `tempo=90..110`, `metre=2/4/4/4` (two values)."""
    match = re.fullmatch(r"(~?-?)([\w]+)(<=|>=|=)(\S+)", text)
    assert match is not None, text
    sign, name, cmp, value = match.groups()
    name = FIELDS.get(name, name)
    if name == "tempo_bpm":
        low, _, high = value.partition("..")
        clause = (
            Clause(name, "between", (float(low), float(high)))
            if high
            else Clause(name, {"<=": "le", ">=": "ge"}[cmp], float(low))
        )
    else:
        parts = re.findall(r"\d/\d", value) if name == "metre" else value.split("/")
        values = tuple(part.replace("_", " ") for part in parts)
        clause = Clause(name, "in", values) if len(values) > 1 else Clause(name, "eq", values[0])
    return Demand(Constraint("must_not" if "-" in sign else "must", clause), "~" in sign)


def read(wanted: Demand, active: tuple[Constraint, ...], shelf: Shelf) -> bool:
    """Whether the constraints that stand admit, on the demand's field, the demanded items and no others."""
    own = [c for c in active if c.clause.field == wanted.constraint.clause.field]
    if wanted.constraint.kind == "must_not":
        own = [c for c in own if c.kind == "must_not" and c.clause == wanted.constraint.clause] or [
            c for c in own if c.kind != "prefer"
        ]
    elif not wanted.soft:
        own = [c for c in own if c.kind == "must"]
    else:
        own = [Constraint("must", c.clause) for c in own if c.kind != "must_not"]
    if not own:
        return False
    right = granted(wanted.constraint, shelf.match) == 1
    admitted = np.all([granted(c, shelf.match) == 1 for c in own], axis=0)
    return bool((admitted == right).all()) or (
        wanted.constraint.kind == "must_not" and bool((admitted <= right).all())
    )


def main() -> None:
    """Run and print."""
    options = parser(main, "the first 40 requests")
    options.add_argument("-w", "--workspace", type=Path, default=Path("demo"))
    options.add_argument("--file", choices=("requests", "unseen"), default="requests")
    arguments = read_arguments(options, "assistant-requests")
    assistant = Assistant.open(arguments.workspace)
    shelf = assistant.library().shelf
    counts: Counter[str] = Counter()
    missed, voices = list[str](), dict[str, list[int]]()
    lines = list(requests(arguments.file))
    for request in lines[:40] if arguments.quick else lines:
        if request.question:
            answered = question(assistant, shelf, request)
            counts["questions"] += 1
            counts["answered"] += answered
            missed += [] if answered else [f"{request.voice}: {request.turns[0]}: {request.question}"]
            continue
        outcome = hear(assistant, shelf, request)
        for answer in request.answers:
            hit, wrong = judged(answer, outcome, shelf)
            counts.update(demands=1, read=int(hit), violations=wrong)
            voices.setdefault(request.voice, []).append(int(hit))
            missed += [] if hit else [f"{request.voice}: {' >> '.join(request.turns)}: {answer}"]
        absent = sum(ABSENT_HERE in str(part.get("text", "")) for part in outcome.parts)
        if absent and "!" not in str(request.answers):
            missed.append(f"{request.voice}: {' >> '.join(request.turns)}: said to be absent")
        counts.update(requests=1, items=len(outcome.items), absent=absent and "!" not in str(request.answers))
    assistant.close()
    share = counts["read"] / max(counts["demands"], 1)
    report = [
        f"{counts['requests']} requests, {counts['demands']} demands: {counts['read']} read ({share:.1%})",
        "  " + ", ".join(f"{voice} {np.mean(hits):.0%} of {len(hits)}" for voice, hits in voices.items()),
        f"{counts['items']} items shown as fitting, {counts['violations']} violate a demand that was read",
        f"{counts['absent']} requests answered that something is not here although all was",
        f"{counts['questions']} questions about an item, {counts['answered']} answered from its facts",
        *(f"  missed: {line}" for line in missed),
    ]
    (arguments.out / "table.txt").write_text("\n".join(report) + "\n")
    (arguments.out / "table.json").write_text(
        json.dumps({**{name: int(count) for name, count in counts.items()}, "missed": missed})
    )
    print("\n".join(report))


def question(assistant: Assistant, shelf: Shelf, request: Asked) -> bool:
    """Whether the answer to a question about the item shown first holds its fact."""
    first: list[dict[str, Any]] = [part.public() for part in assistant.respond("a tune, please")]
    conversation = first[-1]["conversation_id"]
    row = next(shelf.catalogue.row[part["item_id"]] for part in first if part["kind"] == "item")
    answer = " ".join(
        part.public().get("text", "") for part in assistant.respond(request.turns[0], conversation)
    )
    value = shelf.fact(row, request.question)
    return (in_words(value) if value is not None else "not known").casefold() in answer.casefold()


if __name__ == "__main__":
    command(main)
