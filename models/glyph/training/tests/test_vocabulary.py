"""A trimmed tokenizer against the whole one."""

import json

import pytest
from tokenizers import Tokenizer

from glyph_training.text import MODEL
from glyph_training.vocabulary import kept_ids, trimmed

CAPTIONS = ["smiling face with sunglasses, 3d style", "piñata", "cat wearing a top hat on a teal background", ""]


@pytest.fixture(scope="module")
def both():
    table = json.loads((MODEL / "tokenizer.json").read_text())
    whole = Tokenizer.from_str(json.dumps(table))
    whole.no_padding()
    whole.no_truncation()
    special = {token["id"] for token in table["added_tokens"]}
    used = {i for e in whole.encode_batch(CAPTIONS) for i in e.ids}
    kept = kept_ids(table["model"]["vocab"], used | special, frequent=5000)
    return whole, Tokenizer.from_str(json.dumps(trimmed(table, kept))), kept


def test_captions_keep_their_tokens(both):
    whole, small, kept = both
    assert 3000 < len(kept) < 5200
    for caption in CAPTIONS:
        old, new = whole.encode(caption), small.encode(caption)
        assert new.tokens == old.tokens
        assert [kept[i] for i in new.ids] == old.ids


def test_a_rare_word_is_spelt_and_never_unknown(both):
    whole, small, _ = both
    text = "archaeologist glockenspiel"
    assert len(small.encode(text).tokens) > len(whole.encode(text).tokens)
    assert "[UNK]" not in small.encode(text).tokens
    assert "".join(t.removeprefix("##") for t in small.encode(text).tokens[1:-1]) == text.replace(" ", "")
