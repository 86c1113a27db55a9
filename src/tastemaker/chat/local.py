"""A Hugging Face causal language model in this process, text only: any folder whose tokenizer has a chat
template. What it writes is held to the JSON schema asked for, token by token.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import LogitsProcessor

from tastemaker.chat.answers import schema_prompt
from tastemaker.chat.cache import call_key
from tastemaker.chat.protocol import CallError, Reply, Request, Usage
from tastemaker.errors import ModelError
from tastemaker.lm.base import device_defaults, file_hash, load, load_tokenizer

_MARK = "\ue000part{}\ue001"
"""Stands for a message's text while the template is rendered; private-use characters occur in no template."""

LONGEST = 160  # letters of a text, whatever more the schema allows: a small model seldom ends one by itself


class Local:
    """A `Chat` over a model folder; one answer at a time. The same request draws the same answer, seeded by
    its key.

    Texts are tokenised as plain text, so that one which spells `<|im_end|>` cannot end its message (only the
    template writes special tokens). A request without a system message gets an empty one, because some
    templates, SmolLM2's among them, would otherwise put in a text of their own. An answer with a schema is
    written in its shape, token by token; what it says is the model's own.
    deadline: seconds after which an answer is given up.

    Raises
    ------
    ModelError
        when the folder cannot be loaded or its tokenizer has no chat template.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        name: str | None = None,
        device: str | None = None,
        deadline: float = 120.0,
    ) -> None:
        from llguidance.hf import from_tokenizer

        path = Path(folder)
        found, dtype = device_defaults()
        self._device = device or found
        self._tokenizer = load_tokenizer(path)
        if not getattr(self._tokenizer, "chat_template", None):
            raise ModelError(f"{path}: its tokenizer has no chat template; take an instruction-tuned model")
        self._model = load(path, dtype if device is None else "float32")[0].to(self._device)
        self._name = f"{name or path.name}@{file_hash(_weights(path))[:12]}"
        self._deadline, self._lock = deadline, threading.Lock()
        self._encoder, self._table = self._tokenizer.backend_tokenizer, from_tokenizer(self._tokenizer)
        limit = getattr(self._model.config, "max_position_embeddings", None)
        self._context = int(limit) if limit else 1 << 20

    @property
    def model(self) -> str:
        return self._name

    def complete(self, request: Request[Any]) -> Reply:
        """One answer.

        Raises
        ------
        CallError
            `refused` for media and for a prompt longer than the context; `timeout` past the deadline.
        """
        tokens = self.prompt(request)
        room = self._context - len(tokens)
        if room < request.sampling.max_tokens:
            raise CallError(
                "refused",
                f"{len(tokens)} tokens and an answer of {request.sampling.max_tokens} exceed {self._context}",
            )
        with self._lock:
            tokens_out = self._generate(tokens, request)
        ends = bool(tokens_out) and tokens_out[-1] in self._stops()
        body = tokens_out[:-1] if ends else tokens_out
        if not ends and len(tokens_out) < request.sampling.max_tokens:
            raise CallError("timeout", f"no whole answer within {self._deadline:g} s")
        text = self._tokenizer.decode(body, skip_special_tokens=True)
        return Reply(text, Usage(len(tokens), len(tokens_out)), cut_off=not ends)

    def prompt(self, request: Request[Any]) -> list[int]:
        """Token ids of the rendered conversation, ready for the answer."""
        texts = [_text(message.parts) for message in request.messages]
        roles: list[str] = [message.role for message in request.messages]
        if roles[0] != "system":
            roles, texts = ["system", *roles], ["", *texts]
        texts[0] = "\n".join(part for part in (texts[0], schema_prompt(request)) if part)
        try:
            frame = self._frame(roles)
        except CallError:  # some models know no system role: their first user message says it
            roles, texts = roles[1:], ["\n".join(part for part in texts[:2] if part), *texts[2:]]
            frame = self._frame(roles)
        tokens: list[int] = []
        for place, text in enumerate(texts):
            before, mark, frame = frame.partition(_MARK.format(place))
            if not mark:
                raise CallError("refused", f"the chat template leaves out a {roles[place]} message")
            tokens += self._encode(before, special=True) + self._encode(text, special=False)
        return tokens + self._encode(frame, special=True)

    def _frame(self, roles: list[str]) -> str:
        marked = [{"role": role, "content": _MARK.format(place)} for place, role in enumerate(roles)]
        try:
            return str(
                self._tokenizer.apply_chat_template(marked, tokenize=False, add_generation_prompt=True)
            )
        except Exception as error:  # templates raise what they like
            raise CallError(
                "refused", f"the chat template refuses these messages: {str(error).splitlines()[0]}"
            ) from None

    def _encode(self, text: str, special: bool) -> list[int]:
        with self._lock:
            self._encoder.encode_special_tokens = not special
            try:
                return list(self._encoder.encode(text, add_special_tokens=False).ids)
            finally:
                self._encoder.encode_special_tokens = False

    def _generate(self, tokens: list[int], request: Request[Any]) -> list[int]:
        sampling = request.sampling
        seed = int(call_key(self.model, request)[:15], 16)
        drawn = {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}
        options = (
            drawn
            if sampling.temperature > 0
            else {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        )
        stops = sorted(self._stops())
        prompt = torch.tensor([tokens], device=self._device)
        shape = [] if request.schema is None else [Shape(self._table, request.schema, len(tokens))]
        devices = [self._device] if self._device.startswith("cuda") else []
        with torch.random.fork_rng(devices=devices), torch.inference_mode():
            torch.manual_seed(seed)
            out = self._model.generate(
                prompt,
                attention_mask=torch.ones_like(prompt),
                max_new_tokens=sampling.max_tokens,
                max_time=self._deadline,
                eos_token_id=stops,
                pad_token_id=stops[0],
                logits_processor=shape,
                **options,
            )
        return [int(token) for token in out[0, len(tokens) :].tolist()]

    def _stops(self) -> set[int]:
        """Tokens that end an answer: the tokenizer's, and those of the model's generation settings."""
        configured = self._model.generation_config.eos_token_id
        extra = configured if isinstance(configured, list) else [configured]
        return {int(token) for token in (self._tokenizer.eos_token_id, *extra) if token is not None}


def _text(parts: tuple[Any, ...]) -> str:
    if not all(isinstance(part, str) for part in parts):
        raise CallError(
            "refused",
            "this model reads text only; leave images and sounds out, or use an endpoint that takes them",
        )
    return "\n".join(parts)


def _weights(folder: Path) -> Path:
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ModelError(f"{folder}: holds no .safetensors weights")
    return files[0]


class Shape(LogitsProcessor):  # type: ignore[misc]
    """For one answer to a prompt of `start` tokens: logits of tokens that would leave the schema become -inf.

    tokens: what llguidance reads of the model's tokenizer. Raises ValueError for a schema that cannot be
    followed.
    """

    def __init__(self, tokens: Any, schema: Mapping[str, Any], start: int) -> None:
        from llguidance import LLMatcher
        from llguidance.numpy import allocate_token_bitmask

        grammar = LLMatcher.grammar_from_json_schema(_short(schema), overrides={"whitespace_flexible": False})
        self._matcher, self._start = LLMatcher(tokens, grammar), start
        if self._matcher.is_error():
            raise ValueError(self._matcher.get_error())
        self._bits = allocate_token_bitmask(1, tokens.vocab_size)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """scores (1, V) after the tokens (1, T) so far."""
        from llguidance.numpy import fill_next_token_bitmask

        if input_ids.shape[1] > self._start:
            self._matcher.consume_token(int(input_ids[0, -1]))
        fill_next_token_bitmask(self._matcher, self._bits, 0)
        allowed = np.unpackbits(self._bits.view(np.uint8)[0], bitorder="little")[: scores.shape[1]]
        rest = scores.shape[1] - len(allowed)
        bad = torch.from_numpy(np.pad(allowed, (0, rest)) == 0).to(scores.device)
        return scores.masked_fill(bad, -torch.inf)


def _short(schema: Any) -> Any:
    """The schema with every text at most LONGEST letters."""
    if isinstance(schema, list):
        return [_short(part) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    short = {name: _short(value) for name, value in schema.items()}
    if short.get("type") == "string" and not {"enum", "const", "pattern", "format"} & set(short):
        short["maxLength"] = min(LONGEST, short.get("maxLength", LONGEST))
    return short
