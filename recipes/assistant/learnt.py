"""Does a model that learnt from generated conversations earn a place in the assistant's ranking?

On the demo's workspace: 1,000 conversations by rules, the workspace's model taught on them (two passes), then
each of the 200 free-form requests (`requests.txt`) that names what is right by facts of the items. The model
reads the conversation as it was held (messages, items shown, answers) and gives its 100 best items; it speaks
for them as a person's past does, from 1 for the first, falling with the rank. Right are the items that grant
all that the request asks for; nDCG@20 and hit@3 over requests, without the model and with it, at four
weights.
The weight is chosen on every other request and tested on the rest: 95 % intervals, requests resampled.

Twice: as the assistant ranks, among the items that meet what it read, and by words alone, among all items, as
if no reader stood before the ranking.

    python -m recipes.assistant.learnt -w demo            # about 6 minutes of one core
    python -m recipes.assistant.learnt -w demo --quick    # 60 conversations, to see it work
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from recipes.assistant.cpcd import interval
from recipes.assistant.requests import demand, requests
from recipes.common import command, parser, read_arguments, show_table
from recipes.converse.turns.dialogues import open_dialogues
from recipes.converse.turns.model import load_dialogue_model, train_dialogue
from recipes.converse.turns.rankers import model_answers
from recipes.converse.turns.scores import fit_ndcg
from recipes.converse.turns.sequences import Dialogue, Exchange
from recipes.converse.turns.settings import LearnSettings
from recipes.converse.world import conversations
from tastemaker.assist.assistant import Assistant
from tastemaker.assist.desk import Desk
from tastemaker.assist.gate import Gate
from tastemaker.assist.library import DEPTH
from tastemaker.assist.parts import plain_text
from tastemaker.assist.ranking import Evidence
from tastemaker.assist.state import State
from tastemaker.cli.progress import progress
from tastemaker.converse.audits.pool import TurnQuery
from tastemaker.converse.constraints import granted

Floats = npt.NDArray[np.float64]
TAUGHT = 1_000
WEIGHTS = (0.5, 1.5, 4.0, 10.0)
SETTINGS = {"as the assistant ranks": True, "by words alone": False}


@dataclass(frozen=True, eq=False)
class Case:
    """A request at its last turn: the conversation, the state after it, and which items are right."""

    dialogue: Dialogue
    state: State
    right: frozenset[int]


def cases(assistant: Assistant, quick: bool) -> list[Case]:
    """The requests whose right answers are facts of the items, as conversations with the assistant."""
    shelf, held = assistant.library().shelf, list[Case]()
    for request in requests("requests"):
        if request.question or re.search(r"[@!]", " ".join(request.answers)):
            continue
        hard = [demand(answer) for answer in request.answers]
        grants = [granted(wanted.constraint, shelf.match) == 1 for wanted in hard]
        right = frozenset(np.flatnonzero(np.all(grants, axis=0)).tolist())
        if not right:
            continue
        conversation, exchanges = None, list[Exchange]()
        for text in request.turns:
            parts = list(assistant.respond(text, conversation))
            conversation = parts[-1].public()["conversation_id"]
            reply = "\n".join(filter(None, map(plain_text, parts)))
            state = assistant.state(conversation)
            exchanges.append(Exchange(text, (), state.focus, True, reply))
        exchanges[-1] = replace(exchanges[-1], item=None, reply="")
        held.append(Case(Dialogue("", len(held), "", tuple(exchanges)), state, right))
        if quick and len(held) == 40:
            break
    return held


def voices(workspace: Path, held: Sequence[Case], given: LearnSettings, n: int) -> Floats:
    """(cases, N) what the model says of each item: its best 100, from 1, falling with the rank."""
    name = f"learnt{n}"
    conversations(workspace, name, n, 23, media="none")
    with progress(False) as report:
        data = open_dialogues(workspace, name, given, report)
        artifact, _, trained = train_dialogue(data, given, report)
        model = load_dialogue_model(data.env.pipeline, artifact / "model")
        asked = replace(data, dialogues=tuple(case.dialogue for case in held))
        none = np.empty(0, np.int64)
        queries = [
            TurnQuery(number, len(case.dialogue.exchanges), None, False, (), none, none)
            for number, case in enumerate(held)
        ]
        answers = model_answers(asked, queries, model, given, report)
    print(f"taught: {trained['says']}")
    table = np.zeros((len(held), len(data.env.world.catalogue)))
    for row, answer in zip(table, answers, strict=True):
        row[answer.items.items] = np.exp(-np.arange(len(answer.items.items)) / DEPTH)
    return table


def base(assistant: Assistant, case: Case, filtered: bool) -> tuple[npt.NDArray[np.int64], Floats]:
    """The rows that are ranked, and the assistant's scores (N,) of all items."""
    library = assistant.library()
    shelf, every = library.shelf, np.arange(len(library.shelf))
    if not filtered:
        return every, np.asarray(library.ranker.scores(Evidence(case.state.messages)), float)
    desk = Desk(shelf, library.ranker, library, case.state, Gate(shelf, case.state))
    fitting = np.flatnonzero(shelf.adherence(case.state.active).holds)
    rows = fitting if len(fitting) else every
    return rows, np.asarray(library.ranker.scores(desk.evidence(rows)), float)


def measured(rows: npt.NDArray[np.int64], scores: Floats, right: frozenset[int]) -> tuple[float, float]:
    """nDCG@20 and hit@3 of the rows by these scores."""
    ranked = rows[np.argsort(-scores[rows], kind="stable")][:20].tolist()
    return fit_ndcg(ranked, right), float(any(row in right for row in ranked[:3]))


@dataclass(frozen=True, eq=False)
class Result:
    """Of the tested requests: values without the model and of it alone, the weight, and the gains (mean, low,
    high).
    """

    without: float
    alone: float
    weight: float
    ndcg: tuple[float, float, float]
    hit: tuple[float, float, float]


def compared(assistant: Assistant, held: Sequence[Case], voice: Floats, filtered: bool, seed: int) -> Result:
    """The weight chosen on every other request, the gain tested on the rest."""
    bases = [base(assistant, case, filtered) for case in held]

    def values(weight: float) -> Floats:
        triples = zip(bases, held, voice, strict=True)
        return np.array(
            [measured(rows, own + weight * votes, case.right) for (rows, own), case, votes in triples]
        )

    without, tuning = values(0.0), np.arange(len(held)) % 2 == 0
    gains = {weight: values(weight) - without for weight in WEIGHTS}
    best = max(WEIGHTS, key=lambda weight: float(gains[weight][tuning, 0].mean()))
    gain, test = gains[best][~tuning], np.flatnonzero(~tuning)
    cells = [(float(gain[:, c].mean()), *interval(gain[:, c], test, seed)) for c in (0, 1)]
    alone = [measured(bases[row][0], voice[row], held[row].right)[0] for row in test.tolist()]
    return Result(float(without[~tuning, 0].mean()), float(np.mean(alone)), best, cells[0], cells[1])


def main() -> None:
    """Teach, rank with and without, show the difference."""
    options = parser(main, "60 conversations, one pass, 40 requests")
    options.add_argument("-w", "--workspace", type=Path, default=Path("demo"))
    options.add_argument("--conversations", type=int, default=TAUGHT, help="that the model learns from")
    arguments = read_arguments(options, "assistant-learnt")
    assistant = Assistant.open(arguments.workspace)
    held = cases(assistant, arguments.quick)
    passes = 1.0 if arguments.quick else 2.0
    given = LearnSettings(seed=arguments.seed, test=0.1, passes=passes, dropout=0.0, learning_rate=4e-3)
    taught = 60 if arguments.quick else arguments.conversations
    voice = voices(arguments.workspace, held, given, taught)
    results = {
        name: compared(assistant, held, voice, filtered, arguments.seed)
        for name, filtered in SETTINGS.items()
    }
    assistant.close()
    rows = [
        {
            "ranking": name,
            "requests": len(held) // 2,
            "nDCG@20 without": f"{result.without:.4f}",
            "the model alone": f"{result.alone:.4f}",
            "weight": result.weight,
            "gain, nDCG@20": "{:+.4f} [{:+.4f}, {:+.4f}]".format(*result.ndcg),
            "gain, hit@3": "{:+.4f} [{:+.4f}, {:+.4f}]".format(*result.hit),
        }
        for name, result in results.items()
    ]
    earns = next(iter(results.values())).ndcg[1] > 0
    note = (
        f"The model {'earns' if earns else 'does not earn'} a place: the first line's gain in nDCG@20"
        " decides."
    )
    show_table(arguments.out, rows, "A model taught on generated conversations as one more ranker", note)


if __name__ == "__main__":
    command(main)
