"""200 requests for the demo catalogue in six voices, with right answers that can be run.

For each: is every demand read (the items that the assistant's constraints admit on that field are exactly the
right ones), does any item that is shown violate a demand that was read, and is every question about an item
answered with its fact? Target: 85 % of demands read, no violation, every question.

    tastemaker demo -w demo --no-serve && python -m recipes.assistant.requests -w demo
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recipes.common import parser, read_arguments
from tastemaker.assist.assistant import Assistant
from tastemaker.assist.desk import said
from tastemaker.assist.shelf import Shelf
from tastemaker.converse.constraints import Clause, Constraint, granted

REQUESTS = Path(__file__).with_suffix(".txt")
FIELDS = {"type": "tune_type", "tempo": "tempo_bpm"}


@dataclass(frozen=True)
class Demand:
    """A right answer: a constraint. soft: a preference will do."""

    constraint: Constraint
    soft: bool


@dataclass(frozen=True)
class Asked:
    """A line of the file. demands for a request, a field for a question."""

    voice: str
    text: str
    demands: tuple[Demand, ...] = ()
    question: str = ""


def requests() -> Iterator[Asked]:
    """The lines of the file."""
    for line in REQUESTS.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            voice, text, answer = (part.strip() for part in line.rsplit("|", 2))
            if voice.startswith("?"):
                yield Asked(voice[1:].strip(), text, question=answer)
            else:
                yield Asked(voice, text, tuple(demand(part) for part in answer.split()))


def demand(text: str) -> Demand:
    """`-key=G`, `~mode=minor`, `tempo<=100`, `tempo=90..110`, `metre=2/4/4/4` (two values)."""
    found = re.fullmatch(r"([-~]?)([\w]+)(<=|>=|=)(\S+)", text)
    assert found is not None, text
    sign, name, cmp, value = found.groups()
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
    return Demand(Constraint("must_not" if sign == "-" else "must", clause), sign == "~")


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
    found = parser(main, "the first 40 requests")
    found.add_argument("-w", "--workspace", type=Path, default=Path("demo"))
    arguments = read_arguments(found, "assistant-requests")
    assistant = Assistant.open(arguments.workspace)
    shelf = assistant.library().shelf
    counts: Counter[str] = Counter()
    missed, voices = list[str](), dict[str, list[int]]()
    asked = list(requests())
    for request in asked[:40] if arguments.quick else asked:
        if request.question:
            answered = question(assistant, shelf, request)
            counts["questions"] += 1
            counts["answered"] += answered
            missed += (
                [] if answered else [f"{request.voice}: {request.text}: {request.question} was not told"]
            )
            continue
        parts = [part.public() for part in assistant.respond(request.text)]
        state = assistant._conversations[parts[-1]["conversation_id"]].state
        items = [
            shelf.catalogue.row[part["item_id"]]
            for part in parts
            if part["kind"] == "item" and not part["unmet"]
        ]
        for wanted in request.demands:
            hit = read(wanted, state.active, shelf)
            counts["demands"] += 1
            counts["read"] += hit
            voices.setdefault(request.voice, []).append(int(hit))
            if not hit:
                missed.append(
                    f"{request.voice}: {request.text}: {wanted.constraint.kind} {wanted.constraint.clause}"
                )
            elif not wanted.soft:
                counts["violations"] += sum(
                    granted(wanted.constraint, shelf.match)[row] != 1 for row in items
                )
        counts["requests"] += 1
        counts["items"] += len(items)
    assistant.close()
    share = counts["read"] / max(counts["demands"], 1)
    lines = [
        f"{counts['requests']} requests, {counts['demands']} demands: {counts['read']} read ({share:.1%})",
        "  " + ", ".join(f"{voice} {np.mean(hits):.0%} of {len(hits)}" for voice, hits in voices.items()),
        f"{counts['items']} items shown as fitting, {counts['violations']} violate a demand that was read",
        f"{counts['questions']} questions about an item, {counts['answered']} answered from its facts",
        *(f"  missed: {line}" for line in missed),
    ]
    (arguments.out / "table.txt").write_text("\n".join(lines) + "\n")
    (arguments.out / "table.json").write_text(
        json.dumps({**{name: int(count) for name, count in counts.items()}, "missed": missed})
    )
    print("\n".join(lines))


def question(assistant: Assistant, shelf: Shelf, request: Asked) -> bool:
    """Whether the answer to a question about the item shown first holds its fact."""
    first: list[dict[str, Any]] = [part.public() for part in assistant.respond("a tune, please")]
    conversation = first[-1]["conversation_id"]
    row = next(shelf.catalogue.row[part["item_id"]] for part in first if part["kind"] == "item")
    answer = " ".join(part.public().get("text", "") for part in assistant.respond(request.text, conversation))
    value = shelf.fact(row, request.question)
    return (said(value) if value is not None else "not known").casefold() in answer.casefold()


if __name__ == "__main__":
    main()
