"""The small model: one position an item, and two read-outs of one hidden state.

An item in a history is the sum of its code rows and a learnt residual, which is zero for items that training
saw no event of. What comes next is read from the state after the last event twice: code by code down the tree
of Semantic IDs that exist (a gated product a level: the depth decoder), and by a product with the item
vectors themselves (the dense read-out). Both are trained together; `share` says how they are mixed.

Source: generative retrieval over Semantic IDs as in PLUM, arXiv 2510.07784; the dense read-out beside it as
in LIGER, arXiv 2411.18814; one position an item and the gated depth decoder are ours.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tastemaker.errors import ModelError
from tastemaker.lm.base import published
from tastemaker.lm.training.siblings import Siblings
from tastemaker.lm.tree import rotate

FILE, WEIGHTS = "item_model.json", "model.safetensors"
ROWS = 1 << 18  # vectors of a large catalogue that are computed at once
ROW, NOISE = 0.06, 0.002  # spread of the first level's rows at the start, and of the noise on all
TINY = 1e-300  # of a probability whose logarithm is taken
LOUD = 16.0  # brings the sum of a prefix's rows to the order of 1, where the gates read it


@dataclass(frozen=True)
class ItemShape:
    """Size of the model: `sizes` codes a level, `known` items with residuals, `marks`, the trunk."""

    sizes: tuple[int, ...]
    known: int
    layers: int = 2
    width: int = 128
    heads: int = 4
    mlp: float = 2.0
    max_items: int = 50
    marks: int = 0

    def __post_init__(self) -> None:
        if min(self.layers, self.width, self.heads, self.max_items) < 1 or self.width % (2 * self.heads):
            raise ModelError(
                f"width {self.width} must be an even multiple of heads {self.heads}, and every size positive"
            )


class Attention(nn.Module):
    """Causal attention with rotary positions."""

    def __init__(self, width: int, heads: int, std: float) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = _linear(width, 3 * width, std)
        self.out = _linear(width, width, std / 2)

    def forward(self, x: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
        """(R, C, d) -> (R, C, d); `turns`: cosines and sines (C, 1, 1, d / heads) of the places."""
        rows, length, width = x.shape
        qkv = self.qkv(x).view(rows, length, 3, self.heads, width // self.heads)
        q, k = rotate(qkv[:, :, :2], *turns).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, qkv[:, :, 2].transpose(1, 2), is_causal=True)
        result: Tensor = self.out(seen.transpose(1, 2).reshape(rows, length, width))
        return result


class Gated(nn.Module):
    """The gated layer between attentions."""

    def __init__(self, width: int, inner: int, std: float) -> None:
        super().__init__()
        self.gate, self.up = _linear(width, inner, std), _linear(width, inner, std)
        self.down = _linear(inner, width, std / 2)

    def forward(self, x: Tensor) -> Tensor:
        """(R, C, d) -> (R, C, d)."""
        result: Tensor = self.down(F.silu(self.gate(x)) * self.up(x))
        return result


class Block(nn.Module):
    """One layer of the trunk; norms before both parts."""

    def __init__(self, shape: ItemShape) -> None:
        super().__init__()
        std = 0.04 * (128 / shape.width) ** 0.5
        self.norm1, self.norm2 = nn.RMSNorm(shape.width), nn.RMSNorm(shape.width)
        self.attention = Attention(shape.width, shape.heads, std)
        self.mlp = Gated(shape.width, max(8, round(shape.mlp * shape.width)), std)

    def forward(self, x: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
        """(R, C, d) -> (R, C, d); `turns` as of `Attention`."""
        x = x + self.attention(self.norm1(x), turns)
        result: Tensor = x + self.mlp(self.norm2(x))
        return result


class Catalogue:
    """What the model knows of N items: codes (N, L), their row of residuals (N,) or -1, and the tree of
    Semantic IDs, on one device.

    nodes: per level (E_l, 2), the parent node and the code of each node, sorted. leaf (N,), alone (N,): the
    leaf of each item, and the logarithm of how many items it shares that leaf with; order (N,): the items by
    leaf. above: per level, what stands before each node (E_l,), and before each item (N,) at the last.
    known: whether every item has a residual.
    """

    def __init__(
        self, codes: npt.NDArray[Any], sizes: Sequence[int], rows: npt.NDArray[Any], device: torch.device
    ) -> None:
        tree = Siblings.of(codes, tuple(sizes))
        self.known = bool((np.asarray(rows) >= 0).all())
        self.tree = tree
        self.codes = torch.from_numpy(np.asarray(codes, np.int64)).to(device)
        self.rows = torch.from_numpy(np.asarray(rows, np.int64)).to(device)
        nodes = tree.nodes(codes)
        self.path = torch.from_numpy(nodes).to(device)
        self.nodes = [
            torch.from_numpy(np.stack(np.divmod(keys, size), 1)).to(device)
            for keys, size in zip(tree.keys, tree.sizes, strict=True)
        ]
        self.leaf = self.path[:, -1]
        self.alone = torch.from_numpy(np.log(np.bincount(nodes[:, -1])).astype(np.float32)).to(device)[
            self.leaf
        ]
        self.order = self.leaf.argsort()
        self.above = [level[:, 0].contiguous() for level in self.nodes[:-1]]
        self.above.append(self.nodes[-1][self.leaf, 0])

    def __len__(self) -> int:
        """How many items there are."""
        return len(self.rows)


class ItemModel(nn.Module):
    """The trunk, the rows of the codes, the residuals, and both read-outs. `share`: weight of the dense one
    in a score, from 0 to 1; `items`: ids of the items with a residual, in the order of their rows.
    """

    def __init__(self, shape: ItemShape, items: Sequence[str] = (), share: float = 0.5) -> None:
        super().__init__()
        self.shape, self.items, self.share = shape, list(items), share
        width = shape.width
        self.rows = nn.ParameterList(nn.Parameter(torch.randn(size, width) * ROW) for size in shape.sizes)
        self.residual = nn.Parameter(torch.zeros(max(1, shape.known), width))
        self.start = nn.Parameter(0.02 * torch.randn(width))
        if shape.marks:
            self.marks = nn.Parameter(torch.zeros(shape.marks, width))
        self.embed = nn.Identity()  # a place for dropout
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        part = width // shape.heads
        angle = 10000.0 ** -(torch.arange(0, part, 2).float() / part)
        self.register_buffer("angle", torch.cat([angle, angle]), persistent=False)
        self.norm = nn.RMSNorm(width)
        deeper = len(shape.sizes) - 1
        self.queries = nn.ModuleList(_linear(width, width, None) for _ in range(deeper))
        self.gates = nn.ModuleList(_linear(width, width, 0.1 * (3 * width) ** -0.5) for _ in range(deeper))
        self.dense = _linear(width, width, None)

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.start.device

    def dropout_places(self) -> list[nn.Module]:
        """Modules whose output training drops from."""
        blocks = [cast(Block, block) for block in self.blocks]
        return [self.embed, *(part for block in blocks for part in (block.attention, block.mlp))]

    def vectors(self, catalogue: Catalogue, items: Tensor) -> Tensor:
        """(..., d) what items (...) are, in a history and in the dense read-out."""
        codes = catalogue.codes[items]
        total = F.embedding(codes[..., 0], self.rows[0])
        for level in range(1, len(self.shape.sizes)):
            total = total + F.embedding(codes[..., level], self.rows[level])
        row = catalogue.rows[items]
        if catalogue.known:
            return total + F.embedding(row, self.residual)
        return total + F.embedding(row.clamp(min=0), self.residual) * (row >= 0)[..., None]

    def states(self, vectors: Tensor, marks: Tensor | None = None) -> Tensor:
        """(R, C + 1, d) the state before the first of C events and after each, of item vectors (R, C, d)
        padded at the right, and of the events' marks (R, C) if the model knows any (None: all 0).
        """
        if self.shape.marks:
            vectors = vectors + (self.marks[0] if marks is None else F.embedding(marks, self.marks))
        x = self.embed(torch.cat([self.start.expand(len(vectors), 1, -1), vectors], 1))
        turned = torch.arange(x.shape[1], device=x.device)[:, None, None, None] * cast(Tensor, self.angle)
        turns = turned.cos(), turned.sin()
        for block in self.blocks:
            x = block(x, turns)
        result: Tensor = self.norm(x)
        return result

    def query(self, state: Tensor, level: int) -> Tensor:
        """(n, d) what a state asks of the codes of `level`."""
        return state if level == 0 else self.queries[level - 1](state)

    def gate(self, prefix: Tensor, level: int) -> Tensor:
        """(n, d) how codes of `level` (from 1) weigh after a prefix whose rows sum to `prefix`."""
        result: Tensor = 1 + self.gates[level - 1](prefix * LOUD)
        return result

    def node_vectors(self, catalogue: Catalogue) -> list[Tensor]:
        """Per level (d, E_l), and (d, N) by item at the last: the product of a query with a node's vector is
        its logit among its siblings. Columns, for so a product of few queries takes the least time.
        """
        levels, sums = [], torch.zeros((1, self.shape.width), device=self.device)
        for level, nodes in enumerate(catalogue.nodes):
            last = level + 1 == len(catalogue.nodes)
            count = len(catalogue) if last else len(nodes)
            vectors = torch.empty((self.shape.width, count), device=self.device)
            below = None if last else torch.empty_like(vectors.T)
            for start in range(0, count, ROWS):  # sorted by parent: a block's parents are a block too
                place: slice | Tensor = slice(start, start + ROWS)
                place = catalogue.order[place] if last else place
                parent, code = nodes[catalogue.leaf[place] if last else place].unbind(1)
                rows, above = F.embedding(code, self.rows[level]), sums[parent[0] : parent[-1] + 1]
                parent = parent - parent[0]
                vectors[:, place] = (rows if level == 0 else rows * self.gate(above, level)[parent]).T
                if below is not None:
                    below[place] = above[parent] + rows
            levels.append(vectors)
            sums = sums if below is None else below
        return levels

    def item_vectors(self, catalogue: Catalogue) -> Tensor:
        """(d, N) `vectors` of every item."""
        columns = torch.empty((self.shape.width, len(catalogue)), device=self.device)
        for start in range(0, len(catalogue), ROWS):
            items = torch.arange(start, min(start + ROWS, len(catalogue)), device=self.device)
            columns[:, start : start + ROWS] = self.vectors(catalogue, items).T
        return columns

    def log_codes(self, state: Tensor, catalogue: Catalogue, vectors: Sequence[Tensor]) -> Tensor:
        """(n, N) log-probability of every item by its Semantic ID: exact, nothing is searched.

        vectors: `node_vectors`. The items of one ID share its probability equally.
        """
        total = torch.zeros((len(state), 1), device=state.device)
        for level, (above, columns) in enumerate(zip(catalogue.above, vectors, strict=True)):
            logits = (self.query(state, level) @ columns).float()
            if level + 1 == len(vectors):
                logits = logits - catalogue.alone
            if level == 0:
                total = logits.log_softmax(1)
                continue
            # In float64 no group of siblings vanishes beside the best of all.
            logits = logits - logits.amax(1, keepdim=True)
            mass = torch.zeros(total.shape, dtype=torch.float64, device=state.device)
            mass = mass.index_add(1, above, logits.double().exp()).clamp_min(TINY)
            total = logits + (total - mass.log().float()).index_select(1, above)
        return total

    def log_dense(self, state: Tensor, vectors: Tensor) -> Tensor:
        """(n, N) log-probability of every item by the dense read-out; `vectors`: `item_vectors`."""
        logits: Tensor = self.dense(state) @ vectors
        return logits.float().log_softmax(1)


class Layout:
    """Where the places of R histories lie that stand one after another, a start before the events of each:
    `position` (T,) in its own; `event`, the places (E,) of events, and `last` (R,); `grid` (T,) in R rows of
    the `longest`, None where all are as long, and `seen` (R, 1, 1, longest) what a row has.
    """

    def __init__(self, lengths: npt.NDArray[np.int64], device: torch.device) -> None:
        self.rows, self.longest = len(lengths), int(lengths.max()) + 1
        inside = np.arange(self.longest) <= lengths[:, None]
        place = np.flatnonzero(inside)
        position = place % self.longest
        event, last = np.flatnonzero(position), np.cumsum(lengths + 1) - 1
        self.position, self.event, self.last = (
            torch.from_numpy(array).to(device) for array in (position, event, last)
        )
        self.grid = self.seen = None
        if len(place) < inside.size:
            self.grid = torch.from_numpy(place).to(device)
            self.seen = torch.from_numpy(inside[:, None, None]).to(device)


class Reader:
    """The state after a history's last event alone, by a model that learns no more: half of the time that
    `ItemModel.states` takes. Nothing is padded but for attention, and the last layer knows one event a row.
    """

    @torch.no_grad()
    def __init__(self, model: ItemModel) -> None:
        self.model, half = model, model.shape.width // model.shape.heads // 2
        self.layers = [
            (
                (block.norm1.weight, block.attention.qkv.weight, block.attention.out.weight),
                (block.norm2.weight, torch.cat([block.mlp.gate.weight, block.mlp.up.weight])),
                block.mlp.down.weight,
            )
            for block in map(partial(cast, Block), model.blocks)
        ]
        places = torch.arange(model.shape.max_items + 1, device=model.device)
        turned = places[:, None, None] * cast(Tensor, model.angle)
        self.cos, self.sin = turned.cos(), turned.sin()
        self.sin[..., :half].neg_()

    def __call__(self, vectors: Tensor, marks: Tensor, layout: Layout) -> Tensor:
        """(R, d) the state after each of R histories, of vectors (E, d) and marks (E,) of their events."""
        model, grid = self.model, layout.grid
        if model.shape.marks:
            vectors = vectors + F.embedding(marks, model.marks)
        x = model.start.repeat(len(layout.position), 1).index_copy_(0, layout.event, vectors)
        cos, sin = self.cos[layout.position], self.sin[layout.position]
        heads, places = model.shape.heads, layout.rows * layout.longest
        shape = layout.rows, layout.longest, 3, heads, cos.shape[-1]
        for number, ((norm, into, out), (then, inner), down) in enumerate(self.layers, 1):
            qkv = F.linear(_normed(x, norm), into).view(len(x), 3 * heads, -1)
            qk = qkv[:, : 2 * heads]
            other = qk.roll(cos.shape[-1] // 2, -1)
            qk.mul_(cos).addcmul_(other, sin)
            if grid is not None:
                qkv = qkv.new_zeros((places, *qkv.shape[1:])).index_copy_(0, grid, qkv)
            q, k, v = qkv.view(shape).permute(2, 0, 3, 1, 4)
            if number < len(self.layers):
                mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
                mixed = mixed.transpose(1, 2).reshape(places, -1)
                mixed = mixed if grid is None else mixed.index_select(0, grid)
            else:
                x, ends = x.index_select(0, layout.last), layout.last if grid is None else grid[layout.last]
                q = q.transpose(1, 2).flatten(0, 1).index_select(0, ends)[:, :, None]
                mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=layout.seen).flatten(1)
            x = x + F.linear(mixed, out)
            gate, up = F.linear(_normed(x, then), inner).chunk(2, -1)
            x = x + F.linear(F.silu(gate) * up, down)
        return _normed(x, model.norm.weight)


def _normed(x: Tensor, weight: Tensor) -> Tensor:
    return F.rms_norm(x, weight.shape, weight)


def mixed(codes: Tensor, dense: Tensor, share: float) -> Tensor:
    """Log-probabilities (n, N) of the geometric mixture of both read-outs; all items sum to 1."""
    if share in (0.0, 1.0):
        return dense if share else codes
    return torch.lerp(codes, dense, share).log_softmax(1)


def start_model(
    shape: ItemShape, items: Sequence[str], codewords: Sequence[npt.NDArray[Any]], seed: int
) -> ItemModel:
    """An untrained model whose code rows start at `codewords` (per level (K_l, width), level 1 of spread 1;
    levels beyond them start at random), drawn from `seed` without touching torch's own generator.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = ItemModel(shape, items)
        with torch.no_grad():
            for rows, words in zip(model.rows, codewords, strict=False):
                noise = NOISE * torch.randn(rows.shape)
                rows.copy_(ROW * torch.from_numpy(np.asarray(words, np.float32)) + noise)
    return model.eval()


def residual_rows(model: ItemModel, item_ids: Sequence[str]) -> npt.NDArray[np.int64]:
    """(N,) row of the residual of each item, -1 for items that training saw no event of."""
    rows = pc.index_in(pa.array(item_ids, pa.large_string()), pa.array(model.items, pa.large_string()))
    return np.asarray(rows.fill_null(-1), np.int64)


def save_items(model: ItemModel, folder: Path) -> None:
    """Write weights and description to `folder`, whole or not at all."""
    with published(folder) as partial:
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
        save_file(weights, partial / WEIGHTS)
        about = {"shape": asdict(model.shape), "share": model.share, "items": model.items}
        (partial / FILE).write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")


def load_items(folder: Path, device: torch.device | str = "cpu") -> ItemModel:
    """What `save_items` wrote. Raises ModelError naming the file when it is damaged or does not fit."""
    try:
        about: Mapping[str, Any] = json.loads((folder / FILE).read_text(encoding="utf-8"))
        shape = ItemShape(**about["shape"] | {"sizes": tuple(about["shape"]["sizes"])})
        model = ItemModel(shape, about["items"], about["share"])
        model.load_state_dict(load_file(folder / WEIGHTS), assign=True)  # the pages of the file, shared
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"{folder / FILE}: cannot be loaded ({reason}); train again") from None
    return model.to(device).eval()


def _linear(inner: int, outer: int, std: float | None) -> nn.Linear:
    """Without a bias; random of spread `std`, or the identity where that is None."""
    layer = nn.Linear(inner, outer, bias=False)
    with torch.no_grad():
        if std is None:
            nn.init.eye_(layer.weight)
        else:
            nn.init.normal_(layer.weight, std=std)
    return layer
