"""A smaller vocabulary: the word table is half of the text encoder."""

import copy
import re

# WordPiece lists whole words and pieces by how often English uses them.
FREQUENT = 12000
ASCII = re.compile(r"[!-~]+")
UNUSED = re.compile(r"\[unused\d+\]")


def kept_ids(vocabulary: dict[str, int], used: set[int], frequent: int = FREQUENT) -> list[int]:
    """Ids to keep, in order: ASCII tokens that are `used` or among the first `frequent`.

    A word that is dropped is spelt from its pieces, since every single letter stays.
    """
    return sorted(
        i for token, i in vocabulary.items()
        if i in used or (i < frequent and ASCII.fullmatch(token) and not UNUSED.fullmatch(token))
    )  # fmt: skip


def trimmed(tokenizer: dict, kept: list[int]) -> dict:
    """A `tokenizer.json` of the kept tokens, numbered by their place in `kept`."""
    new = {old: i for i, old in enumerate(kept)}
    tokenizer = copy.deepcopy(tokenizer)
    vocabulary = tokenizer["model"]["vocab"]
    tokenizer["model"]["vocab"] = {token: new[i] for token, i in vocabulary.items() if i in new}
    for token in tokenizer["added_tokens"]:
        token["id"] = new[token["id"]]
    for token in tokenizer["post_processor"]["special_tokens"].values():
        token["ids"] = [new[i] for i in token["ids"]]
    tokenizer["truncation"] = tokenizer["padding"] = None
    return tokenizer
