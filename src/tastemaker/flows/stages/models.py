"""A pretrained base: a vocabulary with a token a code, what it reads, and both stages of its training."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from tastemaker.corpus.behaviour import Words, behaviour_examples
from tastemaker.corpus.events import Histories
from tastemaker.corpus.metadata import SENTENCES, metadata_examples
from tastemaker.corpus.mixing import mix, token_counts
from tastemaker.corpus.splits import Targets
from tastemaker.errors import InputError
from tastemaker.flows.data import item_texts
from tastemaker.flows.pipeline import Pipeline
from tastemaker.flows.search import Parts, Searcher, words_of
from tastemaker.flows.stages.curve import follow
from tastemaker.flows.stages.passes import (
    SHARES,
    VALIDATED,
    chosen_in,
    fine_tuning_settings,
    note_passes,
    passes,
    searching,
)
from tastemaker.flows.stages.tokens import load_codebook, load_codes
from tastemaker.lm.vocabulary import Vocabulary
from tastemaker.retrieve.evaluation import rank_in_lists
from tastemaker.stats.ranking import ndcg_at
from tastemaker.store import read_lines, read_table, write_json, write_table, write_text
from tastemaker.store.recorded import check_base

NAMES = {
    "rows": "new rows alone",
    "cpt": "continued pre-training",
    "sft": "fine-tuning",
    "refit": "fine-tuning on everything",
}


def build_base(pipeline: Pipeline, folder: Path) -> None:
    """The language model of a folder with a row for every code, untrained beyond what it came with."""
    from tastemaker.lm.base import save

    settings = pipeline.workspace.settings
    _, sizes = load_codes(pipeline)
    model, vocabulary, tokenizer = _extended(pipeline, sizes)
    save(model, vocabulary, folder / "model", tokenizer)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    says = f"{settings.base}: {parameters / 1e6:.1f}M parameters, {vocabulary.size:,} tokens"
    write_json(folder / "summary.json", {"says": says, "parameters": parameters, "tokens": vocabulary.size})


def _extended(pipeline: Pipeline, sizes: tuple[int, ...]) -> tuple[Any, Vocabulary, Any]:
    """A pretrained model with Semantic IDs, its vocabulary trimmed to the catalogue's language if asked."""
    from tastemaker.lm.base import load, load_tokenizer
    from tastemaker.lm.extend import extend, shorten
    from tastemaker.lm.trim import count_tokens, trim

    settings = pipeline.workspace.settings
    source = settings.base
    if source == "smollm2":
        from tastemaker.lm.smollm2 import convert

        source = str(convert(pipeline.workspace.root / "models" / source))  # once a workspace
    check_base(pipeline.workspace, Path(source))
    model, _ = load(source)
    tokenizer = load_tokenizer(source)
    if settings.base_layers:
        shorten(model, settings.base_layers)
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
    if settings.cpt == "off":
        write_json(
            folder / "summary.json", {"says": "nothing: continued pre-training is off", "achieved": {}}
        )
        return
    model = pipeline.path("base") / "model"
    vocabulary = Vocabulary.from_json((model / "vocabulary.json").read_text())
    encode_text, _ = text_functions(vocabulary, load_tokenizer(model))
    codes, _ = load_codes(pipeline)
    words = words_of(settings, pipeline.data.items, vocabulary, model)
    behaviour = behaviour_examples(
        pipeline.data.split.train, codes, vocabulary, settings.max_items, words=words
    )
    metadata = metadata_examples(pipeline.data.items, codes, vocabulary, encode_text, SENTENCES)
    share = settings.metadata_share if metadata.num_rows else 0.0
    tokens = int(token_counts(behaviour).sum() * float(settings.cpt) / max(1 - share, 0.05))
    shares = {"behaviour": 1 - share, "metadata": share}
    sources = {"behaviour": behaviour, "metadata": metadata}
    mixture, achieved = mix(sources, shares, max(tokens, 1), settings.seed)
    if not mixture.num_rows:
        raise InputError(
            f"cpt = {settings.cpt} of a pass is less than one sequence here; raise it, or set it to off"
        )
    write_table(folder / "cpt.parquet", mixture)
    total = max(1, sum(achieved.values()))
    says = ", ".join(f"{name} {count:,} tokens ({count / total:.0%})" for name, count in achieved.items())
    write_json(folder / "summary.json", {"says": says, "achieved": achieved})


def fine_tuning_examples(pipeline: Pipeline, train: Histories, vocabulary: Vocabulary) -> pa.Table:
    """Every pass over the histories one after another."""
    codes, _ = load_codes(pipeline)
    words, longest = _words(pipeline, vocabulary), pipeline.workspace.settings.max_items
    return pa.concat_tables(
        behaviour_examples(histories, codes, vocabulary, longest, targets, words)
        for histories, targets in passes(pipeline, train, pipeline.workspace.settings.seed)
    )


def _words(pipeline: Pipeline, vocabulary: Vocabulary) -> Words | None:
    """What a pretrained base reads beside Semantic IDs; a model of bytes reads nothing."""
    if vocabulary.kind == "bytes":
        return None
    folder = pipeline.path("base") / "model"
    return words_of(pipeline.workspace.settings, pipeline.data.items, vocabulary, folder)


Judge = Callable[[Vocabulary, Any], float]  # of a model


@dataclass(frozen=True)
class Lesson:
    """One training stage: its name in `NAMES`, first model, reading; share of the dense read-out served."""

    stage: str
    source: Path
    examples: Callable[[Vocabulary], pa.Table]
    settings: Mapping[str, Any]
    siblings: Any = None
    validate: Judge | None = None
    share: Judge | None = None


def train_lesson(pipeline: Pipeline, folder: Path, lesson: Lesson) -> list[dict[str, Any]]:
    """Checkpoints in `folder/state`, the model in `folder/model`; the curve, kept in `curve.jsonl`."""
    from tastemaker.lm.base import device_of, fast_bfloat16, load, load_tokenizer, save
    from tastemaker.lm.train import Settings, adapted, train
    from tastemaker.retrieve.retriever import SHARE

    settings = pipeline.workspace.settings
    device = device_of(settings.device)
    model, vocabulary = load(lesson.source)
    assert vocabulary is not None
    common: dict[str, Any] = {
        "dropout": settings.base_dropout,
        "weight_decay": settings.base_weight_decay,
        "dtype": "bfloat16" if fast_bfloat16(device) and vocabulary.kind == "tokenizer" else "float32",
    }
    if settings.recompute and vocabulary.kind == "tokenizer":
        if settings.base_dropout:
            raise InputError("recompute draws dropout twice; set base_dropout to 0, or recompute to false")
        model.activation_checkpointing_enable({"use_reentrant": False})
    with adapted(model, settings.base_lora if lesson.share else 0, settings.seed) as freeze:
        run = train(
            model.to(device),
            vocabulary,
            lesson.examples(vocabulary),
            Settings(**(common | freeze | dict(lesson.settings))),
            folder / "state",
            validate=partial(lesson.validate, vocabulary) if lesson.validate else None,
            siblings=lesson.siblings,
        )
        curve = folder / "curve.jsonl"
        metrics = follow(run, curve, pipeline.report, NAMES[lesson.stage])
    if lesson.share and settings.base_dense:
        setattr(model.config, SHARE, lesson.share(vocabulary, model))
    tokenizer = load_tokenizer(lesson.source) if vocabulary.kind == "tokenizer" else None
    save(model, vocabulary, folder / "model", tokenizer)
    says = f"{metrics.step:,} steps, loss {metrics.loss:.3f}" if metrics else "nothing to train"
    about = {"share": share} if (share := getattr(model.config, SHARE, 0.0)) else {}
    says += f", dense read-out {share:.0%}" if share else ""
    write_json(folder / "summary.json", {"says": says} | about)
    return read_lines(curve) if curve.exists() else []


def build_cpt(pipeline: Pipeline, folder: Path) -> None:
    """Next-token training on behaviour and metadata; nothing where it is off."""
    source, settings = pipeline.path("base") / "model", pipeline.workspace.settings
    if settings.cpt == "off":
        shutil.copytree(source, folder / "model")
        write_text(folder / "curve.jsonl", "")
        write_json(folder / "summary.json", {"says": "off"})
        return
    examples = read_table(pipeline.path("corpus") / "cpt.parquet")
    chosen = fine_tuning_settings(settings, len(pipeline.data.split.train), 0)
    chosen = {name: chosen[name] for name in ("batch_rows", "seed", "threads", "shard")}
    chosen |= {"stage": "cpt", "schedule": "constant", "learning_rate": settings.cpt_learning_rate}
    chosen |= {"warmup": _warmup(examples.num_rows / chosen["batch_rows"])}
    if settings.new_rows_first:
        first = chosen | {"freeze": "old", "epochs": settings.new_rows_first}
        train_lesson(pipeline, folder / "rows", Lesson("rows", source, lambda _: examples, first))
        source = folder / "rows" / "model"
    train_lesson(pipeline, folder, Lesson("cpt", source, lambda _: examples, chosen))
    shutil.rmtree(folder / "rows", ignore_errors=True)


def build_sft(pipeline: Pipeline, folder: Path) -> None:
    """Training to generate the next Semantic ID from each prefix; the held-out part chooses the pass."""
    train = pipeline.data.split.train
    lines = train_lesson(
        pipeline, folder, _fine_tuning(pipeline, "sft", train, partial(_validation, pipeline))
    )
    note_passes(folder, lines, pipeline.workspace.settings.sft_epochs)


def build_refit(pipeline: Pipeline, folder: Path) -> None:
    """The same fine-tuning on whole histories, nothing held out, ended after the pass that was the best."""
    chosen = chosen_in(pipeline.path("sft"))
    lesson = _fine_tuning(pipeline, "refit", pipeline.data.histories, stop=chosen["passes"])
    share = chosen.get("share", 0.0)
    train_lesson(pipeline, folder, replace(lesson, share=lambda *_: share))


def _fine_tuning(
    pipeline: Pipeline,
    stage: str,
    train: Histories,
    validate: Judge | None = None,
    stop: int = 0,
) -> Lesson:
    from tastemaker.lm.train import Siblings

    settings = pipeline.workspace.settings
    chosen = fine_tuning_settings(settings, len(train), stop)
    warmup = _warmup(settings.sft_epochs * len(train) / chosen["batch_rows"])
    return Lesson(
        stage,
        pipeline.path("cpt") / "model",
        lambda vocabulary: fine_tuning_examples(pipeline, train, vocabulary),
        chosen
        | {
            "learning_rate": settings.base_learning_rate,
            "dense": settings.base_dense,
            "warmup": warmup,
        },
        Siblings.of(*load_codes(pipeline)),
        validate,
        partial(_choose_share, pipeline),
    )


def _warmup(steps: float) -> int:
    """Steps of warm-up in a training of so many: a tenth of a short one."""
    return int(min(100, steps / 10))


def _searching(pipeline: Pipeline, vocabulary: Vocabulary, model: Any) -> tuple[Searcher, Targets]:
    """The search that serves a model, and a sample of the validation part to judge it by."""
    data, settings = pipeline.data, searching(pipeline.workspace.settings)
    targets = data.split.validation.sample(VALIDATED, settings.seed)
    words = _words(pipeline, vocabulary)
    parts = Parts(data, settings, *load_codes(pipeline), (model, vocabulary), words)
    return Searcher(parts), targets


def _validation(pipeline: Pipeline, vocabulary: Vocabulary, model: Any) -> float:
    """N@10 of a model on a sample of the validation part."""
    searcher, targets = _searching(pipeline, vocabulary, model)
    return float(ndcg_at(searcher.ranks(targets, (0.0,))[0], 10).mean())


def _choose_share(pipeline: Pipeline, vocabulary: Vocabulary, model: Any) -> float:
    """The share of the dense read-out with the best N@10 on a sample of the validation part, of a model."""
    from tastemaker.retrieve.retriever import blended

    searcher, targets = _searching(pipeline, vocabulary, model)
    read_outs = searcher.read_outs(targets.context)
    gained = {}
    for share in SHARES:
        lists = [blended(*pair, share, 10).items for pair in read_outs]
        gained[share] = float(ndcg_at(rank_in_lists(lists, targets.target), 10).mean())
    return max(gained, key=lambda share: (gained[share], -share))
