"""The six rankers of the benchmark: each takes the questions and gives rows, best first, none of a family
played before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tastemaker.converse.benchmark import Ask
from tastemaker.corpus.dialogue import Dialogue, prompts
from tastemaker.encoders.text import fit_tfidf
from tastemaker.flows.converse.learn.dialogues import Talk
from tastemaker.flows.converse.learn.model import Talker
from tastemaker.flows.converse.learn.settings import LearnSettings
from tastemaker.flows.pipeline import Report
from tastemaker.retrieve.allow import allow
from tastemaker.retrieve.baselines import Lexical
from tastemaker.retrieve.dialogue import Answer, answer, fuse_ranks
from tastemaker.retrieve.facts import Near, top
from tastemaker.retrieve.trie import build_trie
from tastemaker.stats.random import generator

K = 20
DEEP = 200  # how far each ranking is read when rankings are fused
BEAM = 100
RANDOM, POPULAR, BM25, LAST, DENSE, FUSED, MODEL = (
    "random",
    "popularity",
    "BM25, whole dialogue",
    "BM25, last message",
    "dense",
    "fused",
    "language model",
)
RANKERS = (RANDOM, POPULAR, BM25, LAST, DENSE, FUSED, MODEL)


@dataclass(frozen=True)
class Words:
    """What a question's words are: everything said before the answer, newest first, and the last message
    alone.
    """

    whole: str
    last: str


def words_of(dialogue: Dialogue, turn: int) -> Words:
    """Messages and replies before the answer of `turn`."""
    before = reversed(dialogue.exchanges[: turn - 1])
    last = dialogue.exchanges[turn - 1].message
    return Words(" ".join([last, *(text for one in before for text in (one.reply, one.message))]), last)


def _without(order: Sequence[int] | npt.NDArray[np.int64], ask: Ask, k: int) -> list[int]:
    """The first `k` rows that may be answered."""
    barred = frozenset(ask.excluded.tolist())
    found: list[int] = []
    for row in map(int, order):
        if row not in barred:
            found.append(row)
            if len(found) == k:
                break
    return found


def simple_lists(
    talk: Talk, some: Sequence[Ask], texts: Sequence[str], report: Report
) -> dict[str, list[list[int]]]:
    """Random by key, popularity in training, BM25 twice, dense (TF-IDF reduced by SVD), and all but random
    fused.
    """
    n = len(texts)
    lexical = Lexical(texts)
    counts = popularity(talk, n)
    popular = top(counts, n)
    found: dict[str, list[list[int]]] = {name: [] for name in RANKERS if name != MODEL}
    said = [words_of(talk.dialogues[one.conversation], one.turn) for one in some]
    encoder, vectors = fit_tfidf(list(texts), seed=talk.setting.settings.seed)
    near, queries = Near(vectors), encoder.transform([one.whole for one in said])
    for done, (ask, words) in enumerate(zip(some, said, strict=True), start=1):
        shuffled = generator(
            talk.setting.settings.seed, "random ranker", ask.conversation, ask.turn
        ).permutation(n)
        scores = lexical.search([words.whole, words.last])
        orders: dict[str, Sequence[int] | npt.NDArray[np.int64]] = {
            RANDOM: shuffled,
            POPULAR: popular,
            BM25: top(scores[0], n),
            LAST: top(scores[1], n),
            DENSE: list(near.ranked(queries[done - 1], n)),
        }
        lists = {name: _without(order, ask, DEEP) for name, order in orders.items()}
        lists[FUSED] = fuse_ranks(
            [lists[name] for name in (POPULAR, BM25, LAST, DENSE)], K, (0.25, 1.0, 1.0, 1.0)
        )
        for name, items in lists.items():
            found[name].append(items[:K])
        if done % 100 == 0 or done == len(some):
            report("simple rankers", done, len(some), "")
    return found


def popularity(talk: Talk, n: int) -> npt.NDArray[np.float64]:
    """(N,) how often each item was accepted in training dialogues or played in training logs."""
    rows = [e.item for one in talk.split.train for e in one.exchanges if e.item is not None and e.accepted]
    logged = np.asarray(talk.setting.chain.data.training_counts, np.float64)
    return np.asarray(np.bincount(rows, minlength=n) + logged, np.float64)


def model_answers(
    talk: Talk, some: Sequence[Ask], talker: Talker, settings: LearnSettings, report: Report
) -> list[Answer]:
    """The language model's answers by constrained search; exact for catalogues of up to 400 items."""
    trie = build_trie(talker.codes, talker.sizes)
    by_conversation = {
        number: prompts(
            talk.dialogues[number], talker.codes, talker.vocabulary, talker.encode, settings.sequences
        )
        for number in {one.conversation for one in some}
    }
    asked = [by_conversation[one.conversation][one.turn - 1] for one in some]
    allowed = [allow(trie, exclude=one.excluded) for one in some]
    return answer(
        talker.model,
        talker.vocabulary,
        trie,
        asked,
        allowed,
        BEAM,
        K,
        done=lambda n: report("language model", n, len(some), ""),
    )
