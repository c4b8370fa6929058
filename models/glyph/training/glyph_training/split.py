"""Held-out (concept, style) pairs and compositions that training never sees."""

import hashlib

from .concepts import family

# Prompts of the first version, so that versions compare.
FIXED_PAIRS = {
    ("red apple", "3d"),
    ("rocket", "3d"),
    ("cat face", "flat"),
    ("pizza", "blob"),
    ("octopus", "cartoon"),
    ("airplane", "outline"),
}
MINIMUM_STYLES = 5
ONE_IN = 60


def _bucket(*words: str) -> int:
    return int.from_bytes(hashlib.sha256("|".join(words).encode()).digest()[:4]) % ONE_IN


def held_out_pairs(pairs: list[tuple[str, str]]) -> set[tuple[str, str]]:
    """The fixed pairs and one in sixty of the pairs whose concept has five styles or more."""
    styles: dict[str, set[str]] = {}
    for concept, style in pairs:
        styles.setdefault(concept, set()).add(style)
    drawn = {(c, s) for c, s in pairs if len(styles[c]) >= MINIMUM_STYLES and _bucket(c, s) == 0}
    return drawn | (FIXED_PAIRS & set(pairs))


def families_held_out(held: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """(family, style) pairs that must not be recoloured: a recoloured green
    apple is a picture of the held-out red apple."""
    return {(family(concept), style) for concept, style in held}


def composition_held_out(kind: str, first: str, second: str) -> bool:
    """True for the one in thirty combinations kept for the composition prompts."""
    return _bucket(kind, first, second) in (0, 1)


def kept_from_judge(concept: str, style: str) -> bool:
    """True for the one in four pairs that the evaluation's judge never sees, so that it cannot know them by heart."""
    return _bucket("judge", concept, style) % 4 == 0
