from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recipes.small import build_small, decode_bytes, encode_bytes

from tastemaker.errors import InputError, ModelError
from tastemaker.lm.vocabulary import SPECIALS, Vocabulary

SIZES = st.lists(st.integers(1, 20), min_size=1, max_size=4)


def pretrained(base_size: int, sizes: tuple[int, ...], **aliases: int) -> Vocabulary:
    return Vocabulary(base_size, sizes, SPECIALS, "tokenizer", tuple(aliases.items()))


@settings(max_examples=40)
@given(SIZES, st.integers(0, 2**31))
def test_every_token_has_one_place(sizes, seed):
    vocabulary = build_small(sizes)
    codes = np.stack([np.random.default_rng(seed).integers(0, size, 7) for size in sizes], axis=1)
    tokens = vocabulary.sid_tokens(codes)
    assert (tokens == codes + np.array([vocabulary.sid_slice(k).start for k in range(len(sizes))])).all()
    assert (vocabulary.level_of(tokens) == np.arange(len(sizes))).all()
    names = vocabulary.added()
    assert vocabulary.size == 256 + len(names) and len(set(names)) == len(names)
    for level, size in enumerate(sizes):
        rows = vocabulary.sid_slice(level)
        assert rows.stop - rows.start == size
        assert names[rows.start - 256] == f"<sid_{level}_0>"
    rest = [vocabulary.special(name) for name in SPECIALS]
    assert rest == list(range(vocabulary.sid_starts[-1], vocabulary.size))
    assert (vocabulary.level_of(rest) == -1).all() and (vocabulary.level_of(np.arange(256)) == -1).all()


@settings(max_examples=200)
@given(st.text(st.characters(), max_size=40))
def test_any_unicode_text_comes_back(text):
    vocabulary = build_small((4,))
    tokens = encode_bytes(text)
    assert all(0 <= token < 256 for token in tokens)
    assert decode_bytes([*tokens, vocabulary.special("eos")]) == text


def test_lone_surrogates_come_back_and_broken_bytes_are_replaced():
    assert decode_bytes(encode_bytes("a\ud800b")) == "a\ud800b"
    assert decode_bytes([0x61, 0xFF]) == "a\ufffd"


@settings(max_examples=30)
@given(SIZES)
def test_json_round_trip_and_fingerprint(sizes):
    vocabulary = pretrained(1000, tuple(sizes), bos=3)
    again = Vocabulary.from_json(vocabulary.to_json())
    assert again == vocabulary and again.fingerprint() == vocabulary.fingerprint()
    assert build_small([*sizes, 2]).fingerprint() != build_small(sizes).fingerprint()


def test_a_vocabulary_of_version_0_1_keeps_its_fingerprint():
    """Models in workspaces of that version record it."""
    assert build_small((8, 4)).fingerprint() == "08c17dacc0968ebad19f753b0666a33e"
    with pytest.raises(ModelError, match="tokens for numbers"):
        Vocabulary.from_json(
            build_small((8, 4)).to_json().replace('"buckets": []', '"buckets": [["age", 4]]')
        )


def test_aliases_stand_on_rows_of_the_base():
    vocabulary = pretrained(1000, (4, 2), bos=3)
    assert vocabulary.special("bos") == 3 and "<|bos|>" not in vocabulary.added()
    assert vocabulary.size == 1000 + 6 + len(SPECIALS) - 1


def test_errors_name_row_level_and_remedy():
    vocabulary = build_small((8, 4))
    with pytest.raises(InputError, match=r"row 2 has code 4 at level 2, which has codes 0 to 3"):
        vocabulary.sid_tokens([[0, 1], [7, 4]])
    with pytest.raises(InputError, match="row 1 has code -1 at level 1"):
        vocabulary.sid_tokens([-1, 0])
    with pytest.raises(ModelError, match=r"vocabulary\.json"):
        Vocabulary.from_json("{}")


def test_the_vocabulary_loads_no_torch():
    code = "import sys, tastemaker.lm.vocabulary; print('torch' in sys.modules)"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "False"
    )
