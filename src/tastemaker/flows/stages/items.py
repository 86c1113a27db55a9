"""The small model: one position an item, two read-outs, trained on thinned histories."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from tastemaker.corpus.behaviour import Windows, windows
from tastemaker.corpus.events import MARKS, Histories
from tastemaker.flows.pipeline import Pipeline, Report
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

if TYPE_CHECKING:
    from tastemaker.lm.training.interrupt import Interruption

T = TypeVar("T")

CURVE = "curve.jsonl"
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

    def subfolder(self, folder: Path) -> Path:
        """Where what is kept of the first model in `folder` is kept of this one."""
        path = folder / f"{MEMBER}{self.number}" if self.number else folder
        path.mkdir(parents=True, exist_ok=True)
        return path

    def save(self, model: Any, item_ids: Sequence[str], folder: Path) -> None:
        """Write the model to `folder`, or with its codes to a subfolder."""
        from tastemaker.lm.items import save_items

        if not self.number:
            save_items(model, folder)
            return
        path = self.subfolder(folder)
        save_items(model, path / "model")
        write_codes(path, item_ids, self.book, self.codes, self.sizes)


def build_sft(pipeline: Pipeline, folder: Path) -> None:
    """Train on the training part; the held-out part chooses the pass and the share of the dense read-out."""
    settings, train = pipeline.workspace.settings, pipeline.data.split.train
    count = settings.ensemble or (2 if len(train) >= PEOPLE else 1)
    students = [Student.of(pipeline, folder, number, train) for number in range(count)]
    shares = _taught(students, lambda student: _choose_share(pipeline, student.member, student.model))
    chosen = []
    for student, (share, by_share) in zip(students, shares, strict=True):
        student.model.share = share
        student.save(pipeline)
        summary = note_passes(student.folder, read_lines(student.folder / CURVE), settings.sft_epochs)
        shown = ", ".join(f"{share:g}: {value:.4f}" for share, value in by_share.items())
        summary["says"] += f"; dense read-out {share:.0%} (validation N@10 by share {shown})"
        summary |= {"share": share, "validation by share": by_share}
        write_json(student.folder / "summary.json", summary)
        chosen.append(summary)
    ensemble = [{name: summary[name] for name in ("passes", "share")} for summary in chosen]
    first = chosen[0] | {"ensemble": ensemble}
    first["says"] += f"; one of {count} models that are averaged" if count > 1 else ""
    write_json(folder / "summary.json", first)


def build_refit(pipeline: Pipeline, folder: Path) -> None:
    """The same on whole histories, nothing held out: the pass and the share as they were chosen."""
    first = chosen_in(pipeline.path("sft"))
    chosen = first.get("ensemble", [first])
    histories = pipeline.data.histories
    students = [
        Student.of(pipeline, folder, number, histories, summary["passes"])
        for number, summary in enumerate(chosen)
    ]
    _taught(students, lambda student: None)
    for student, summary in zip(students, chosen, strict=True):
        student.model.share = summary["share"]
        student.save(pipeline)


@dataclass(frozen=True, eq=False)
class Student:
    """A model that is to be trained: what it reads and how, and its folder below the artifact's `root`."""

    member: Member
    root: Path
    model: Any
    lesson: Any
    settings: Any
    validate: Callable[[Any], float] | None
    report: Report

    @classmethod
    def of(cls, pipeline: Pipeline, root: Path, number: int, train: Histories, stop: int = 0) -> Student:
        """The untrained model of this number. stop: passes after which it ends; 0: the held-out part says."""
        from tastemaker.lm.base import device_of, fast_bfloat16
        from tastemaker.lm.extend import codeword_rows
        from tastemaker.lm.items import Catalogue, ItemShape, residual_rows, start_model
        from tastemaker.lm.train import Settings
        from tastemaker.lm.training.item_lesson import ItemLesson

        member = Member.of(pipeline, number)
        settings = replace(pipeline.workspace.settings, seed=member.seed)
        ids, sizes = pipeline.data.item_ids, member.sizes
        known, inputs = np.flatnonzero(train.counts(len(ids))), _read(pipeline, train, settings.seed)
        shape = ItemShape(
            sizes,
            len(known),
            layers=settings.layers,
            width=settings.width,
            heads=max(1, settings.width // 32),
            max_items=settings.max_items,
            marks=MARKS if inputs.marks is not None else 0,
        )
        words = codeword_rows(member.book.codewords, settings.width, settings.seed)
        device = device_of(settings.device)
        model = start_model(shape, [ids[row] for row in known], words, settings.seed).to(device)
        lesson = ItemLesson(
            inputs.items,
            inputs.target,
            inputs.offsets,
            Catalogue(member.codes, sizes, residual_rows(model, ids), device),
            settings.seed,
            settings.dense,
            fast_bfloat16(device),
            inputs.marks,
        )
        chosen = Settings(
            **fine_tuning_settings(settings, len(train), stop),
            learning_rate=settings.learning_rate,
            dropout=settings.dropout * (SHARED if member.ids == "semantic" else 1.0),
            weight_decay=settings.weight_decay,
        )
        validate = None if stop else _validation(pipeline, member)
        return cls(member, root, model, lesson, chosen, validate, pipeline.report)

    @property
    def folder(self) -> Path:
        """Of the curve and a summary; checkpoints are below `root/state`."""
        return self.member.subfolder(self.root)

    def learn(self, threads: int | None, interruption: Interruption | None) -> None:
        """Train the model, which then has the weights to keep."""
        from tastemaker.lm.train import train_task

        settings = replace(self.settings, threads=threads)
        state = self.member.subfolder(self.root / "state")
        run = train_task(self.model, self.lesson, settings, state, self.validate, interruption)
        title = "fine-tuning" if self.validate else "fine-tuning on everything"
        title += f", model {self.member.number + 1}" if self.member.number else ""
        last = follow(run, self.folder / CURVE, self.report, title)
        parameters = sum(parameter.numel() for parameter in self.model.parameters())
        says = f"{parameters / 1e6:.1f}M parameters, {last.step if last else 0:,} steps"
        says += f", loss {last.loss:.3f}" if last else ""
        write_json(self.folder / "summary.json", {"says": says, "parameters": parameters})

    def save(self, pipeline: Pipeline) -> None:
        """Write the model where it is served from."""
        self.member.save(self.model, pipeline.data.item_ids, self.root / "model")


def _taught(students: Sequence[Student], ask: Callable[[Student], T]) -> list[T]:
    """Train all, then ask each; on several cores at the same time, as a second thread gains little."""
    import torch

    from tastemaker.lm.training import parallel
    from tastemaker.lm.training.interrupt import at_once

    before = torch.get_num_threads()
    threads = students[0].settings.threads or before
    abreast = min(len(students), threads)
    if abreast < 2 or students[0].model.device.type != "cpu" or parallel.size() > 1:
        answers = []
        for student in students:
            student.learn(student.settings.threads, None)
            answers.append(ask(student))
        return answers

    def teach(group: Sequence[Student], interruption: Interruption) -> list[tuple[int, T]]:
        torch.set_num_threads(threads // abreast)
        answers = []
        for student in group:
            student.learn(threads // abreast, interruption)
            answers.append((student.member.number, ask(student)))
        return answers

    shares = [partial(teach, students[start::abreast]) for start in range(abreast)]
    try:
        by_number = dict(answer for group in at_once(shares) for answer in group)
    finally:
        torch.set_num_threads(before)  # what threads that come later start with
    return [by_number[student.member.number] for student in students]


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
        read_outs = scorer.read_outs(part)
        for share in SHARES:
            scores = mixed(*read_outs, share).cpu().numpy()
            seen = part if settings.remove_seen else None
            ranks[share].append(rank_of_target(scores, targets.target[rows], seen))
    ndcg = {share: float(ndcg_at(np.concatenate(parts), 10).mean()) for share, parts in ranks.items()}
    return max(ndcg, key=lambda share: (ndcg[share], -share)), ndcg
