"""The stage `dialogue`: the workspace's model taught to talk, on conversations together with behaviour and
item texts.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recipes.converse.turns.dialogues import DialogueDataset, relabelled
from recipes.converse.turns.sequences import SPECIALS, dialogue_examples, reversed_examples
from recipes.converse.turns.settings import LearnSettings
from recipes.small import TAGS, build_small
from tastemaker.corpus.behaviour import behaviour_examples
from tastemaker.corpus.metadata import SENTENCES, metadata_examples
from tastemaker.corpus.mixing import mix, token_counts
from tastemaker.errors import ArtifactError
from tastemaker.flows.data import item_texts
from tastemaker.flows.pipeline import Pipeline, Report
from tastemaker.flows.stages.curve import follow
from tastemaker.flows.stages.models import Lesson, fine_tuning_examples, train_lesson
from tastemaker.flows.stages.passes import fine_tuning_settings
from tastemaker.flows.stages.tokens import load_codebook, load_codes
from tastemaker.lm.vocabulary import Vocabulary
from tastemaker.store import fingerprint, read_table, sha256_file, write_json, write_table

STAGE = "dialogue"
SOURCE = "sft"  # the stage whose model is taught to talk
VERSION = 2


@dataclass(frozen=True, eq=False)
class DialogueModel:
    """A model fine-tuned on dialogues: its weights, tokens, tokenizer functions, and the items' codes."""

    network: Any
    vocabulary: Vocabulary
    encode: Any
    decode: Any
    codes: npt.NDArray[np.integer[Any]]
    sizes: tuple[int, ...]


def train_dialogue(
    data: DialogueDataset, settings: LearnSettings, report: Report
) -> tuple[Path, bool, dict[str, Any]]:
    """Train, resume or reuse the model of a data set; its folder, whether it was there, and its summary."""
    pipeline = data.env.pipeline
    if not pipeline.finished(SOURCE):
        raise ArtifactError(
            f"{pipeline.workspace.root}: no fine-tuned model to teach; run `tastemaker train -w"
            f" {pipeline.workspace.root}`"
        )
    inputs = {SOURCE: pipeline.fingerprint(SOURCE), "conversations": sha256_file(data.folder.table)}
    name = fingerprint(STAGE, inputs, settings.identity(), VERSION)
    reused = pipeline.workspace.artifacts.has(STAGE, name)
    folder = pipeline.workspace.artifacts.put(
        STAGE,
        name,
        lambda partial: _build(data, settings, partial, report),
        inputs=inputs,
        settings=settings.identity(),
        resume=True,
    )
    return folder, reused, json.loads((folder / "summary.json").read_text())


def _build(data: DialogueDataset, settings: LearnSettings, folder: Path, report: Report) -> None:
    """Prepared model and corpus first, each written once; then training from the last checkpoint."""
    from tastemaker.lm.base import load, load_tokenizer, save
    from tastemaker.lm.train import Settings, train

    pipeline = data.env.pipeline
    start = folder / "start"
    if not (folder / "examples.parquet").exists():
        _prepare(data, settings, folder)
        achieved = _corpus(data, settings, start, folder)
        write_json(folder / "achieved.json", achieved)
    model, vocabulary = load(start)
    assert vocabulary is not None
    threads = pipeline.workspace.settings.threads or None
    chosen = Settings(
        stage="cpt",
        batch_rows=settings.batch,
        learning_rate=settings.learning_rate,
        dropout=settings.dropout,
        warmup=40,
        seed=settings.seed,
        floor=0.05,
        micro_tokens=4096,
        threads=threads,
        checkpoint_every=60.0,
    )
    run = train(model, vocabulary, read_table(folder / "examples.parquet"), chosen, folder / "state")
    last = follow(run, folder / "curve.jsonl", report, "dialogue fine-tuning")
    save(model, vocabulary, folder / "model", load_tokenizer(start))
    achieved = json.loads((folder / "achieved.json").read_text())
    split = data.split
    says = (
        f"{len(split.train):,} conversations ({split.dropped} left out for their goal, {split.cut} turns for"
        " cold items), "
    )
    says += ", ".join(f"{name} {count:,} tokens" for name, count in achieved.items())
    write_json(
        folder / "summary.json", {"says": says, "achieved": achieved, "steps": last.total if last else 0}
    )


def _prepare(data: DialogueDataset, settings: LearnSettings, folder: Path) -> None:
    """The workspace's model with words and the tokens of a dialogue."""
    from recipes.converse.turns.words import add_words
    from tastemaker.lm.base import load, load_tokenizer, save

    pipeline = data.env.pipeline
    source = talking_source(pipeline, folder / "source")
    model, vocabulary = load(source)
    assert vocabulary is not None
    tokenizer = load_tokenizer(source) if vocabulary.kind == "tokenizer" else None
    lines = [
        words
        for dialogue in data.split.train
        for exchange in dialogue.exchanges
        for words in (exchange.message, exchange.reply)
    ]
    texts = lines + [text for text in item_texts(pipeline.data.items) if text]
    model, vocabulary, tokenizer = add_words(
        model, vocabulary, tokenizer, texts, SPECIALS, settings.pieces, settings.seed
    )
    save(model, vocabulary, folder / "start", tokenizer)


def _corpus(data: DialogueDataset, settings: LearnSettings, start: Path, folder: Path) -> dict[str, int]:
    """Dialogues, their replies reversed, behaviour without cold items, and item texts, mixed by tokens; the
    achieved counts.
    """
    pipeline = data.env.pipeline
    model = load_dialogue_model(pipeline, start)
    codes, vocabulary = model.codes, model.vocabulary
    dialogues = relabelled(data.split.train, settings.labels, settings.seed)
    train = pipeline.data.split.train
    train = train.keep_events(~data.split.cold[train.items])
    max_items = pipeline.workspace.settings.max_items
    pretrained = pipeline.workspace.settings.base != "small"
    templates = SENTENCES if pretrained else TAGS
    sources: dict[str, pa.Table] = {
        "dialogue": dialogue_examples(dialogues, codes, vocabulary, model.encode, settings.sequences),
        "behaviour": behaviour_examples(train, codes, vocabulary, max_items),
        "metadata": metadata_examples(pipeline.data.items, codes, vocabulary, model.encode, templates),
        "reversed": reversed_examples(
            dialogues, pipeline.data.items.column("title").to_pylist(), codes, vocabulary, model.encode
        ),
    }
    shares = {"behaviour": settings.behaviour, "metadata": settings.metadata, "reversed": settings.reversed}
    shares = {name: share if sources[name].num_rows else 0.0 for name, share in shares.items()}
    rest = 1 - sum(shares.values())
    tokens = int(token_counts(sources["dialogue"]).sum() * settings.passes / rest)
    mixture, achieved = mix(sources, shares | {"dialogue": rest}, tokens, settings.seed)
    write_table(folder / "examples.parquet", mixture)
    return achieved


def load_dialogue_model(pipeline: Pipeline, folder: Path) -> DialogueModel:
    """The model of a folder with what it needs to read and write."""
    from tastemaker.lm.base import load, load_tokenizer, text_functions

    model, vocabulary = load(folder)
    assert vocabulary is not None
    encode, decode = text_functions(vocabulary, load_tokenizer(folder))
    codes, sizes = load_codes(pipeline)
    return DialogueModel(model, vocabulary, encode, decode, codes, sizes)


def talking_source(pipeline: Pipeline, folder: Path) -> Path:
    """The folder of a fine-tuned model with a token a code, which can be taught to talk: the workspace's own
    where its base is pretrained, else a small one, trained in `folder` (resumed, or read back).
    """
    from recipes.small import Shape, place_codewords, small
    from tastemaker.lm.base import save
    from tastemaker.lm.train import Siblings

    if "cpt" in pipeline.stages:
        return pipeline.path("sft") / "model"
    settings, train = pipeline.workspace.settings, pipeline.data.split.train
    start = folder / "start"
    if not start.exists():
        vocabulary, width = build_small(load_codes(pipeline)[1]), settings.width
        shape = Shape(layers=settings.layers, width=width, heads=max(1, width // 32), mlp=2.0)
        model = small(vocabulary, shape, settings.seed)
        place_codewords(model, vocabulary, load_codebook(pipeline.path("tokens")).codewords, settings.seed)
        save(model, vocabulary, start)
    chosen = fine_tuning_settings(settings, len(train), 0) | {
        "learning_rate": settings.learning_rate,
        "dropout": min(settings.dropout, 0.3),  # a token a code bears less than a position an item
        "weight_decay": settings.weight_decay,
        "clip": 0.5,
    }
    examples = partial(fine_tuning_examples, pipeline, train)
    train_lesson(pipeline, folder, Lesson("sft", start, examples, chosen, Siblings.of(*load_codes(pipeline))))
    return folder / "model"
