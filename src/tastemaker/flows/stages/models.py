"""The base model, what it reads, and both stages of its training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tastemaker.corpus.behaviour import behaviour_examples, thinned
from tastemaker.corpus.metadata import SENTENCES, TAGS, metadata_examples
from tastemaker.corpus.mixing import mix, token_counts
from tastemaker.flows.data import item_texts
from tastemaker.flows.pipeline import Pipeline
from tastemaker.flows.stages.curve import follow
from tastemaker.flows.stages.tokens import load_codebook, load_codes
from tastemaker.lm.vocabulary import Vocabulary, build_small
from tastemaker.store import read_table, write_json, write_table

NAMES = {"cpt": "continued pre-training", "sft": "fine-tuning"}


def build_base(pipeline: Pipeline, folder: Path) -> None:
    """The untrained language model with a row for every code: `small` from a config, or a pretrained folder,
    extended.
    """
    from tastemaker.lm.base import Shape, save, small
    from tastemaker.lm.extend import place_codewords

    settings = pipeline.workspace.settings
    _, sizes = load_codes(pipeline)
    if settings.base == "small":
        vocabulary = build_small(sizes)
        width = settings.width
        model = small(
            vocabulary,
            Shape(layers=settings.layers, width=width, heads=max(1, width // 32), mlp=2.0),
            settings.seed,
        )
        place_codewords(model, vocabulary, load_codebook(pipeline).codewords, settings.seed)
        tokenizer = None
    else:
        model, vocabulary, tokenizer = _extended(pipeline, sizes)
    save(model, vocabulary, folder / "model", tokenizer)
    parameters = sum(one.numel() for one in model.parameters())
    says = f"{settings.base}: {parameters / 1e6:.1f}M parameters, {vocabulary.size:,} tokens"
    write_json(folder / "summary.json", {"says": says, "parameters": parameters, "tokens": vocabulary.size})


def _extended(pipeline: Pipeline, sizes: tuple[int, ...]) -> tuple[Any, Vocabulary, Any]:
    """A pretrained model whose vocabulary is trimmed to the catalogue's language (if asked) and given the
    Semantic IDs.
    """
    from tastemaker.lm.base import load, load_tokenizer
    from tastemaker.lm.extend import extend
    from tastemaker.lm.trim import count_tokens, trim

    settings = pipeline.workspace.settings
    model, _ = load(settings.base)
    tokenizer = load_tokenizer(settings.base)
    if settings.keep_tokens:
        model, tokenizer = trim(
            model, tokenizer, count_tokens(tokenizer, item_texts(pipeline.data.items)), settings.keep_tokens
        )
    codewords = load_codebook(pipeline).codewords
    vocabulary = extend(model, tokenizer, sizes, codewords=codewords, seed=settings.seed)
    return model, vocabulary, tokenizer


def build_corpus(pipeline: Pipeline, folder: Path) -> None:
    """Examples for both stages; shares are counted in tokens and the achieved ones printed."""
    from tastemaker.lm.base import load_tokenizer, text_functions

    settings = pipeline.workspace.settings
    model = pipeline.path("base") / "model"
    vocabulary = Vocabulary.from_json((model / "vocabulary.json").read_text())
    pretrained = vocabulary.kind == "tokenizer"
    encode_text, _ = text_functions(vocabulary, load_tokenizer(model) if pretrained else None)
    codes, _ = load_codes(pipeline)
    behaviour = behaviour_examples(pipeline.data.split.train, codes, vocabulary, settings.max_items)
    templates = SENTENCES if pretrained else TAGS
    metadata = metadata_examples(pipeline.data.items, codes, vocabulary, encode_text, templates)
    share = settings.metadata_share if metadata.num_rows else 0.0
    # The small model's rows start at their codewords, which a long first stage wears away (docs/results.md).
    epochs_of_cpt = settings.cpt_epochs or (1.0 if pretrained else 0.02)
    tokens = int(token_counts(behaviour).sum() * epochs_of_cpt / max(1 - share, 0.05))
    shares = {"behaviour": 1 - share, "metadata": share}
    mixture, achieved = mix(
        {"behaviour": behaviour, "metadata": metadata}, shares, max(tokens, 1), settings.seed
    )
    write_table(folder / "cpt.parquet", mixture)
    passes = [
        thinned(pipeline.data.split.train, settings.thinning, settings.seed, copy)
        for copy in range(settings.sft_epochs)
    ]
    targets = _rewarded(pipeline) if settings.reward else [None] * len(passes)
    epochs = [
        behaviour_examples(one, codes, vocabulary, settings.max_items, t)
        for one, t in zip(passes, targets, strict=True)
    ]
    write_table(folder / "sft.parquet", pa.concat_tables(epochs))
    total = max(1, sum(achieved.values()))
    says = ", ".join(f"{name} {count:,} tokens ({count / total:.0%})" for name, count in achieved.items())
    says += (
        f"; fine-tuning {sum(int(token_counts(one).sum()) for one in epochs):,} tokens in {len(epochs)}"
        " passes"
    )
    write_json(folder / "summary.json", {"says": says, "achieved": achieved})


def _rewarded(pipeline: Pipeline) -> list[Any]:
    """For each pass, which events of its thinned histories are targets: drawn by the proxy that the setting
    `reward` names.
    """
    from tastemaker.corpus.rewards import targets_by_reward
    from tastemaker.flows.retention.live.rewards import event_rewards

    settings, train = pipeline.workspace.settings, pipeline.data.split.train
    rewards = event_rewards(pipeline)
    numbered = replace(
        train, items=np.arange(len(train.items))
    )  # thinned alike, it tells which events are left
    left = [thinned(numbered, settings.thinning, settings.seed, copy) for copy in range(settings.sft_epochs)]
    return [
        targets_by_reward(rewards[one.items], one.user_rows, settings.seed, copy)
        for copy, one in enumerate(left)
    ]


def _train(
    pipeline: Pipeline, folder: Path, stage: str, source: Path, siblings: Any = None, **stage_settings: Any
) -> None:
    """One stage of training with checkpoints in `folder/state`, curves in `curve.jsonl`, and the model in
    `folder/model`.
    """
    from tastemaker.lm.base import load, load_tokenizer, save
    from tastemaker.lm.train import Settings, train

    settings = pipeline.workspace.settings
    model, vocabulary = load(source)
    assert vocabulary is not None
    examples = read_table(pipeline.path("corpus") / f"{stage}.parquet")
    batch = settings.batch or min(128, max(16, len(pipeline.data.split.train) // 170))
    common: dict[str, Any] = {
        "batch_rows": batch,
        "learning_rate": settings.learning_rate,
        "dropout": settings.dropout,
    }
    common |= {"weight_decay": settings.weight_decay, "epochs": 1.0}
    common |= {"stage": stage, "seed": settings.seed, "threads": settings.threads or None}
    chosen = Settings(**(common | stage_settings))
    run = train(model, vocabulary, examples, chosen, folder / "state", siblings=siblings)
    metrics = follow(run, folder / "curve.jsonl", pipeline.report, NAMES[stage])
    save(
        model,
        vocabulary,
        folder / "model",
        load_tokenizer(source) if vocabulary.kind == "tokenizer" else None,
    )
    says = f"{metrics.total:,} steps, loss {metrics.loss:.3f}" if metrics else "nothing to train"
    write_json(folder / "summary.json", {"says": says})


def build_cpt(pipeline: Pipeline, folder: Path) -> None:
    """Next-token training on behaviour and metadata."""
    _train(pipeline, folder, "cpt", pipeline.path("base") / "model", schedule="constant")


def build_sft(pipeline: Pipeline, folder: Path) -> None:
    """Training to generate the next item's Semantic ID, every history prefix an example."""
    from tastemaker.lm.train import Siblings

    siblings = Siblings.of(*load_codes(pipeline))
    passes = int(pipeline.workspace.settings.sft_epochs)
    _train(
        pipeline,
        folder,
        "sft",
        pipeline.path("cpt") / "model",
        siblings,
        average=0.997,
        floor=0.02,
        clip=0.5,
        passes=passes,
    )
