"""Bases on disk: what is written comes back, what could run code or is damaged is refused by name."""

from __future__ import annotations

import json

import pytest
import torch
from recipes.small import Shape, small
from safetensors.torch import load_file, save_file

from tastemaker.errors import ModelError
from tastemaker.lm import base, smollm2
from tastemaker.lm.base import load, save, weights_hash


@pytest.fixture
def saved(vocabulary, tiny, tmp_path):
    model = small(vocabulary, tiny, seed=1)
    save(model, vocabulary, tmp_path / "model")
    return model, tmp_path / "model"


def test_a_saved_model_comes_back(saved, vocabulary):
    model, folder = saved
    loaded, again = load(folder)
    assert again == vocabulary and weights_hash(loaded) == weights_hash(model)
    assert loaded.config._attn_implementation == "sdpa" and not loaded.training
    assert loaded.lm_head.weight is loaded.model.embed_tokens.weight
    assert sorted(entry.name for entry in folder.parent.iterdir()) == ["model"]


def test_small_follows_its_seed_and_leaves_the_global_generator_alone(vocabulary, tiny):
    state = torch.get_rng_state()
    first, two, other = (small(vocabulary, tiny, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert weights_hash(first) == weights_hash(two) != weights_hash(other)
    assert first.get_input_embeddings().weight.shape == (vocabulary.size, 32)


def test_default_sizes_are_small(vocabulary):
    model = small(vocabulary, Shape())
    assert 1e6 < sum(parameter.numel() for parameter in model.parameters()) < 15e6


@pytest.mark.parametrize("change", [{"width": 30}, {"layers": 0}, {"heads": 5}])
def test_shapes_that_cannot_be_built_are_refused(change):
    with pytest.raises(ModelError, match="shape"):
        Shape(**change)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pkl"])
def test_pickled_weights_are_refused_by_name(saved, name):
    _, folder = saved
    (folder / "model.safetensors").rename(folder / name)
    with pytest.raises(ModelError, match=f"{name}: pickled weights are refused"):
        load(folder)


def test_other_bad_folders_are_refused(saved, tmp_path, vocabulary):
    _, folder = saved
    with pytest.raises(ModelError, match="no such model folder"):
        load(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"no \.safetensors"):
        load(tmp_path / "empty")
    file = folder / "model.safetensors"
    file.write_bytes(b"no tensors here")
    with pytest.raises(ModelError, match="cannot be loaded") as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def test_a_vocabulary_of_another_model_is_refused(saved, vocabulary):
    _, folder = saved
    other = json.loads(vocabulary.to_json()) | {"sizes": [512, 4, 4]}
    (folder / "vocabulary.json").write_text(json.dumps(other))
    with pytest.raises(ModelError, match="of different models"):
        load(folder)


def test_a_failed_save_leaves_the_old_version(saved, vocabulary, tiny, monkeypatch):
    model, folder = saved
    newer = small(vocabulary, tiny, seed=2)

    class Killed(BaseException):
        pass

    def killed(*_):
        raise Killed

    monkeypatch.setattr(base.os, "fsync", killed)
    with pytest.raises(Killed):
        save(newer, vocabulary, folder)
    assert weights_hash(load(folder)[0]) == weights_hash(model)
    monkeypatch.undo()
    save(newer, vocabulary, folder)
    assert weights_hash(load(folder)[0]) == weights_hash(newer)
    assert [entry.name for entry in folder.parent.iterdir()] == ["model"]


def test_no_code_from_a_folder_runs(saved, tmp_path):
    _, folder = saved
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "own",
        "auto_map": {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.Own"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').write('x')\n")
    with pytest.raises(ModelError):
        load(folder)
    assert not (tmp_path / "ran").exists()


def test_the_device_of_a_setting(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert base.device_of("auto") == base.device_of("cpu") == torch.device("cpu")
    with pytest.raises(ModelError, match="PyTorch finds no GPU; set it to 'auto' or 'cpu'"):
        base.device_of("cuda")
    device, dtype = base.device_defaults()
    assert device == "cpu" and dtype in ("float32", "bfloat16")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert base.device_of("auto").type == "cuda" and base.device_of("cpu").type == "cpu"


def test_smollm2_without_its_package_names_the_install_line(monkeypatch, tmp_path):
    monkeypatch.setattr(smollm2, "PACKAGE", "no_such_package_at_all")
    with pytest.raises(ModelError, match="make smollm2"):
        smollm2.convert(tmp_path / "model")


def test_a_converted_smollm2_is_not_converted_again(saved, monkeypatch):
    _, folder = saved
    (folder / "tokenizer.json").write_text("{}")
    monkeypatch.setattr(smollm2, "PACKAGE", "no_such_package_at_all")
    assert smollm2.convert(folder) == folder


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.popitem(), "1 tensors are missing"),
        (lambda t: t.clear(), "tensors are missing"),
        (lambda t: t.update(extra=torch.zeros(2)), "1 tensors are unexpected, such as extra"),
        (lambda t: t.update({name: tensor[:1] for name, tensor in t.items()}), "cannot be loaded|mismatched"),
        (lambda t: next(iter(t.values())).view(-1)[:1].fill_(float("nan")), "NaN or infinity"),
    ],
)
def test_a_folder_without_every_tensor_as_it_should_be_is_refused(vocabulary, tiny, tmp_path, change, says):
    save(small(vocabulary, tiny, seed=1), None, tmp_path / "model")  # no hash of ours would tell
    file = tmp_path / "model" / "model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=says):
        load(tmp_path / "model")


@pytest.mark.parametrize(
    "change",
    [
        {"num_hidden_layers": -5},
        {"num_hidden_layers": 0},
        {"hidden_size": "32"},
        {"vocab_size": 1 << 40},
        {"num_key_value_heads": -1},
        {"max_position_embeddings": -5},
        {"head_dim": 0},
        {"auto_map": {"AutoModelForCausalLM": "evil.X"}},
    ],
)
def test_a_config_that_no_model_has_is_refused(saved, change):
    path = saved[1] / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ModelError, match=r"config\.json"):
        load(saved[1])
