"""A pretrained base: a token a code, with or without continued pre-training, trained and served whole."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
import transformers as hf
from tests.conftest import TINY, quiet
from tokenizers import Tokenizer, models, pre_tokenizers
from typer.testing import CliRunner

from tastemaker.cli.main import app
from tastemaker.errors import InputError
from tastemaker.flows.deploy import active
from tastemaker.flows.ingest import ingest_files
from tastemaker.flows.pipeline import Pipeline
from tastemaker.flows.search import Searcher
from tastemaker.flows.stages.passes import passes
from tastemaker.flows.train import run_stages
from tastemaker.store import Workspace
from tastemaker.store.settings import parse_settings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A causal language model of bytes with random weights, as one would get it from elsewhere."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    whole = Tokenizer(models.BPE({name: row for row, name in enumerate(["<s>", "</s>", *letters])}, []))
    whole.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer = hf.PreTrainedTokenizerFast(tokenizer_object=whole, bos_token="<s>", eos_token="</s>")
    config = hf.LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=1, max_position_embeddings=256, bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    torch.manual_seed(0)
    hf.LlamaForCausalLM(config).save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def test_each_stage_has_settings_of_its_own_and_the_first_can_be_off(
    folder: Path, tiny_files: Path, tmp_path: Path
) -> None:
    shop = tmp_path / "shop"
    settings = {"base": str(folder), "sft_epochs": 2, "cpt": "0.5", "base_learning_rate": 0.01}
    Workspace.create(shop, TINY | settings)
    ingest_files(shop, tiny_files / "items.parquet", tiny_files / "interactions.parquet")
    stages = {stage["stage"]: stage for stage in run_stages(shop, quiet)["stages"]}
    assert list(stages) == ["vectors", "tokens", "base", "corpus", "cpt", "sft", "memory", "refit"]
    assert stages["corpus"]["achieved"]["metadata"] > 0
    deployment = active(Workspace.open(shop))
    assert deployment is not None
    searcher = Searcher.of(deployment)
    assert searcher.retriever is not None and len(searcher.data.item_ids) == 64

    def again(text: str, new: str) -> dict[str, bool]:
        file = shop / "tastemaker.toml"
        file.write_text(file.read_text().replace(text, new))
        shutil.rmtree(shop / "artifacts" / "refit")
        return {stage["stage"]: stage["reused"] for stage in run_stages(shop, quiet, "sft")["stages"]}

    assert [name for name, reused in again("base_learning_rate = 0.01", "base_learning_rate = 0.02").items()
            if not reused] == ["sft"]  # fmt: skip
    shutil.copytree(shop, tmp_path / "off")
    reused = again('cpt = "0.5"', 'cpt = "off"') if (shop / "artifacts" / "refit").mkdir() is None else {}
    assert [name for name, reuse in reused.items() if not reuse] == ["corpus", "cpt", "sft"]
    with pytest.raises(InputError, match="less than one sequence"):
        (shop / "artifacts" / "refit").mkdir()
        again('cpt = "off"', 'cpt = "0.000001"')


def test_a_base_is_cut_reads_titles_and_a_line_and_trains_its_new_rows_first(
    folder: Path, tiny_files: Path, tmp_path: Path
) -> None:
    model = hf.LlamaForCausalLM.from_pretrained(folder)
    deep = hf.LlamaConfig.from_pretrained(folder, num_hidden_layers=3)
    torch.manual_seed(1)
    whole = hf.LlamaForCausalLM(deep)
    whole.load_state_dict(model.state_dict(), strict=False)
    whole.save_pretrained(folder)
    shop = tmp_path / "shop"
    asked = {"base_layers": 2, "prompt_titles": 3, "prompt_line": "Then:", "recompute": True, "max_items": 8}
    asked |= {"new_rows_first": 0.5, "cpt": "0.25", "sft_epochs": 1, "base": str(folder)}
    Workspace.create(shop, TINY | asked)
    ingest_files(shop, tiny_files / "items.parquet", tiny_files / "interactions.parquet")
    result = CliRunner().invoke(app, ["train", "-w", str(shop)])
    assert result.exit_code == 0, result.output
    trained = hf.LlamaConfig.from_pretrained(next((shop / "artifacts" / "refit").glob("*/model")))
    assert trained.num_hidden_layers == 2
    shown = CliRunner().invoke(app, ["recommend", "-w", str(shop), "--history", "t001", "--json"])
    assert shown.exit_code == 0 and len(json.loads(shown.stdout)["rows"]) == 10
    deployment = active(Workspace.open(shop))
    assert deployment is not None
    parts = deployment.parts()  # what is served reads what was trained on
    assert parts.words is not None and len(parts.words.line) == 5 and np.diff(parts.words.offsets).max() == 3
    file = shop / "tastemaker.toml"
    file.write_text(file.read_text().replace("prompt_titles = 3", "prompt_titles = 0"))
    again = active(Workspace.open(shop))
    assert again is not None and again.parts().words is not None  # until the next training
    file.write_text(file.read_text().replace("base_layers = 2", "base_layers = 9"))
    refused = CliRunner().invoke(app, ["train", "-w", str(shop)])
    assert refused.exit_code == 1 and "the base has 3 layers" in str(refused.exception)


def test_a_base_has_a_dense_read_out_and_adapters_and_learns_most_from_what_was_wanted_most(
    folder: Path, tiny_files: Path, tmp_path: Path
) -> None:
    events = pl.read_parquet(tiny_files / "interactions.parquet")
    played = pl.Series([0.2 if place % 3 else 1.0 for place in range(len(events))])
    events.with_columns(kind=pl.lit("play"), value=played).write_parquet(tmp_path / "played.parquet")
    shop = tmp_path / "shop"
    asked = {"base_dense": 1.0, "base_lora": 2, "reward": "events", "cpt": "off", "sft_epochs": 2}
    Workspace.create(shop, TINY | asked | {"base": str(folder), "base_learning_rate": 0.02, "batch": 16})
    ingest_files(shop, tiny_files / "items.parquet", tmp_path / "played.parquet")
    result = CliRunner().invoke(app, ["train", "-w", str(shop)])
    assert result.exit_code == 0, result.output
    deployment = active(Workspace.open(shop))
    assert deployment is not None
    parts = deployment.parts()
    assert parts.language is not None
    model, pipeline = parts.language[0], Pipeline(Workspace.open(shop), quiet)
    before = hf.LlamaForCausalLM.from_pretrained(pipeline.path("base") / "model")
    summary = json.loads((pipeline.path("sft") / "summary.json").read_text())
    searcher = Searcher.of(deployment)
    assert searcher.retriever is not None
    assert searcher.retriever.decoder.share == model.config.dense_share == summary.get("share", 0.0)
    words = slice(0, before.config.vocab_size - 24 - 12)  # before the codes and what follows them
    rows, old = model.get_input_embeddings().weight, before.get_input_embeddings().weight
    assert torch.equal(rows[words][:200], old[words][:200]) and not torch.equal(rows, old)
    for name, new in model.base_model.named_parameters():
        moved = (new - before.base_model.get_parameter(name)).detach()
        if "proj" in name:  # what was merged into the matrices of the trunk is of low rank
            assert 1 <= int(torch.linalg.matrix_rank(moved, rtol=1e-3)) <= 2
    train = pipeline.data.split.train
    assert train.worth is not None and set(train.worth) == {0.2, 1.0}
    masks = [targets for _, targets in passes(pipeline, train, 0)]
    share = np.mean([own[train.worth == 0.2].mean() for own in masks if own is not None])
    assert all(own is not None and own[train.worth == 1.0].all() for own in masks) and 0.05 < share < 0.5


def test_settings_of_version_0_1_say_the_same_in_new_words(tmp_path: Path) -> None:
    read = lambda passes: parse_settings({"format": 1, "cpt_epochs": passes}, tmp_path).cpt  # noqa: E731
    assert [read(0.0), read(0.25), read(2)] == ["1", "0.25", "2"]
