"""Trim a pretrained vocabulary to a product's text: most parameters of small models are rows unread."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import torch
from tokenizers import Tokenizer

from tastemaker.errors import ModelError

BYTE_TOKEN = re.compile(r"<0x[0-9A-F]{2}>")
LATIN = 0x250  # single characters below this are kept where a tokenizer falls back to bytes


def count_tokens(tokenizer: Any, texts: Iterable[str]) -> Counter[int]:
    """How often each token id is used to write `texts`."""
    counts: Counter[int] = Counter()
    for text in texts:
        counts.update(tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids)
    return counts


@torch.no_grad()
def trim(model: Any, tokenizer: Any, counts: Counter[int], size: int) -> tuple[Any, Any]:
    """Keep about `size` tokens: specials, bytes and the most used ones, each with the parts that BPE merges
    it from.

    Rows are copied, so logits on kept tokens are the model's own; text of dropped tokens is written with
    shorter ones, and any Unicode text still comes back. Call before `extend`. The model is changed in place.

    counts: of the product's own text (`count_tokens`): a list ranked on other text cuts the wrong words.

    Returns model and tokenizer, a new one of the general fast class with the same specials and chat template.

    Raises ModelError for a tokenizer that is not BPE or whose ids cannot be kept in order.
    """
    data = json.loads(tokenizer.backend_tokenizer.to_str())
    if data["model"]["type"] != "BPE":
        raise ModelError(
            f"only BPE tokenizers can be trimmed, this one is {data['model']['type']}; use the base untrimmed"
        )
    ids = sorted(_kept_ids(data, counts, size))
    renumber = {old: new for new, old in enumerate(ids)}
    trimmed = _rebuild(tokenizer, _filtered(data, renumber))
    for name, row in trimmed.get_vocab().items():
        if renumber.get(tokenizer.convert_tokens_to_ids(name)) != row:
            raise ModelError(
                f"token '{name}' would move to row {row}: this tokenizer adds tokens of its own; use the base"
                " untrimmed"
            )
    index = torch.tensor(ids, device=model.get_input_embeddings().weight.device)
    ends = (model.get_input_embeddings, model.get_output_embeddings)
    rows = [part().weight[index].clone() for part in ends]
    model.resize_token_embeddings(len(ids), mean_resizing=False)
    for part, weights in zip(ends, rows, strict=True):
        part().weight.copy_(weights)
    for config in (model.config, getattr(model, "generation_config", None)):
        _renumber_config(config, renumber)
    return model, trimmed


def _kept_ids(data: dict[str, Any], counts: Counter[int], size: int) -> set[int]:
    vocab: dict[str, int] = data["model"]["vocab"]
    names = {row: name for name, row in vocab.items()}
    parts = _Parts(vocab, data["model"]["merges"])
    ids = {token["id"] for token in data["added_tokens"]}
    for name, row in vocab.items():
        single = len(name) == 1 and (not data["model"].get("byte_fallback") or ord(name) < LATIN)
        if single or BYTE_TOKEN.fullmatch(name) or name == data["model"].get("unk_token"):
            ids.add(row)
    for row, _ in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
        if len(ids) >= size:
            break
        ids |= parts.closure(row, names) if row in names else {row}
    return ids


class _Parts:
    """For every token the two tokens that BPE merges last to make it."""

    def __init__(self, vocab: dict[str, int], merges: Sequence[Any]) -> None:
        self.vocab = vocab
        pairs = [tuple(merge.split(" ", 1)) if isinstance(merge, str) else tuple(merge) for merge in merges]
        self.rank = {pair: rank for rank, pair in enumerate(pairs)}
        self.ways: dict[str, list[tuple[str, str]]] = {}
        for left, right in pairs:
            self.ways.setdefault(left + right, []).append((left, right))

    def closure(self, row: int, names: dict[int, str]) -> set[int]:
        """`row` and all tokens it is built from."""
        rows: set[int] = set()
        waiting = [names[row]]
        while waiting:
            name = waiting.pop()
            if name in self.vocab and self.vocab[name] not in rows:
                rows.add(self.vocab[name])
                waiting += self._last_merge(name)
        return rows

    def _last_merge(self, name: str) -> Sequence[str]:
        """One merge makes a token in trained BPE; converted tokenizers list several, and encoding decides."""
        ways = self.ways.get(name, [])
        if len(ways) < 2:
            return ways[0] if ways else ()
        pieces = list(name)
        last: Sequence[str] = ()
        while len(pieces) > 1:
            ranked = [
                (self.rank.get((a, b), len(self.rank)), place)
                for place, (a, b) in enumerate(pairwise(pieces))
            ]
            rank, place = min(ranked)
            if rank == len(self.rank):
                return [part for way in ways for part in way]  # not reachable from characters: keep every way
            last = (pieces[place], pieces[place + 1])
            pieces[place : place + 2] = [pieces[place] + pieces[place + 1]]
        return last


def _filtered(data: dict[str, Any], renumber: dict[int, int]) -> dict[str, Any]:
    """tokenizer.json with only the kept tokens, merges between kept tokens, and new ids everywhere."""
    model = data["model"]
    vocab = {name: renumber[row] for name, row in model["vocab"].items() if row in renumber}
    merges = []
    for merge in model["merges"]:
        left, right = merge.split(" ", 1) if isinstance(merge, str) else merge
        if left in vocab and right in vocab and left + right in vocab:
            merges.append(merge)
    added = [{**token, "id": renumber[token["id"]]} for token in data["added_tokens"]]
    result = {**data, "model": {**model, "vocab": vocab, "merges": merges}, "added_tokens": added}
    result["post_processor"] = _renumber_processor(data.get("post_processor"), renumber)
    result["truncation"] = result["padding"] = None
    return result


def _renumber_processor(part: Any, renumber: dict[int, int]) -> Any:
    """Post-processor with new ids: templates list them as `ids`, BERT and RoBERTa as (token, id) pairs."""
    if isinstance(part, dict):
        return {
            key: (
                [renumber[row] for row in value]
                if key == "ids"
                else (
                    [value[0], renumber[value[1]]]
                    if key in ("sep", "cls")
                    else _renumber_processor(value, renumber)
                )
            )
            for key, value in part.items()
        }
    if isinstance(part, list):
        return [_renumber_processor(entry, renumber) for entry in part]
    return part


def _rebuild(tokenizer: Any, data: dict[str, Any]) -> Any:
    from transformers import PreTrainedTokenizerFast

    roles = {name: getattr(tokenizer, name) for name in ("bos_token", "eos_token", "unk_token", "pad_token")}
    rebuilt = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(data)),
        **{name: token for name, token in roles.items() if token is not None},
    )
    rebuilt.chat_template = getattr(tokenizer, "chat_template", None)
    return rebuilt


def _renumber_config(config: Any, renumber: dict[int, int]) -> None:
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        value = getattr(config, name, None)
        if isinstance(value, list):
            setattr(config, name, [renumber[row] for row in value if row in renumber])
        elif value is not None:
            setattr(config, name, renumber.get(value))
