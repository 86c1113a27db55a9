"""Base models: any Hugging Face causal-LM folder; safetensors only, written atomically."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from tastemaker.errors import ModelError
from tastemaker.lm.vocabulary import TextEncoder, Vocabulary

VOCABULARY_FILE = "vocabulary.json"
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' progress bars and reports off the terminal inside the block; errors are raised."""
    from transformers.utils import logging

    shown, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()


def device_of(name: str) -> torch.device:
    """The device of a setting: "auto" is a GPU where there is one. ModelError where "cuda" is not there."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ModelError("device is 'cuda', but PyTorch finds no GPU; set it to 'auto' or 'cpu'")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


@lru_cache
def fast_bfloat16(device: torch.device) -> bool:
    """Whether large products are faster in bfloat16: on a GPU what it says of itself, on a processor measured
    once and remembered in the user's cache folder, so that a resumed run computes as it did before.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    about = "".join(dict.fromkeys(line for line in lines if line.startswith(("model name", "flags"))))
    name = hashlib.blake2b(f"{about}{torch.__version__}".encode(), digest_size=8).hexdigest()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tastemaker"
    path = cache / f"bfloat16-{name}.json"
    try:
        return bool(json.loads(path.read_text())["faster"])
    except (OSError, ValueError, KeyError):
        pass
    seconds = {dtype: _seconds(dtype) for dtype in (torch.float32, torch.bfloat16)}
    faster = seconds[torch.bfloat16] < 0.8 * seconds[torch.float32]
    with suppress(OSError):
        cache.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"faster": faster, "seconds": {str(k): v for k, v in seconds.items()}}))
    return faster


def _seconds(dtype: torch.dtype) -> float:
    """The fastest of a few products of a training step's size."""
    with torch.inference_mode():
        left, right = torch.ones(512, 128, dtype=dtype), torch.ones(128, 2048, dtype=dtype)
        times = []
        for _ in range(8):
            started = time.perf_counter()
            left @ right
            times.append(time.perf_counter() - started)
    return min(times)


def device_defaults() -> tuple[str, str]:
    """The kind of device of "auto", and the name of the faster type there."""
    device = device_of("auto")
    return device.type, "bfloat16" if fast_bfloat16(device) else "float32"


def load(folder: str | Path, dtype: str = "float32") -> tuple[Any, Vocabulary | None]:
    """A causal LM from a folder and its vocabulary when it was saved by us.

    Only safetensors are read, no code from the folder is run, nothing is fetched from anywhere.

    Raises ModelError naming the file: no such folder, pickled or no weights, a config that no model can have,
    a tensor that is missing, unexpected, of another shape or not finite, wrong vocabulary size.
    """
    local = Path(folder)
    if not local.is_dir():
        raise ModelError(
            f'{local}: no such model folder; set `base` to a folder that holds a model, or to "small"'
        )
    _refuse_pickles(local)
    model = _from_pretrained(local, dtype)
    vocabulary = None
    if (local / VOCABULARY_FILE).exists():
        vocabulary = Vocabulary.from_json((local / VOCABULARY_FILE).read_text(encoding="utf-8"))
        rows = model.get_input_embeddings().weight.shape[0]
        if rows < vocabulary.size:
            raise ModelError(
                f"{local}: the model has {rows} rows but its vocabulary {vocabulary.size} tokens; they are of"
                " different models"
            )
    return model.eval(), vocabulary


def _from_pretrained(source: Path, dtype: str) -> Any:
    from transformers import AutoModelForCausalLM

    options = {
        "dtype": getattr(torch, dtype),
        "use_safetensors": True,
        "trust_remote_code": False,
        "local_files_only": True,
        "attn_implementation": "sdpa",
    }
    _check_config(source)
    try:
        with quiet():
            model, about = AutoModelForCausalLM.from_pretrained(source, output_loading_info=True, **options)
    except Exception as error:  # transformers raises many kinds; a user needs one line
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(f"{source}: cannot be loaded as a causal language model ({reason})") from None
    check_tensors(source, model, about)
    return model


SIZES = (
    "num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads", "vocab_size",
    "num_key_value_heads", "head_dim", "max_position_embeddings",
)  # fmt: skip


def _check_config(folder: Path) -> None:
    """Refuse a config that asks for code of its own, or for a model of no layers or no width."""
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        assert isinstance(config, dict)
    except (OSError, ValueError, RecursionError, AssertionError):
        raise ModelError(f"{path}: is missing or no JSON object; give the folder of a whole model") from None
    if config.get("auto_map"):
        raise ModelError(
            f"{path}: names Python code of the folder (auto_map), which is never run; give a model of a kind"
            " that transformers knows"
        )
    for name in SIZES:
        value = config.get(name)
        if value is not None and not (isinstance(value, int) and 1 <= value <= 1 << 24):
            raise ModelError(f"{path}: {name} is {value!r}, which no model has; get the folder again")


def check_tensors(folder: Path, model: Any, about: Mapping[str, Any], spare: str = "") -> None:
    """Refuse a model of which any tensor is not the folder's, or is not finite.

    about: what `from_pretrained` says with `output_loading_info`. spare: a part that the folder may have and
    the model does not use.
    """
    for fault in ("missing", "unexpected", "mismatched"):
        names = sorted(map(str, about[f"{fault}_keys"]))
        names = [name for name in names if not (fault == "unexpected" and spare and name.startswith(spare))]
        if names:
            raise ModelError(
                f"{folder}: {len(names)} tensors are {fault}, such as {names[0]}; get the folder again, whole"
            )
    for name, tensor in model.named_parameters():
        if not torch.isfinite(tensor).all():
            raise ModelError(f"{folder}: tensor {name} holds NaN or infinity; get the folder again")


def _refuse_pickles(folder: Path) -> None:
    files = sorted(entry.name for entry in folder.iterdir())
    if any(name.endswith(".safetensors") for name in files):
        return
    pickled = [name for name in files if name.endswith(PICKLES)]
    if pickled:
        raise ModelError(
            f"{folder / pickled[0]}: pickled weights are refused because loading them can run code; "
            "save the model as safetensors (model.save_pretrained(folder)) where it was made"
        )
    raise ModelError(
        f"{folder}: holds no .safetensors weights; give the folder of a Hugging Face causal language model"
    )


def save(model: Any, vocabulary: Vocabulary | None, folder: str | Path, tokenizer: Any = None) -> None:
    """Write model, vocabulary, tokenizer to `folder`, whole or not at all; the tokenizer is checked."""
    with published(Path(folder)) as partial:
        with quiet():
            model.save_pretrained(partial, max_shard_size="1TB")
        if tokenizer is not None:
            tokenizer.save_pretrained(partial)
            if vocabulary is not None and vocabulary.kind == "tokenizer":
                check_ids(load_tokenizer(partial), vocabulary)  # some classes add tokens of their own
        if vocabulary is not None:
            (partial / VOCABULARY_FILE).write_text(vocabulary.to_json(), encoding="utf-8")


@contextmanager
def published(target: Path) -> Iterator[Path]:
    """A folder to fill inside the block, that is then synced to disk and given the name `target`, in the
    place of what was there; gone again where the block fails.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{target.name}.partial-", dir=target.parent))
    try:
        yield partial
        _publish(partial, target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _publish(partial: Path, target: Path) -> None:
    for entry in [*sorted(partial.rglob("*")), partial]:
        descriptor = os.open(entry, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    partial.chmod(0o755)
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)


def file_hash(path: Path) -> str:
    """BLAKE2b of a file's bytes, 32 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def weights_hash(model: Any) -> str:
    """Hash of a model's weights in memory: names, shapes and bytes in name order (tied matrices once)."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(model.named_parameters()):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy())
    return digest.hexdigest()


def load_tokenizer(folder: str | Path) -> Any:
    """The fast tokenizer of a folder; no code from the folder is run."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, use_fast=True, trust_remote_code=False)
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise ModelError(
            f"{folder}: its tokenizer cannot be loaded ({reason}); get the folder again, with tokenizer.json"
        ) from None


def check_ids(tokenizer: Any, vocabulary: Vocabulary) -> None:
    """Refuse a tokenizer whose added tokens have other ids than the vocabulary's (some shift them)."""
    names = vocabulary.added()
    rows = tokenizer.convert_tokens_to_ids(names)
    for name, row, expected in zip(names, rows, range(vocabulary.base_size, vocabulary.size), strict=True):
        if row != expected:
            raise ModelError(
                f"token '{name}' has id {row} in the tokenizer but {expected} in the vocabulary; ids have"
                " shifted"
            )


def text_functions(
    vocabulary: Vocabulary, tokenizer: Any = None
) -> tuple[TextEncoder, Callable[[Iterable[int]], str]]:
    """(encode, decode) of plain text by the tokenizer of a pretrained base.

    Text that spells a special token, such as `<sid_0_3>`, is encoded as ordinary text: catalogue text cannot
    forge items.
    """
    if tokenizer is None:
        raise ModelError(
            "a pretrained base encodes text with its tokenizer: pass the one that load_tokenizer returns"
        )
    backend = tokenizer.backend_tokenizer
    backend.encode_special_tokens = True

    def encode(text: str) -> list[int]:
        return list(backend.encode(text, add_special_tokens=False).ids)

    def decode(tokens: Iterable[int]) -> str:
        text_tokens = [int(token) for token in tokens if 0 <= int(token) < vocabulary.base_size]
        return str(backend.decode(text_tokens, skip_special_tokens=False))

    return encode, decode
