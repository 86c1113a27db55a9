"""The pipeline of stages: what is reused, what is redone, what is refused."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from tests.conftest import TINY, quiet, tiny_interactions, tiny_items

from tastemaker.errors import ArtifactError, InputError
from tastemaker.flows.ingest import ingest_files
from tastemaker.flows.pipeline import Pipeline
from tastemaker.flows.stages.tokens import load_codebook, load_codes
from tastemaker.flows.stages.vectors import load_views
from tastemaker.flows.train import ORDER, run_stages
from tastemaker.semantic_ids.codebook import Codebook, encode
from tastemaker.semantic_ids.rkmeans import fit_rkmeans
from tastemaker.semantic_ids.rqvae import RqvaeSettings
from tastemaker.semantic_ids.sizes import codebook_sizes
from tastemaker.store import Workspace


def _copy(untouched_workspace: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "copy"
    shutil.copytree(untouched_workspace, folder)
    return folder


def _set(folder: Path, setting: str, value: str) -> None:
    path = folder / "tastemaker.toml"
    text, count = re.subn(rf"(?m)^{setting} = .*$", f"{setting} = {value}", path.read_text())
    assert count == 1
    path.write_text(text)


def _reused(folder: Path, until: str = ORDER[-1]) -> dict[str, bool]:
    return {stage["stage"]: stage["reused"] for stage in run_stages(folder, quiet, until)["stages"]}


def test_a_second_run_reuses_every_stage(untouched_workspace: Path) -> None:
    assert all(_reused(untouched_workspace).values())


def test_a_setting_redoes_only_what_depends_on_it(untouched_workspace: Path, tmp_path: Path) -> None:
    folder = _copy(untouched_workspace, tmp_path)
    for setting, value in (("beam", "12"), ("exploration", "0.5"), ("remove_seen", "false")):
        _set(folder, setting, value)  # how it serves, not what it learns
    assert all(_reused(folder).values())
    _set(folder, "memory", "false")
    assert [stage for stage, reused in _reused(folder).items() if not reused] == ["memory"]
    _set(folder, "levels", '"16/16"')
    assert _reused(folder, "tokens") == {"vectors": True, "tokens": False}
    with pytest.raises(InputError, match="no such stage; its stages are vectors, tokens, sft"):
        run_stages(folder, quiet, "cpt")


def test_new_tables_redo_the_whole_pipeline(
    untouched_workspace: Path, tiny_files: Path, tmp_path: Path
) -> None:
    folder = _copy(untouched_workspace, tmp_path)
    fewer = pq.read_table(tiny_files / "interactions.parquet").slice(0, 300)
    pq.write_table(fewer, tmp_path / "fewer.parquet")
    ingest_files(folder, None, tmp_path / "fewer.parquet")
    assert _reused(folder, "tokens") == {"vectors": False, "tokens": False}


def test_a_damaged_artifact_is_refused_by_name(untouched_workspace: Path, tmp_path: Path) -> None:
    folder = _copy(untouched_workspace, tmp_path)
    victim = next((folder / "artifacts" / "tokens").glob("*/codebook.safetensors"))
    damaged = bytearray(victim.read_bytes())
    damaged[-1] ^= 1
    victim.write_bytes(bytes(damaged))
    with pytest.raises(ArtifactError, match=r"codebook\.safetensors: damaged"):
        run_stages(folder, quiet)


def test_a_stage_that_was_not_run_names_the_command(tmp_path: Path, tiny_files: Path) -> None:
    folder = tmp_path / "new"
    workspace = Workspace.create(folder)
    ingest_files(folder, tiny_files / "items.parquet", tiny_files / "interactions.parquet")
    with pytest.raises(ArtifactError, match="tastemaker train -w"):
        Pipeline(workspace, quiet).path("sft")


def test_fewer_items_than_codes_is_refused(tmp_path: Path) -> None:
    few = tiny_items().slice(0, 20)
    interactions = tiny_interactions().filter(
        pc.is_in(tiny_interactions()["item_id"], value_set=few["item_id"].combine_chunks())
    )
    pq.write_table(few, tmp_path / "i.parquet")
    pq.write_table(interactions, tmp_path / "e.parquet")
    Workspace.create(tmp_path / "w", {"text_view": "tfidf", "levels": "64/256"})
    ingest_files(tmp_path / "w", tmp_path / "i.parquet", tmp_path / "e.parquet")
    with pytest.raises(InputError, match="20 items"):
        run_stages(tmp_path / "w", quiet, "tokens")
    Workspace.create(tmp_path / "v", {"text_view": "tfidf"})  # sizes of its own choice fit any catalogue
    ingest_files(tmp_path / "v", tmp_path / "i.parquet", tmp_path / "e.parquet")
    run_stages(tmp_path / "v", quiet, "tokens")


def test_training_artifacts_name_what_they_were_built_from(untouched_workspace: Path) -> None:
    pipeline = Pipeline(Workspace.open(untouched_workspace), quiet)
    manifest = json.loads((pipeline.path("sft") / "manifest.json").read_text())["about"]
    assert manifest["inputs"] == {"tables": pipeline.tables, "tokens": pipeline.fingerprint("tokens")}
    assert (pipeline.path("sft") / "model" / "model.safetensors").exists()
    assert not list(pipeline.workspace.root.rglob("*.bin")) and not list(
        pipeline.workspace.root.rglob("*.pkl")
    )


def test_texts_that_tell_nothing_apart_leave_behaviour(tmp_path: Path) -> None:
    items = tiny_items()
    titles = pa.array([f"Thing {number}" for number in range(items.num_rows)])
    plain = items.select(["item_id"]).append_column("title", titles)
    pq.write_table(plain, tmp_path / "items.parquet")
    pq.write_table(tiny_interactions(), tmp_path / "interactions.parquet")
    folder = tmp_path / "shop"
    Workspace.create(folder, TINY)
    ingest_files(folder, tmp_path / "items.parquet", tmp_path / "interactions.parquet")
    stages = run_stages(folder, quiet, "tokens")["stages"]
    assert [stage["stage"] for stage in stages] == ["vectors", "tokens"]


def test_the_switches_of_semantic_ids(
    tiny_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Codes from content alone are those that a new item gets; every switch of SID-v2 is reached."""

    def tokens(**more: Any) -> tuple[Pipeline, np.ndarray, tuple[int, ...]]:
        folder = tmp_path / "_".join([str(value) for value in more.values()]).replace("/", "-")
        Workspace.create(folder, TINY | {"levels": "", "collisions": "expand"} | more)
        ingest_files(folder, tiny_files / "items.parquet", tiny_files / "interactions.parquet")
        run_stages(folder, quiet, "tokens")
        pipeline = Pipeline(Workspace.open(folder), quiet)
        return (pipeline, *load_codes(pipeline))

    pipeline, codes, sizes = tokens(tokenizer="rkmeans", ids="semantic", levels="halving")
    assert sizes == codebook_sizes(64) and list(sizes) == sorted(sizes, reverse=True)
    text = load_views(pipeline.path("vectors"))["text"]
    book = load_codebook(pipeline.path("tokens"))
    np.testing.assert_array_equal(encode(book, {"text": text}), codes)
    asked = []

    def fit(views: Any, sizes: Any, pairs: Any, chosen: RqvaeSettings, *rest: Any) -> Codebook:
        asked.append((set(views), chosen.masking, chosen.contrastive))
        return fit_rkmeans(views, sizes, 0)

    monkeypatch.setattr("tastemaker.semantic_ids.rqvae.fit_rqvae", fit)
    plain = tokens(tokenizer="rqvae", levels="16/8")[0]
    other = tokens(
        tokenizer="rqvae", levels="16/8", ids="semantic", rqvae_contrastive=0.0, rqvae_masking=False
    )
    assert asked == [({"text", "behaviour"}, True, 0.3), ({"text"}, False, 0.0)]
    assert set(other[0].settings("tokens")) - set(plain.settings("tokens")) == {
        "ids",
        "rqvae_contrastive",
        "rqvae_masking",
    }
