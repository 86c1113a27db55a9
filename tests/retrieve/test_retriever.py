"""The retriever: only allowed items, best first, in time; its scores are the model's own."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from recipes.small import Shape, build_small, small

from tastemaker.errors import InputError
from tastemaker.retrieve.allow import allow, mask
from tastemaker.retrieve.beam import beam_search
from tastemaker.retrieve.retriever import Decoder, LanguageModelRetriever
from tastemaker.retrieve.trie import Trie, build_trie

SIZES = (6, 5, 4)
N = 80
CODES = np.random.default_rng(3).integers(SIZES, size=(N, 3))
TRIE = build_trie(CODES, SIZES)
VOCABULARY = build_small(SIZES)
MODEL = small(VOCABULARY, Shape(layers=2, width=16, heads=2, context=64), seed=1)


def language_model(trie: Trie = TRIE, **more: Any) -> LanguageModelRetriever:
    return LanguageModelRetriever(Decoder.of(MODEL, VOCABULARY), trie, **more)


def request(seed: int) -> np.ndarray:
    history = np.random.default_rng(seed).integers(N, size=1 + seed % 7)
    return VOCABULARY.sid_tokens(CODES[history]).ravel()


class TestAnswers:
    """Only allowed items, distinct, best first, a reason where there are fewer, the deadline kept."""

    def test_random_requests_and_filters(self) -> None:
        retriever = language_model()

        @given(
            st.lists(st.tuples(st.integers(0, 99), st.integers(0, 10**6)), min_size=1, max_size=5),
            st.integers(1, 12),
        )
        @settings(max_examples=12, deadline=None)
        def holds(rows: list[tuple[int, int]], k: int) -> None:
            filters, truth = [], []
            for _, seed in rows:
                rng = np.random.default_rng(seed)
                shown = rng.random(N) < rng.choice([0.02, 0.3, 1.0])
                seen = rng.integers(N, size=rng.integers(30))
                filters.append(allow(TRIE, mask(TRIE, shown), seen))
                truth.append({int(i) for i in np.flatnonzero(shown)} - {int(i) for i in seen})
            answers = retriever.generate([request(number) for number, _ in rows], 12, k, filters)
            for answer, items in zip(answers, truth, strict=True):
                assert {int(i) for i in answer.items} <= items
                assert len(set(answer.items.tolist())) == len(answer) == min(k, len(items))
                assert (np.diff(answer.scores) <= 1e-12).all() and len(answer.source) == len(answer)
                assert (answer.reason is None) == (len(answer) == k)

        holds()

    @pytest.mark.parametrize("share", [0.5, 1.0])
    def test_the_best_of_the_dense_read_out_are_proposed_and_both_are_exact(self, share: float) -> None:
        whole = language_model(normalise="siblings").generate([request(4)], N, N, [allow(TRIE)])[0]
        by_codes = np.empty(N)
        by_codes[whole.items] = whole.scores
        with torch.no_grad():
            tokens = torch.from_numpy(request(4))[None]
            state = MODEL.base_model(input_ids=tokens).last_hidden_state[0, -1]
            heads = [MODEL.get_output_embeddings().weight[VOCABULARY.sid_slice(level)] for level in range(3)]
            logits = sum(state @ head[CODES[:, level]].T for level, head in enumerate(heads)).numpy()
        distinct, leaf, size = np.unique(CODES, axis=0, return_inverse=True, return_counts=True)
        first = np.array([np.flatnonzero(leaf == place)[0] for place in range(len(distinct))])
        dense = logits - np.log(np.exp(logits[first]).sum()) - np.log(size[leaf])
        retriever = language_model(normalise="siblings")
        retriever = replace(retriever, decoder=replace(retriever.decoder, share=share))
        hidden = {int(item) for item in np.argsort(-dense)[:2]}
        shown = allow(TRIE, None, hidden)
        for beam in (3, N):
            (answer,) = retriever.generate([request(4)], beam, 3, [shown])
            expected = (1 - share) * by_codes + share * dense
            np.testing.assert_allclose(answer.scores, expected[answer.items], atol=1e-4)
            assert not hidden & set(answer.items.tolist()) and len(answer) == 3 and answer.reason is None
            if share == 1 or beam == N:  # what is proposed holds the best
                left = np.setdiff1d(np.arange(N), list(hidden))
                np.testing.assert_allclose(answer.scores, np.sort(expected[left])[::-1][:3], atol=1e-4)

    def test_a_late_request_is_empty_and_says_so(self) -> None:
        ticks = count()
        # Reading the clock moves it, and a request reads it at every step.
        retriever = language_model(rows_at_once=1, clock=lambda: float(next(ticks)))
        answers = retriever.generate([request(1)] * 5, 5, 5, [allow(TRIE)] * 5, deadline=3.5)
        assert len(answers[-1]) == 0 and "deadline" in str(answers[-1].reason)
        assert len(answers[0]) == 5 and answers[0].reason is None

    def test_nobody_asks(self) -> None:
        assert language_model().generate([], 5, 5, []) == []


def test_the_deadline_holds_inside_a_search() -> None:
    ticks = count()
    answer = language_model(clock=lambda: float(next(ticks))).generate(
        [request(1)], 5, 5, [allow(TRIE)], deadline=1.5
    )[0]
    assert len(answer) == 0 and "deadline" in str(answer.reason)


def test_order_and_grouping_of_requests_change_nothing() -> None:
    requests, filters = (
        [request(seed) for seed in range(9)],
        [allow(TRIE, exclude=[seed]) for seed in range(9)],
    )
    together = language_model().generate(requests, 6, 6, filters)
    pairs = language_model(rows_at_once=2).generate(requests, 6, 6, filters)
    alone = [
        language_model().generate([prompt], 6, 6, [its])[0]
        for prompt, its in zip(requests, filters, strict=True)
    ]
    for a, b, c in zip(together, pairs, alone, strict=True):
        assert a.items.tolist() == b.items.tolist() == c.items.tolist()
        np.testing.assert_allclose(a.scores, c.scores, atol=1e-4)


def test_scores_are_the_models_own_log_probabilities() -> None:
    """Against a plain forward pass over context + Semantic ID, with a softmax over each level's rows."""
    prompt = request(4)
    answer = language_model().generate([prompt], TRIE.leaves, N, [allow(TRIE)])[0]
    group = {tuple(code): int((code == CODES).all(axis=1).sum()) for code in CODES}
    for item, score in zip(answer.items, answer.scores, strict=True):
        tokens = np.concatenate([prompt, VOCABULARY.sid_tokens(CODES[item])])
        with torch.inference_mode():
            logits = MODEL(torch.from_numpy(tokens)[None]).logits[0]
        total = -np.log(group[tuple(CODES[item])])
        for level in range(3):
            rows = VOCABULARY.sid_slice(level)
            at = logits[len(prompt) - 1 + level, rows]
            total += float(at.log_softmax(-1)[CODES[item, level]])
        assert score == pytest.approx(total, abs=1e-4)
    assert len(answer) == N


def test_a_filter_changed_mid_request_does_not_reach_it() -> None:
    stock = np.ones(N, bool)
    subset = allow(TRIE, mask(TRIE, stock))
    before = language_model().generate([request(1)], 5, 5, [subset])[0]
    decoder = Decoder.of(MODEL, VOCABULARY)

    def advance(context: Any, tokens: torch.Tensor, parents: torch.Tensor) -> torch.Tensor:
        stock[:] = False
        return decoder.advance(context, tokens, parents)

    changing = LanguageModelRetriever(
        Decoder(decoder.prefill, advance, decoder.heads, decoder.token_starts), TRIE
    )
    assert changing.generate([request(1)], 5, 5, [subset])[0].items.tolist() == before.items.tolist()
    assert allow(TRIE, mask(TRIE, stock)).items == 0


def test_the_wrong_codebook_is_refused() -> None:
    other = build_trie(CODES[:, :2], SIZES[:2])
    with pytest.raises(InputError, match="other codebooks"):
        language_model(other).generate([request(1)], 5, 5, [allow(other)])


def test_beams_equal_generate_with_a_prefix_function() -> None:
    """The oracle of every beam search: transformers' own, told which tokens may follow."""
    history, beam = request(5), 10
    starts = [VOCABULARY.sid_slice(level).start for level in range(3)]
    after: dict[tuple[int, ...], set[int]] = {}
    for sid in CODES + np.array(starts):
        for level in range(3):
            after.setdefault(tuple(map(int, sid[:level])), set()).add(int(sid[level]))
    length = len(history)
    prompt = torch.from_numpy(np.asarray(history, np.int64))[None]
    theirs = MODEL.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        num_beams=beam,
        num_return_sequences=beam,
        max_new_tokens=3,
        min_new_tokens=3,
        do_sample=False,
        length_penalty=0.0,
        pad_token_id=0,
        eos_token_id=None,
        output_scores=True,
        return_dict_in_generate=True,
        prefix_allowed_tokens_fn=lambda row, tokens: sorted(after[tuple(tokens[length:].tolist())]),
        renormalize_logits=False,
    )
    decoder = Decoder.of(MODEL, VOCABULARY)
    context = decoder.prefill(prompt, torch.tensor([length]))
    ours = beam_search(
        context.hidden,
        lambda level, codes, parents: decoder.advance(context, codes + starts[level], parents),
        decoder.heads,
        TRIE,
        [allow(TRIE)],
        beam,
        MODEL.get_output_embeddings().weight.detach(),
    )
    leaves = TRIE.leaf_codes()[ours.leaf[0].numpy()] + np.array(starts)
    assert leaves.tolist() == theirs.sequences[:, length:].tolist()
    np.testing.assert_allclose(ours.score[0].numpy(), theirs.sequences_scores.numpy(), atol=1e-4)
