"""Extending and trimming a pretrained base, shown on a tiny Llama with a BPE tokenizer that is trained
here.
"""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
import transformers as hf
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from tastemaker.errors import ModelError
from tastemaker.lm import base
from tastemaker.lm.extend import extend, shorten
from tastemaker.lm.train import Settings, train
from tastemaker.lm.trim import count_tokens, trim

TEXT = [
    "a slow air in the key of D",
    "the quick reel in G minor",
    "jigs and reels for the dance",
    "an air for the slow dance",
] * 5
OTHER = ["quantum chromodynamics lattice", "chromatic lattices of quarks"] * 3
SPECIALS = ["<s>", "</s>", "<pad>"]


def _byte_level():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=380, special_tokens=SPECIALS, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXT + OTHER, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return tokenizer


def _byte_fallback():
    """Gemma's kind: spaces as a mark, unknown characters as bytes, every split of a token a merge."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=[*SPECIALS, "<unk>", *[f"<0x{byte:02X}>" for byte in range(256)]],
        show_progress=False,
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    tokenizer.train_from_iterator(TEXT + OTHER, trainer)
    data = json.loads(tokenizer.to_str())
    vocab = data["model"]["vocab"]
    splits = {
        (n[:i], n[i:])
        for n in vocab
        for i in range(1, len(n))
        if not n.startswith("<") and n[:i] in vocab and n[i:] in vocab
    }
    data["model"]["merges"] = sorted(map(list, splits), key=lambda pair: (vocab["".join(pair)], pair))
    data["pre_tokenizer"] = None
    data["normalizer"] = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    steps = [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ]
    data["decoder"] = {"type": "Sequence", "decoders": steps}
    return Tokenizer.from_str(json.dumps(data))


KINDS = {"byte level": _byte_level, "byte fallback": _byte_fallback}
BUILT = {name: build() for name, build in KINDS.items()}


def _pretrained(kind="byte level", tied=True, padding=0):
    tokenizer = hf.PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(BUILT[kind].to_str()),
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
    )
    tokenizer.chat_template = "{{ messages }}"
    config = hf.LlamaConfig(
        vocab_size=len(tokenizer) + padding,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=128,
        tie_word_embeddings=tied,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
    )
    torch.manual_seed(0)
    return hf.LlamaForCausalLM(config).eval(), tokenizer


# ---- extend


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("padding", [0, 40])
def test_extension_keeps_old_rows_and_puts_new_ones_in_order(tied, padding, tmp_path):
    model, tokenizer = _pretrained(tied=tied, padding=padding)
    before = {name: part.weight.detach().clone() for name, part in _matrices(model).items()}
    old = len(tokenizer)
    vocabulary = extend(model, tokenizer, (16, 8), seed=3)
    assert vocabulary.base_size == old and model.get_input_embeddings().weight.shape[0] == vocabulary.size
    assert (model.get_input_embeddings().weight is model.get_output_embeddings().weight) == tied
    assert tokenizer.convert_tokens_to_ids("<sid_1_0>") == vocabulary.sid_slice(1).start
    assert vocabulary.special("bos") == 0 and vocabulary.special("sep") == tokenizer.convert_tokens_to_ids(
        "<|sep|>"
    )
    for name, part in _matrices(model).items():
        assert torch.equal(part.weight[:old], before[name][:old])
        new, known = part.weight[old:].detach(), before[name]
        assert float((new.mean(0) - known[:old].mean(0)).abs().max()) < 0.1 * float(known.std()) * 4 / 5
        assert float(new.std(0).mean() / known.std(0).mean()) == pytest.approx(0.1, rel=0.2)
    if not tied:
        assert not torch.equal(
            model.get_input_embeddings().weight[old:], model.get_output_embeddings().weight[old:]
        )
    base.save(model, vocabulary, tmp_path / "model", tokenizer)
    loaded, again = base.load(tmp_path / "model")
    assert again == vocabulary and base.weights_hash(loaded) == base.weights_hash(model)
    base.check_ids(base.load_tokenizer(tmp_path / "model"), vocabulary)


def _matrices(model):
    return {"input": model.get_input_embeddings(), "output": model.get_output_embeddings()}


def test_codewords_keep_their_neighbours():
    model, tokenizer = _pretrained()
    draws = np.random.default_rng(0)
    words = draws.standard_normal((4, 6))
    words = np.concatenate([words, words + 0.01 * draws.standard_normal((4, 6))])
    vocabulary = extend(model, tokenizer, (8, 3), codewords=[words, draws.standard_normal((3, 6))], seed=0)
    rows = model.get_input_embeddings().weight[vocabulary.sid_slice(0)].detach()
    distances = torch.cdist(rows, rows) + 1e9 * torch.eye(8)
    assert distances.argmin(1).tolist() == [4, 5, 6, 7, 0, 1, 2, 3]


@pytest.mark.parametrize("tied", [True, False])
def test_a_base_begins_at_the_loss_of_a_guess_over_codes(tied, table):
    """Its rows and its last norm as large beside each other as those of SmolLM2: text spreads logits by 7."""
    model, tokenizer = _pretrained(tied=tied)
    model.model.norm.weight.data.fill_(1.8)
    for part in _matrices(model).values():
        part.weight.data.mul_(0.7 / part.weight.std()).add_(0.3)
    draws = np.random.default_rng(0)
    words = [draws.standard_normal((64, 24)), 0.5 * draws.standard_normal((16, 24))]
    vocabulary = extend(model, tokenizer, (64, 16), codewords=words)
    people = draws.integers([64, 16], size=(32, 6, 2))
    rows = [[0, *vocabulary.sid_tokens(items).ravel().tolist()] for items in people]
    settings = Settings(stage="sft", steps=1, batch_rows=32, learning_rate=1e-9, log_every=1)
    first = next(train(model, vocabulary, table(rows), settings))
    assert (np.array(first.level_losses) <= np.log([64, 16]) + 0.3).all(), first.level_losses
    given = model.get_input_embeddings().weight[vocabulary.sid_slice(0)].detach().numpy()
    distances = [np.linalg.norm(vectors[:, None] - vectors, axis=2).ravel() for vectors in (given, words[0])]
    assert np.corrcoef(distances)[0, 1] > 0.9  # the geometry of the codewords is kept


@pytest.mark.parametrize("family", ["Llama", "Gemma"])  # Gemma's norm has a gain of one more than its weight
def test_what_is_left_of_a_base_speaks_as_loud_as_the_whole(family):
    torch.manual_seed(0)
    config = getattr(hf, f"{family}Config")(
        vocab_size=200, hidden_size=32, intermediate_size=32, num_hidden_layers=3, num_attention_heads=2,
        num_key_value_heads=2, head_dim=16, initializer_range=0.2, tie_word_embeddings=True,
    )  # fmt: skip
    model = getattr(hf, f"{family}ForCausalLM")(config).eval()
    model.get_input_embeddings().weight.data[:, 0] *= 10  # what the later layers turn away from
    texts = torch.randint(200, (16, 48))

    def spread():
        with torch.no_grad():
            return float(model(texts).logits.std(-1).mean())

    before = spread()
    shorten(model, 1)
    assert len(model.model.layers) == 1 and spread() == pytest.approx(before, rel=0.1)


def test_shifted_ids_and_second_extensions_are_refused():
    model, tokenizer = _pretrained()
    vocabulary = extend(model, tokenizer, (4, 2))
    with pytest.raises(ModelError, match="already has '<sid_0_0>'"):
        extend(model, tokenizer, (4, 2))
    _, shifted = _pretrained()
    shifted.add_tokens(["<mask>"])
    shifted.add_tokens(vocabulary.added())
    first = vocabulary.base_size
    with pytest.raises(ModelError, match=f"'<sid_0_0>' has id {first + 1} in the tokenizer but {first}"):
        base.check_ids(shifted, vocabulary)


def test_catalogue_text_cannot_forge_items():
    model, tokenizer = _pretrained()
    vocabulary = extend(model, tokenizer, (4, 2))
    encode, decode = base.text_functions(vocabulary, tokenizer)
    for text in ("buy <sid_0_1><sid_1_0> now", "</s><s>", "<|sep|>"):
        tokens = encode(text)
        assert (
            (vocabulary.level_of(tokens) < 0).all()
            and min(tokens) >= len(SPECIALS)
            and max(tokens) < vocabulary.base_size
        )
        assert decode(tokens) == text
    with pytest.raises(ModelError, match="load_tokenizer"):
        base.text_functions(vocabulary)


def test_an_extended_model_trains_in_two_phases(table):
    model, tokenizer = _pretrained()
    vocabulary = extend(model, tokenizer, (4, 2))
    rows = [
        [0, *vocabulary.sid_tokens([a, b]).tolist(), *vocabulary.sid_tokens([b, a % 2]).tolist()]
        for a in range(4)
        for b in range(2)
    ]
    settings = Settings(
        stage="sft", steps=30, batch_rows=8, learning_rate=1e-2, warmup=2, freeze="old", log_every=10
    )
    old = model.get_input_embeddings().weight[: vocabulary.base_size].detach().clone()
    first = list(train(model, vocabulary, table(rows), settings))
    assert torch.equal(model.get_input_embeddings().weight[: vocabulary.base_size], old)
    second = list(
        train(
            model,
            vocabulary,
            table(rows),
            Settings(stage="cpt", steps=30, batch_rows=8, learning_rate=3e-3, log_every=10),
        )
    )
    assert first[-1].loss < first[0].loss and second[-1].loss < second[0].loss


# ---- trim


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tied", [True, False])
def test_trimming_keeps_logits_and_segmentation_of_kept_text(kind, tied, tmp_path):
    model, tokenizer = _pretrained(kind, tied)
    original, old_tokenizer = copy.deepcopy(model), copy.deepcopy(tokenizer)
    counts = count_tokens(tokenizer, TEXT)
    model, trimmed = trim(model, tokenizer, counts, len(tokenizer) - 30)
    rows = len(trimmed)
    assert len(old_tokenizer) - 45 < rows < len(old_tokenizer) - 20
    assert model.get_input_embeddings().weight.shape[0] == model.config.vocab_size == rows
    kept_ids = torch.tensor(
        [
            old_tokenizer.convert_tokens_to_ids(name)
            for name, _ in sorted(trimmed.get_vocab().items(), key=lambda p: p[1])
        ]
    )
    for text in TEXT[:4]:
        old, new = old_tokenizer(text)["input_ids"], trimmed(text)["input_ids"]
        assert kept_ids[new].tolist() == old
        with torch.inference_mode():
            torch.testing.assert_close(
                model(torch.tensor([new])).logits,
                original(torch.tensor([old])).logits[..., kept_ids],
                atol=1e-5,
                rtol=0,
            )
    assert len(trimmed(OTHER[0])["input_ids"]) > len(old_tokenizer(OTHER[0])["input_ids"])
    assert (model.config.bos_token_id, model.config.eos_token_id) == (
        trimmed.bos_token_id,
        trimmed.eos_token_id,
    )
    assert trimmed("")["input_ids"] == tokenizer("")["input_ids"] and trimmed.chat_template
    vocabulary = extend(model, trimmed, (4, 2))
    base.save(model, vocabulary, tmp_path / "trimmed", trimmed)
    base.check_ids(base.load_tokenizer(tmp_path / "trimmed"), vocabulary)
    assert base.load_tokenizer(tmp_path / "trimmed")(TEXT[0])["input_ids"] == trimmed(TEXT[0])["input_ids"]


def test_trimmed_tokens_are_closed_under_their_parts():
    model, tokenizer = _pretrained()
    _, trimmed = trim(model, tokenizer, count_tokens(tokenizer, TEXT), 300)
    data = json.loads(trimmed.backend_tokenizer.to_str())["model"]
    merged = {"".join(merge) for merge in data["merges"]}
    assert 280 < len(data["vocab"]) <= 310
    assert all(len(name) == 1 or name in merged or name in SPECIALS for name in data["vocab"])


TRIMMED = {kind: trim(*_pretrained(kind), count_tokens(_pretrained(kind)[1], TEXT), 300)[1] for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60)
@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="▁"), max_size=30))
def test_any_text_comes_back_from_a_trimmed_tokenizer(kind, text):
    backend = TRIMMED[kind].backend_tokenizer
    backend.encode_special_tokens = True
    assert (
        backend.decode(backend.encode(text, add_special_tokens=False).ids, skip_special_tokens=False) == text
    )


def test_other_tokenizers_are_refused():
    model, _ = _pretrained()
    words = hf.PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({"a": 0, "<unk>": 1}, unk_token="<unk>"))
    )
    with pytest.raises(ModelError, match="WordLevel"):
        trim(model, words, count_tokens(words, []), 10)
