"""Tree beam search against transformers' `generate` with a prefix function: same model, same trie, same ids,
one run.

    python -m benchmarks.decode_speed [--threads 1] [--repeats 3] [--full]

Model: `small`, 6 layers x 256, float32, random weights (speed does not depend on them). Both sides search the
same 100,000 items normalised over the vocabulary, so that ids can be compared; the level softmax, which
serving uses, is timed too.
Seconds are CPU seconds of this process, best of the repeats, taken in turns: on a busy machine wall time
measures the neighbours. With more than one thread read the wall column instead.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from recipes.common import command, options
from recipes.small import Shape, build_small, small

from tastemaker.retrieve.allow import allow
from tastemaker.retrieve.beam import Beams, beam_search
from tastemaker.retrieve.retriever import Decoder
from tastemaker.retrieve.trie import Trie, build_trie

SIZES, ITEMS, LEVELS = (256,) * 4, 100_000, 4
GATES = ((1, 256, 20), (8, 128, 20))
TABLE = ((1, 64, 20), (1, 128, 20), (1, 256, 50), (8, 64, 20))


def prefix_function(trie: Trie, starts: list[int], length: int) -> Callable[[int, torch.Tensor], list[int]]:
    """What `generate` asks at every step of every beam: the tokens that may follow, from a dictionary of
    prefixes.
    """
    after: dict[tuple[int, ...], list[int]] = {}
    prefixes: list[tuple[int, ...]] = [()]
    for level in range(LEVELS):
        below = []
        tokens = (trie.tokens[level].astype(np.int64) + starts[level]).tolist()
        for node, prefix in enumerate(prefixes):
            edges = tokens[trie.starts[level][node] : trie.starts[level][node + 1]]
            after[prefix] = edges
            below += [(*prefix, edge) for edge in edges]
        prefixes = below
    return lambda row, tokens: after[tuple(tokens[length:].tolist())]


def by_generate(model: Any, prompts: torch.Tensor, allowed: Any, beam: int) -> Any:
    """(R, B, L) token ids and (R, B) scores of transformers' own beam search."""
    answer = model.generate(
        prompts,
        attention_mask=torch.ones_like(prompts),
        num_beams=beam,
        num_return_sequences=beam,
        max_new_tokens=LEVELS,
        min_new_tokens=LEVELS,
        do_sample=False,
        length_penalty=0.0,
        pad_token_id=0,
        eos_token_id=None,
        output_scores=True,
        return_dict_in_generate=True,
        prefix_allowed_tokens_fn=allowed,
    )
    rows, length = prompts.shape
    return answer.sequences[:, length:].view(rows, beam, LEVELS), answer.sequences_scores.view(rows, beam)


def by_tree(
    decoder: Decoder, trie: Trie, prompts: torch.Tensor, beam: int, vocabulary: torch.Tensor | None
) -> Beams:
    """One prefill and a tree search, no personal filter."""
    context = decoder.prefill(prompts, torch.full((len(prompts),), prompts.shape[1]))

    def advance(level: int, codes: torch.Tensor, parents: torch.Tensor) -> torch.Tensor:
        return decoder.advance(context, codes + decoder.token_starts[level], parents)

    over = "level" if vocabulary is None else vocabulary
    return beam_search(context.hidden, advance, decoder.heads, trie, [allow(trie)] * len(prompts), beam, over)


def timed(works: list[Callable[[], Any]], repeats: int) -> list[tuple[float, float]]:
    """Best (CPU, wall) seconds of each, taken in turns after one warm-up."""
    best = [(np.inf, np.inf)] * len(works)
    for turn in range(repeats + 1):
        for number, work in enumerate(works):
            cpu, wall = time.process_time(), time.perf_counter()
            work()
            took = time.process_time() - cpu, time.perf_counter() - wall
            if turn:
                best[number] = min(best[number][0], took[0]), min(best[number][1], took[1])
    return best


def compare(model: Any, decoder: Decoder, trie: Trie, setting: tuple[int, int, int], repeats: int) -> str:
    """One row of the table; raises SystemExit when the two searches disagree."""
    rows, length, beam = setting
    starts = list(decoder.token_starts)
    prompts = torch.from_numpy(
        np.random.default_rng(1).integers(starts[0], starts[0] + sum(SIZES), size=(rows, length))
    )
    weight, allowed = model.get_output_embeddings().weight.detach(), prefix_function(trie, starts, length)
    theirs, scores = by_generate(model, prompts, allowed, beam)
    ours = by_tree(decoder, trie, prompts, beam, weight)
    leaves = torch.from_numpy(trie.leaf_codes()[ours.leaf.numpy()]) + torch.tensor(starts)
    same = sum(
        len({tuple(sid) for sid in a.tolist()} & {tuple(sid) for sid in b.tolist()})
        for a, b in zip(leaves, theirs, strict=True)
    )
    apart = float((ours.score - scores).abs().max())
    (generate, generate_wall), (vocab, _), (level, level_wall) = timed(
        [
            lambda: by_generate(model, prompts, allowed, beam),
            lambda: by_tree(decoder, trie, prompts, beam, weight),
            lambda: by_tree(decoder, trie, prompts, beam, None),
        ],
        repeats,
    )
    bound = beam * (length + LEVELS - 1) / (length + beam * (LEVELS - 1))
    times = f"{generate / rows * 1e3:>9.0f} {vocab / rows * 1e3:>10.1f} {level / rows * 1e3:>10.1f}"
    ratios = (
        f"{generate / vocab:>7.1f} {generate / level:>11.1f} {generate_wall / level_wall:>5.1f} {bound:>5.1f}"
    )
    text = f"{rows} x {length:>3}, B {beam:<3} {times} {ratios}  {same}/{rows * beam}  {apart:.0e}"
    if same != rows * beam:
        raise SystemExit(f"{text}\nthe two searches disagree")
    return text


def main() -> None:
    """Print the table."""
    arguments = options("Tree beam search against generate + prefix function.")
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument("--repeats", type=int, default=3)
    arguments.add_argument("--full", action="store_true", help="more settings than the two with a gate")
    asked = arguments.parse_args()
    torch.set_num_threads(asked.threads)
    vocabulary = build_small(SIZES)
    model = small(vocabulary, Shape(layers=6, width=256, heads=8, context=512, init_std=0.1), seed=0).eval()
    trie = build_trie(np.random.default_rng(0).integers(256, size=(ITEMS, LEVELS)), SIZES)
    decoder, parameters = Decoder.of(model, vocabulary), sum(p.numel() for p in model.parameters()) / 1e6
    print(
        f"{parameters:.1f}M parameters, float32, {asked.threads} thread(s), {ITEMS:,} items, {LEVELS} levels"
    )
    print("CPU ms a request; 'rows' is the ratio of tokens computed, B(C+S)/(C+BS) with S = L-1")
    print(
        "setting           generate tree vocab tree level   ratio ratio level  wall  rows  same  scores apart"
    )
    for setting in GATES + (TABLE if asked.full else ()):
        print(compare(model, decoder, trie, setting, asked.repeats), flush=True)


if __name__ == "__main__":
    command(main)
