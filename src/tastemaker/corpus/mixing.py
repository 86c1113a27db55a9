"""Tables of examples: packed from flat arrays, and mixed from several sources by shares counted in tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tastemaker.corpus.events import Ints
from tastemaker.errors import InputError
from tastemaker.schema import EXAMPLES
from tastemaker.stats.random import generator


def pack(
    tokens: npt.NDArray[np.integer], loss_mask: npt.NDArray[np.integer | np.bool_], offsets: Ints, source: str
) -> pa.Table:
    """An EXAMPLES table of n examples: example e is `tokens[offsets[e]:offsets[e + 1]]`, weight 1.

    `tokens` and `loss_mask` (T,), `offsets` (n + 1,). Raises InputError beyond 2^31 - 1 tokens, Arrow's limit
    for a list column.
    """
    if int(offsets[-1]) > np.iinfo(np.int32).max:
        raise InputError(
            f"{source}: {int(offsets[-1]):,} tokens are more than one table holds (2^31 - 1); build the"
            " examples in parts"
        )
    bounds = pa.array(offsets.astype(np.int32))
    rows = len(offsets) - 1
    columns = [
        pa.ListArray.from_arrays(bounds, pa.array(tokens.astype(np.int32))),
        pa.ListArray.from_arrays(bounds, pa.array(loss_mask.astype(np.int8))),
        pa.array(np.ones(rows, dtype=np.float32)),
        pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, dtype=np.int32)), [source]).cast(pa.string()),
    ]
    return pa.Table.from_arrays(columns, schema=EXAMPLES)


def pack_rows(rows: Iterable[tuple[Sequence[int], Sequence[int]]], source: str) -> pa.Table:
    """`pack` of rows of tokens and what loss each of them has."""
    tokens, loss, ends = list[int](), list[int](), [0]
    for row_tokens, row_loss in rows:
        tokens += row_tokens
        loss += row_loss
        ends.append(len(tokens))
    return pack(np.array(tokens, np.int32), np.array(loss, np.int8), np.array(ends, np.int64), source)


def token_counts(examples: pa.Table) -> Ints:
    """(n,) tokens of each example."""
    return np.asarray(pc.list_value_length(examples.column("tokens")).to_numpy(), dtype=np.int64)


def mix(
    sources: Mapping[str, pa.Table], shares: Mapping[str, float], tokens: int, seed: int | str
) -> tuple[pa.Table, dict[str, int]]:
    """About `tokens` tokens of whole examples, each source with its share of them, evenly interleaved.

    A source smaller than its part is repeated, reshuffled each time, so that nothing comes a second time
    before all of it came once; a larger one is sampled without replacement. The achieved count differs from
    the part asked for by at most half an example's length.

    sources: name -> EXAMPLES table.
    shares: name -> share of the tokens, same names, >= 0, summing to 1.
    tokens: tokens in all.
    seed: key of the shuffles.

    Returns the mixture in training order, and the achieved number of tokens of each source.
    """
    rows, keys, achieved = [], [], {}
    start = 0
    for name in sorted(sources):
        lengths = token_counts(sources[name])
        rng = generator(seed, "mix", name)
        chosen = _draw(lengths, shares[name] * tokens, rng)
        achieved[name] = int(lengths[chosen].sum())
        rows.append(chosen + start)
        # Jittered even spacing: sources alternate throughout and repeats stay in order.
        keys.append((np.arange(len(chosen)) + rng.random(len(chosen))) / max(len(chosen), 1))
        start += len(lengths)
    everything = pa.concat_tables([sources[name] for name in sorted(sources)])
    order = np.concatenate(rows)[np.argsort(np.concatenate(keys), kind="stable")]
    return everything.take(pa.array(order)), achieved


def _draw(lengths: Ints, budget: float, rng: np.random.Generator) -> Ints:
    """Rows whose tokens come nearest to `budget`: whole permutations, then the start of another."""
    total = int(lengths.sum())
    if budget <= 0 or total == 0:
        return np.zeros(0, dtype=np.int64)
    passes = [rng.permutation(len(lengths)) for _ in range(int(budget // total) + 1)]
    last = np.concatenate([[0], np.cumsum(lengths[passes[-1]])])
    remainder = budget % total
    above = int(np.searchsorted(last, remainder))
    keep = above if above == 0 or last[above] - remainder <= remainder - last[above - 1] else above - 1
    return np.concatenate([*passes[:-1], passes[-1][:keep]]).astype(np.int64)
