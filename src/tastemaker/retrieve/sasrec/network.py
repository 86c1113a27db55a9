"""SASRec, the baseline that counts: a two-block self-attentive recommender with the softmax over every item.

Source: Kang & McAuley 2018 (arXiv 1808.09781) for the network; Klenitskiy & Vasilev 2023 (arXiv 2309.07602)
for the full cross-entropy, without which it loses to generative retrieval and with which it wins.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from tastemaker.errors import ArtifactError
from tastemaker.lm.training.batches import pieces
from tastemaker.retrieve.evaluation import (
    Floats,
    Ints,
    Lists,
    Sequences,
    batches,
    last_events,
    row_of_event,
    take,
)
from tastemaker.stats.random import generator


@dataclass(frozen=True)
class SASRecSettings:
    """Shape and training of the network; the defaults are the baseline every table quotes."""

    blocks: int = 2
    width: int = 64
    heads: int = 1
    dropout: float = 0.2
    length: int = 50
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.98)
    batch: int = 256
    patience: int = 10
    epochs: int = 200
    seed: int = 0


@dataclass(frozen=True)
class _Piece:
    """Rows of like length: their events in the pack, and the place of each among (rows, widest)."""

    events: slice
    slots: Tensor
    rows: int
    widest: int


class _Block(nn.Module):
    """Attention then a point-wise network, each reading normalised input, as the reference code has them."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.attention_norm, self.forward_norm = nn.LayerNorm(width, eps=1e-8), nn.LayerNorm(width, eps=1e-8)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.inner, self.outer = nn.Linear(width, width), nn.Linear(width, width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, places: list[_Piece]) -> Tensor:
        """Packed events (T, d) in and out; only attention sees padded rows, a piece of like length each."""
        normal = self.attention_norm(x)
        parts = [self.query(normal), self.key(x), self.value(x)]
        mixed = torch.cat([x[:0], *(self._attention([part[p.events] for part in parts], p) for p in places)])
        x = normal + self.out(mixed)
        x = self.forward_norm(x)
        added: Tensor = self.drop(self.outer(torch.relu(self.drop(self.inner(x)))))
        return x + added

    def _attention(self, parts: list[Tensor], piece: _Piece) -> Tensor:
        """Queries, keys and values of a piece's events (E, d) to what each event takes from those before."""
        count = piece.rows * piece.widest

        def padded(part: Tensor) -> Tensor:
            flat = part.new_zeros(count, part.shape[1]).index_copy(0, piece.slots, part)
            return flat.view(piece.rows, piece.widest, self.heads, -1).transpose(1, 2)

        query, key, value = map(padded, parts)
        mixed = functional.scaled_dot_product_attention(
            query, key, value, is_causal=True, dropout_p=self.dropout if self.training else 0.0
        )
        return mixed.transpose(1, 2).reshape(count, -1)[piece.slots]


class SASRec(nn.Module):
    """The network. Items are indices 0 .. n_items - 1; the output matrix is the input embedding."""

    def __init__(self, n_items: int, settings: SASRecSettings) -> None:
        super().__init__()
        self.settings, self.n_items = settings, n_items
        # Constructors draw from torch's global generator; the fork gives it back as it was.
        with torch.random.fork_rng(devices=[]):
            self.item = nn.Embedding(n_items, settings.width)
            self.position = nn.Embedding(settings.length, settings.width)
            self.blocks = nn.ModuleList(
                _Block(settings.width, settings.heads, settings.dropout) for _ in range(settings.blocks)
            )
            torch.manual_seed(torch_seed(settings.seed, "weights"))
            for parameter in self.parameters():
                if parameter.dim() > 1:
                    nn.init.xavier_normal_(parameter)
        self.norm = nn.LayerNorm(settings.width, eps=1e-8)
        self.drop = nn.Dropout(settings.dropout)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    def hidden(self, sequences: Sequences) -> Tensor:
        """(E, d) one vector an event, of it and the events before it in its row (rows at most `length` long).

        Rows are packed, not padded; a position is counted from the right end of its row, as left padding
        would have it.
        """
        order = np.argsort(np.diff(sequences.offsets), kind="stable")
        packed = take(sequences, order)
        lengths, device = np.diff(packed.offsets), self.item.weight.device
        columns = np.arange(len(packed.items)) - np.repeat(packed.offsets[:-1], lengths)
        from_right = torch.from_numpy(np.repeat(lengths, lengths) - 1 - columns).to(device)
        x = self.item(torch.from_numpy(packed.items).to(device)) * self.settings.width**0.5
        x = self.drop(x + self.position(from_right))
        places = self._places(packed, lengths, columns)
        for block in self.blocks:
            x = block(x, places)
        begins = np.empty_like(order)
        begins[order] = packed.offsets[:-1]
        back = np.arange(len(packed.items)) + np.repeat(
            begins - sequences.offsets[:-1], np.diff(sequences.offsets)
        )
        normed: Tensor = self.norm(x.index_select(0, torch.from_numpy(back).to(device)))
        return normed

    def _places(self, packed: Lists, lengths: Ints, columns: Ints) -> list[_Piece]:
        """Rows sorted by length, in the pieces that cost least."""
        rows, places, device = row_of_event(packed), [], self.item.weight.device
        for first, last in pairwise([0, *pieces(np.asarray(lengths, np.int64)).tolist(), len(lengths)]):
            events = slice(int(packed.offsets[first]), int(packed.offsets[last]))
            widest = int(lengths[last - 1])
            if widest:  # there are events at all
                slots = torch.from_numpy((rows[events] - first) * widest + columns[events]).to(device)
                places.append(_Piece(events, slots, last - first, widest))
        return places

    @torch.inference_mode()
    def score(self, contexts: Sequences) -> Floats:
        """(U, N) float32 score of every item after each context; an empty context scores every item 0."""
        self.eval()
        parts = [np.empty((0, self.n_items), np.float32)]
        for rows in batches(len(contexts.offsets) - 1, 1024):
            recent = last_events(take(contexts, rows), self.settings.length)
            known = np.flatnonzero(np.diff(recent.offsets))
            scores = np.zeros((len(rows), self.n_items), np.float32)
            if len(known):
                hidden = self.hidden(recent)
                last = hidden[torch.from_numpy(recent.offsets[1:][known] - 1).to(hidden.device)]
                scores[known] = (last @ self.item.weight.T).cpu().numpy()
            parts.append(scores)
        return np.concatenate(parts) if len(parts) > 2 else parts[-1]

    def arrays(self) -> dict[str, npt.NDArray[np.float32]]:
        """The weights by name, to be stored; `SASRec(n_items, settings).load(arrays)` brings them back."""
        return {name: tensor.detach().cpu().numpy().copy() for name, tensor in self.state_dict().items()}

    def load(self, arrays: dict[str, npt.NDArray[np.float32]]) -> SASRec:
        """Take over stored weights; raises ArtifactError when they belong to another shape."""
        shapes = {name: tuple(tensor.shape) for name, tensor in self.state_dict().items()}
        if shapes != {name: array.shape for name, array in arrays.items()}:
            raise ArtifactError("SASRec weights do not fit these settings and this catalogue; train again")
        self.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in arrays.items()})
        return self


def torch_seed(*key: str | int) -> int:
    """A seed for torch's own generator, keyed as `stats.random.generator` is."""
    return int(generator(*key).integers(2**62))
