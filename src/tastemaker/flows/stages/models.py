"""The base model, what it reads, and both stages of its training."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tastemaker.corpus.behaviour import behaviour_examples, thinned
from tastemaker.corpus.events import Histories
from tastemaker.corpus.metadata import SENTENCES, TAGS, metadata_examples
from tastemaker.corpus.mixing import mix, token_counts
from tastemaker.flows.data import item_texts
from tastemaker.flows.pipeline import Pipeline
from tastemaker.flows.search import Parts, Searcher
from tastemaker.flows.stages.curve import follow
from tastemaker.flows.stages.tokens import load_codebook, load_codes
from tastemaker.lm.vocabulary import Vocabulary, build_small
from tastemaker.retrieve.evaluation import rank_in_lists
from tastemaker.stats.ranking import ndcg_at
from tastemaker.store import read_lines, read_table, write_json, write_table
from tastemaker.store.recorded import check_base
from tastemaker.store.settings import Settings

NAMES = {"cpt": "continued pre-training", "sft": "fine-tuning", "refit": "fine-tuning on everything"}
VALIDATED = 1000  # people whose lists choose the number of passes
TOLERANCE = 0.01  # how far below the best pass a later one counts as good: less is noise


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
        place_codewords(model, vocabulary, load_codebook(pipeline.path("tokens")).codewords, settings.seed)
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
    source = settings.base
    if source == "smollm2":
        from tastemaker.lm.smollm2 import convert

        source = str(convert(pipeline.workspace.root / "models" / source))  # once a workspace
    check_base(pipeline.workspace, Path(source))
    model, _ = load(source)
    tokenizer = load_tokenizer(source)
    if settings.keep_tokens:
        model, tokenizer = trim(
            model, tokenizer, count_tokens(tokenizer, item_texts(pipeline.data.items)), settings.keep_tokens
        )
    codewords = load_codebook(pipeline.path("tokens")).codewords
    vocabulary = extend(model, tokenizer, sizes, codewords=codewords, seed=settings.seed)
    return model, vocabulary, tokenizer


def build_corpus(pipeline: Pipeline, folder: Path) -> None:
    """What continued pre-training reads; shares are counted in tokens and the achieved ones printed."""
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
    total = max(1, sum(achieved.values()))
    says = ", ".join(f"{name} {count:,} tokens ({count / total:.0%})" for name, count in achieved.items())
    write_json(folder / "summary.json", {"says": says, "achieved": achieved})


def fine_tuning_examples(pipeline: Pipeline, train: Histories, vocabulary: Vocabulary) -> pa.Table:
    """Every pass over the histories one after another, each with other events left out; where the setting
    `reward` names a proxy, targets are drawn by it.
    """
    from tastemaker.corpus.rewards import targets_by_reward
    from tastemaker.flows.retention.live.rewards import event_rewards

    settings = pipeline.workspace.settings
    codes, _ = load_codes(pipeline)
    rewards = event_rewards(pipeline, train) if settings.reward else None
    # Numbered events, thinned like the histories themselves, tell which of them are left.
    numbered = replace(train, items=np.arange(len(train.items)))
    passes = []
    for copy in range(settings.sft_epochs):
        targets = None
        if rewards is not None:
            left = thinned(numbered, settings.thinning, settings.seed, copy)
            targets = targets_by_reward(rewards[left.items], left.user_rows, settings.seed, copy)
        histories = thinned(train, settings.thinning, settings.seed, copy)
        passes.append(behaviour_examples(histories, codes, vocabulary, settings.max_items, targets))
    return pa.concat_tables(passes)


@dataclass(frozen=True)
class Lesson:
    """One stage of training: its name in `NAMES`, the model it starts from, what it reads and how."""

    stage: str
    source: Path
    examples: Callable[[Vocabulary], pa.Table]
    users: int
    settings: Mapping[str, Any]
    siblings: Any = None
    validate: Callable[[Vocabulary], Callable[[Any], float]] | None = None


def _train(pipeline: Pipeline, folder: Path, lesson: Lesson) -> list[dict[str, Any]]:
    """Checkpoints in `folder/state`, the model in `folder/model`; the lines of the curve, which are kept in
    `folder/curve.jsonl`.
    """
    from tastemaker.lm.base import load, load_tokenizer, save
    from tastemaker.lm.train import Settings, train

    settings = pipeline.workspace.settings
    model, vocabulary = load(lesson.source)
    assert vocabulary is not None
    common: dict[str, Any] = {
        "stage": "cpt" if lesson.stage == "cpt" else "sft",
        "batch_rows": settings.batch or min(128, max(16, lesson.users // 170)),
        "learning_rate": settings.learning_rate,
        "dropout": settings.dropout,
        "weight_decay": settings.weight_decay,
        "seed": settings.seed,
        "threads": settings.threads or None,
    }
    run = train(
        model,
        vocabulary,
        lesson.examples(vocabulary),
        Settings(**(common | dict(lesson.settings))),
        folder / "state",
        validate=lesson.validate(vocabulary) if lesson.validate else None,
        siblings=lesson.siblings,
    )
    curve = folder / "curve.jsonl"
    metrics = follow(run, curve, pipeline.report, NAMES[lesson.stage])
    tokenizer = load_tokenizer(lesson.source) if vocabulary.kind == "tokenizer" else None
    save(model, vocabulary, folder / "model", tokenizer)
    says = f"{metrics.step:,} steps, loss {metrics.loss:.3f}" if metrics else "nothing to train"
    write_json(folder / "summary.json", {"says": says})
    return read_lines(curve) if curve.exists() else []


def build_cpt(pipeline: Pipeline, folder: Path) -> None:
    """Next-token training on behaviour and metadata."""
    examples = read_table(pipeline.path("corpus") / "cpt.parquet")
    source, users = pipeline.path("base") / "model", len(pipeline.data.split.train)
    lesson = Lesson("cpt", source, lambda _: examples, users, {"schedule": "constant"})
    _train(pipeline, folder, lesson)


def build_sft(pipeline: Pipeline, folder: Path) -> None:
    """Training to generate the next item's Semantic ID, every history prefix an example.

    After each pass of the second half the validation part is answered; the weights of the latest pass are
    kept that is as good as the best.
    """
    train = pipeline.data.split.train
    lines = _train(pipeline, folder, _fine_tuning(pipeline, "sft", train, _validation(pipeline)))
    passes = int(pipeline.workspace.settings.sft_epochs)
    curve = [
        {"pass": round(line["step"] * passes / line["total"]), "N@10": line["validation"]}
        for line in lines
        if line.get("validation") is not None
    ]
    enough = (1 - TOLERANCE) * max(one["N@10"] for one in curve)
    chosen = max(one["pass"] for one in curve if one["N@10"] >= enough)
    summary = json.loads((folder / "summary.json").read_text())
    shown = ", ".join(f"{one['pass']}: {one['N@10']:.4f}" for one in curve)
    summary["says"] += f"; {chosen} of {passes} passes chosen (validation N@10 by pass {shown})"
    write_json(folder / "summary.json", summary | {"passes": chosen, "validation": curve})


def build_refit(pipeline: Pipeline, folder: Path) -> None:
    """The same fine-tuning on whole histories, nothing held out, ended after the pass that was the best."""
    chosen = json.loads((pipeline.path("sft") / "summary.json").read_text())["passes"]
    _train(pipeline, folder, _fine_tuning(pipeline, "refit", pipeline.data.histories, stop=chosen))


def _fine_tuning(
    pipeline: Pipeline,
    stage: str,
    train: Histories,
    validate: Callable[[Vocabulary], Callable[[Any], float]] | None = None,
    stop: int = 0,
) -> Lesson:
    from tastemaker.lm.train import Siblings

    settings = {"average": 0.997, "floor": 0.02, "clip": 0.5, "stop": stop, "tolerance": TOLERANCE}
    settings["passes"] = pipeline.workspace.settings.sft_epochs
    return Lesson(
        stage,
        pipeline.path("cpt") / "model",
        lambda vocabulary: fine_tuning_examples(pipeline, train, vocabulary),
        len(train),
        settings,
        Siblings.of(*load_codes(pipeline)),
        validate,
    )


def _validation(pipeline: Pipeline) -> Callable[[Vocabulary], Callable[[Any], float]]:
    """N@10 of a model on a sample of the validation part, by the search that serves it."""
    data = pipeline.data
    targets = data.split.validation.sample(VALIDATED, pipeline.workspace.settings.seed)
    codes, sizes = load_codes(pipeline)
    settings = searching(pipeline.workspace.settings)

    def of(vocabulary: Vocabulary) -> Callable[[Any], float]:
        def score(model: Any) -> float:
            searcher = Searcher(Parts(data, settings, codes, sizes, (model, vocabulary)))
            lists = [one.items for one in searcher.search_all(targets.context)]
            return float(ndcg_at(rank_in_lists(lists, targets.target), 10).mean())

        return score

    return of


def searching(settings: Settings) -> Settings:
    """The settings with the search that choices are made by: another beam or rule of serving needs no
    training.
    """
    return replace(settings, beam=Settings.beam, remove_seen=Settings.remove_seen)
