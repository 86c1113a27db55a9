"""The rankers of the benchmark: each takes the queries and gives rows, best first, none of a family
played before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

from recipes.converse.turns.answers import Answer, answer, fuse_ranks
from recipes.converse.turns.dialogues import DialogueDataset
from recipes.converse.turns.model import DialogueModel
from recipes.converse.turns.sequences import Dialogue, prompts
from recipes.converse.turns.settings import LearnSettings
from tastemaker.converse.audits.pool import TurnQuery
from tastemaker.converse.constraints import Constraint, demands, granted
from tastemaker.converse.language.readers import Mention, Utterance
from tastemaker.converse.reading.standing import settle
from tastemaker.converse.reading.wishes import WishReading
from tastemaker.encoders.text import fit_tfidf
from tastemaker.flows.pipeline import Report
from tastemaker.retrieve.allow import allow
from tastemaker.retrieve.baselines import Lexical
from tastemaker.retrieve.facts import Near, top
from tastemaker.retrieve.trie import build_trie
from tastemaker.stats.random import generator

K = 20
DEEP = 200  # how far each ranking is read when rankings are fused
BEAM = 100
RANDOM, POPULAR, BM25, LAST, DENSE, FUSED, PARSER, MODEL = (
    "random",
    "popularity",
    "BM25, whole dialogue",
    "BM25, last message",
    "dense",
    "fused",
    "parser",
    "language model",
)
RANKERS = (RANDOM, POPULAR, BM25, LAST, DENSE, FUSED, PARSER, MODEL)
FUSED_WEIGHTS = {POPULAR: 0.25, BM25: 1.0, LAST: 1.0, DENSE: 1.0}


@dataclass(frozen=True)
class Words:
    """A query's words: everything said before the answer, newest first, and the last message alone."""

    whole: str
    last: str


def words_of(dialogue: Dialogue, turn: int) -> Words:
    """Messages and replies before the answer of `turn`."""
    before = reversed(dialogue.exchanges[: turn - 1])
    last = dialogue.exchanges[turn - 1].message
    texts = (text for exchange in before for text in (exchange.reply, exchange.message))
    return Words(" ".join([last, *texts]), last)


def simple_lists(
    data: DialogueDataset, queries: Sequence[TurnQuery], texts: Sequence[str], report: Report
) -> dict[str, list[list[int]]]:
    """Random by key, popularity in training, BM25 twice, dense (TF-IDF reduced by SVD), all but random fused,
    and the assistant's reader of wishes, which learns nothing: what it understood, in random order.
    """
    n, seed = len(texts), data.env.settings.seed
    lexical, popular = Lexical(texts), top(popularity(data, n), n)
    words = [words_of(data.dialogues[query.conversation], query.turn) for query in queries]
    encoder, vectors = fit_tfidf(list(texts), seed=seed)
    near, dense = Near(vectors), encoder.transform([turn_words.whole for turn_words in words])
    lists: dict[str, list[list[int]]] = {name: [] for name in RANKERS if name != MODEL}
    for done, (query, turn_words) in enumerate(zip(queries, words, strict=True), start=1):
        whole, last = lexical.search([turn_words.whole, turn_words.last])
        orders: dict[str, Sequence[int] | npt.NDArray[np.int64]] = {
            RANDOM: generator(seed, "random ranker", query.conversation, query.turn).permutation(n),
            POPULAR: popular,
            BM25: top(whole, n),
            LAST: top(last, n),
            DENSE: near.ranked(dense[done - 1], n),
        }
        excluded = frozenset(query.excluded.tolist())
        understood = wishes_of(data, query)
        orders[PARSER] = np.array(sorted(orders[RANDOM].tolist(), key=lambda row: -understood[row]), np.int64)  # type: ignore[union-attr]
        ranked = {
            name: list(islice((row for row in map(int, order) if row not in excluded), DEEP))
            for name, order in orders.items()
        }
        fusing = [ranked[name] for name in FUSED_WEIGHTS]
        ranked[FUSED] = fuse_ranks(fusing, K, tuple(FUSED_WEIGHTS.values()))
        for name, items in ranked.items():
            lists[name].append(items[:K])
        if done % 100 == 0 or done == len(queries):
            report("simple rankers", done, len(queries), "")
    return lists


def wishes_of(data: DialogueDataset, query: TurnQuery) -> npt.NDArray[np.int64]:
    """(N,) how many of the wishes that the assistant's reader found in the messages each item grants."""
    world = data.env.world
    active: tuple[Constraint, ...] = ()
    dialogue = data.dialogues[query.conversation]
    titles = world.catalogue.titles
    played: list[Mention] = []
    kinds = {name: about.kind for name, about in world.catalogue.fields.items()}
    for exchange in dialogue.exchanges[: query.turn]:
        changes = world.readers.read(Utterance(exchange.message, tuple(played)))
        active = settle(active, WishReading(changes), kinds)
        if exchange.item is not None:
            item = world.catalogue.item_ids[exchange.item]
            played.append(Mention("", item, (titles[exchange.item],)))
    granted_by = [granted(demand, world.tools.match) == 1 for demand in demands(active)]
    return np.asarray(np.sum(granted_by, axis=0) if granted_by else np.zeros(len(titles)), np.int64)


def popularity(data: DialogueDataset, n: int) -> npt.NDArray[np.float64]:
    """(N,) how often each item was accepted in training dialogues or played in training logs."""
    exchanges = [exchange for dialogue in data.split.train for exchange in dialogue.exchanges]
    rows = [exchange.item for exchange in exchanges if exchange.item is not None and exchange.accepted]
    logged = np.asarray(data.env.pipeline.data.training_counts, np.float64)
    return np.asarray(np.bincount(rows, minlength=n) + logged, np.float64)


def model_answers(
    data: DialogueDataset,
    queries: Sequence[TurnQuery],
    model: DialogueModel,
    settings: LearnSettings,
    report: Report,
) -> list[Answer]:
    """The language model's answers by constrained search; exact for catalogues of up to 400 items."""
    trie = build_trie(model.codes, model.sizes)
    by_conversation = {
        number: prompts(
            data.dialogues[number], model.codes, model.vocabulary, model.encode, settings.sequences
        )
        for number in {query.conversation for query in queries}
    }
    return answer(
        model.network,
        model.vocabulary,
        trie,
        [by_conversation[query.conversation][query.turn - 1] for query in queries],
        [allow(trie, exclude=query.excluded) for query in queries],
        (BEAM, K),
        lambda done: report("language model", done, len(queries), ""),
    )
