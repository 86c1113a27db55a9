"""The small model: one position an item, two read-outs, trained on thinned histories."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tastemaker.corpus.behaviour import Windows, windows
from tastemaker.corpus.events import MARKS, Histories
from tastemaker.flows.pipeline import Pipeline
from tastemaker.flows.search import MEMBER
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
from tastemaker.flows.stages.tokens import assigned, load_codebook, load_codes, write_codes
from tastemaker.retrieve.evaluation import rank_of_target, ranks_of_targets
from tastemaker.semantic_ids.codebook import Codebook
from tastemaker.stats.random import generator
from tastemaker.stats.ranking import ndcg_at
from tastemaker.store import read_lines, write_json

WEIGHED = 4000  # people whose targets choose the share of the dense read-out
SHARED = 0.5  # of the dropout, with semantic IDs: rows that many items share learn nothing by heart
BARE = 0.2  # share of windows whose events' marks are hidden, as in a request that names items alone
PEOPLE = 500  # from which on two models are trained and averaged where the settings leave it open


@dataclass(frozen=True, eq=False)
class Member:
    """One of the models that are averaged: its seed, kind of Semantic IDs (the setting `ids`), codebook, the
    items' codes (N, L) and their sizes.

    The first, of number 0, has those of the stage `tokens`. The second has the other kind of Semantic IDs
    (of content alone, where the first are collaborative); each further pair has another seed.
    """

    number: int
    seed: int
    ids: str
    book: Codebook
    codes: npt.NDArray[np.int32]
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, pipeline: Pipeline, number: int) -> Member:
        """The model of this number."""
        settings = pipeline.workspace.settings
        if not number:
            book = load_codebook(pipeline.path("tokens"))
            return cls(0, settings.seed, settings.ids, book, *load_codes(pipeline))
        seed = settings.seed
        if number > 1:
            seed = int(generator(seed, "ensemble", number // 2).integers(2**31))
        if number % 2:
            other = "semantic" if settings.ids == "collaborative" else "collaborative"
            settings = replace(settings, ids=other, tokenizer="rkmeans", levels="")
        book, _, codes, sizes = assigned(pipeline, replace(settings, seed=seed))
        return cls(number, seed, settings.ids, book, codes, sizes)

    def beside(self, folder: Path) -> Path:
        """Where what is kept of the first model in `folder` is kept of this one."""
        own = folder / f"{MEMBER}{self.number}" if self.number else folder
        own.mkdir(parents=True, exist_ok=True)
        return own

    def save(self, model: Any, item_ids: Sequence[str], folder: Path) -> None:
        """Write the model to `folder`, or with its codes to a subfolder."""
        from tastemaker.lm.items import save_items

        if not self.number:
            save_items(model, folder)
            return
        own = self.beside(folder)
        save_items(model, own / "model")
        write_codes(own, item_ids, self.book, self.codes, self.sizes)


def build_sft(pipeline: Pipeline, folder: Path) -> None:
    """Train on the training part; the held-out part chooses the pass and the share of the dense read-out."""
    settings = pipeline.workspace.settings
    count = settings.ensemble or (2 if len(pipeline.data.split.train) >= PEOPLE else 1)
    chosen = []
    for number in range(count):
        member = Member.of(pipeline, number)
        own = member.beside(folder)
        model = _train(pipeline, member, folder, pipeline.data.split.train)
        summary = note_passes(own, read_lines(own / "curve.jsonl"), settings.sft_epochs)
        model.share, by_share = _choose_share(pipeline, member, model)
        member.save(model, pipeline.data.item_ids, folder / "model")
        shown = ", ".join(f"{share:g}: {value:.4f}" for share, value in by_share.items())
        summary["says"] += f"; dense read-out {model.share:.0%} (validation N@10 by share {shown})"
        summary |= {"share": model.share, "validation by share": by_share}
        write_json(own / "summary.json", summary)
        chosen.append(summary)
    first = chosen[0] | {"ensemble": [{name: one[name] for name in ("passes", "share")} for one in chosen]}
    first["says"] += f"; one of {count} models that are averaged" if count > 1 else ""
    write_json(folder / "summary.json", first)


def build_refit(pipeline: Pipeline, folder: Path) -> None:
    """The same on whole histories, nothing held out: the pass and the share as they were chosen."""
    first = chosen_in(pipeline.path("sft"))
    for number, chosen in enumerate(first.get("ensemble", [first])):
        member = Member.of(pipeline, number)
        model = _train(pipeline, member, folder, pipeline.data.histories, chosen["passes"])
        model.share = chosen["share"]
        member.save(model, pipeline.data.item_ids, folder / "model")


def _train(pipeline: Pipeline, member: Member, root: Path, train: Histories, stop: int = 0) -> Any:
    """The trained model; checkpoints below `root/state`, the curve and a summary in the member's folder.

    stop: passes after which it ends; 0: the held-out part says so.
    """
    from tastemaker.lm.base import device_of, fast_bfloat16
    from tastemaker.lm.extend import codeword_rows
    from tastemaker.lm.items import Catalogue, ItemShape, residual_rows, start_model
    from tastemaker.lm.train import Settings, train_task
    from tastemaker.lm.training.item_lesson import ItemLesson

    settings = replace(pipeline.workspace.settings, seed=member.seed)
    ids, sizes, folder = pipeline.data.item_ids, member.sizes, member.beside(root)
    known, read = np.flatnonzero(train.counts(len(ids))), _read(pipeline, train, settings.seed)
    shape = ItemShape(
        sizes,
        len(known),
        layers=settings.layers,
        width=settings.width,
        heads=max(1, settings.width // 32),
        max_items=settings.max_items,
        marks=MARKS if read.marks is not None else 0,
    )
    words = codeword_rows(member.book.codewords, settings.width, settings.seed)
    device = device_of(settings.device)
    model = start_model(shape, [ids[row] for row in known], words, settings.seed).to(device)
    lesson = ItemLesson(
        read.items,
        read.target,
        read.offsets,
        Catalogue(member.codes, sizes, residual_rows(model, ids), device),
        settings.seed,
        settings.dense,
        fast_bfloat16(device),
        read.marks,
    )
    chosen = Settings(
        **fine_tuning_settings(settings, len(train), stop),
        learning_rate=settings.learning_rate,
        dropout=settings.dropout * (SHARED if member.ids == "semantic" else 1.0),
        weight_decay=settings.weight_decay,
    )
    validate = None if stop else _validation(pipeline, member)
    run = train_task(model, lesson, chosen, member.beside(root / "state"), validate)
    title = "fine-tuning on everything" if stop else "fine-tuning"
    title += f", model {member.number + 1}" if member.number else ""
    last = follow(run, folder / "curve.jsonl", pipeline.report, title)
    parameters = sum(one.numel() for one in model.parameters())
    says = f"{parameters / 1e6:.1f}M parameters, {last.step if last else 0:,} steps"
    says += f", loss {last.loss:.3f}" if last else ""
    write_json(folder / "summary.json", {"says": says, "parameters": parameters})
    return model


def _read(pipeline: Pipeline, train: Histories, seed: int) -> Windows:
    """The windows of every pass, one pass after another."""
    longest = pipeline.workspace.settings.max_items
    parts = [windows(histories, longest, targets) for histories, targets in passes(pipeline, train, seed)]
    ends = np.cumsum([0, *(len(part.items) for part in parts)])
    starts = [part.offsets[:-1] + end for part, end in zip(parts, ends, strict=False)]
    items, target, offsets = (
        np.concatenate([part.items for part in parts]),
        np.concatenate([part.target for part in parts]),
        np.concatenate([*starts, ends[-1:]]),
    )
    known = [part.marks for part in parts if part.marks is not None]
    if not known or not pipeline.workspace.settings.event_features:
        return Windows(items, target, offsets)
    bare = generator(seed, "bare histories").random(len(offsets) - 1) < BARE
    return Windows(
        items, target, offsets, np.where(np.repeat(bare, np.diff(offsets)), 0, np.concatenate(known))
    )


def _validation(pipeline: Pipeline, member: Member) -> Callable[[Any], float]:
    """N@10 of a model on a sample of the validation part, by the scores that serve it."""
    from tastemaker.retrieve.items import ItemScorer

    data, settings = pipeline.data, searching(pipeline.workspace.settings)
    targets = data.split.validation.sample(VALIDATED, settings.seed)

    def score(model: Any) -> float:
        scorer = ItemScorer(model, data.item_ids, member.codes, member.sizes)
        seen: Any = "remove" if settings.remove_seen else "keep"
        ranks = ranks_of_targets(scorer, targets.context, targets.target, seen)
        return float(ndcg_at(ranks, 10).mean())

    return score


def _choose_share(pipeline: Pipeline, member: Member, model: Any) -> tuple[float, dict[float, float]]:
    """The share of the dense read-out with the best N@10 on validation targets, and N@10 by share."""
    from tastemaker.lm.items import mixed
    from tastemaker.retrieve.evaluation import batches, take
    from tastemaker.retrieve.items import SCORES, ItemScorer

    data, settings = pipeline.data, searching(pipeline.workspace.settings)
    if not settings.dense:
        return 0.0, {}
    targets = data.split.validation.sample(WEIGHED, settings.seed)
    scorer = ItemScorer(model, data.item_ids, member.codes, member.sizes)
    ranks: dict[float, list[Any]] = {share: [] for share in SHARES}
    for rows in batches(len(targets), max(1, SCORES // len(data.item_ids))):
        part = take(targets.context, rows)
        both = scorer.read_outs(part)
        for share in SHARES:
            scores = mixed(*both, share).cpu().numpy()
            seen = part if settings.remove_seen else None
            ranks[share].append(rank_of_target(scores, targets.target[rows], seen))
    found = {share: float(ndcg_at(np.concatenate(own), 10).mean()) for share, own in ranks.items()}
    return max(found, key=lambda share: (found[share], -share)), found
