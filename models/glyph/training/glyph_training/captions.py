"""Captions in the words a person would type."""

import random
import re

NUMBERS = {2: "two", 3: "three", 4: "four"}


def article(name: str) -> str:
    """`a red apple`, `an owl`; names that are plural or uncountable stay bare."""
    if name.endswith("s") and not name.endswith(("ss", "us", "is")):
        return name
    return ("an " if name[0] in "aeiou" else "a ") + name


def plural(name: str) -> str:
    """A simple English plural of the last word before any `with`."""
    head, *rest = re.split(r"(?= (?:with|of|in|on) )", name, maxsplit=1)
    if head.endswith(("s", "x", "ch", "sh")):
        head += "es"
    elif re.search(r"[^aeiou]y$", head):
        head = head[:-1] + "ies"
    else:
        head += "s"
    return head + "".join(rest)


def in_style(phrase: str, style: str, rng: random.Random) -> str:
    """The phrase with its style word, most often as `phrase, style style`."""
    return f"{style} {phrase}" if rng.random() < 0.15 else f"{phrase}, {style} style"


def spread(phrase: str, style: str, rng: random.Random) -> list[str]:
    """Three captions of one picture: with style twice as often as without."""
    return [f"{phrase}, {style} style", in_style(phrase, style, rng), phrase]


def of_original(name: str, tags: tuple[str, ...], style: str, rng: random.Random) -> list[str]:
    """Captions of an unchanged picture: by name, by article, by name and tags."""
    captions = spread(name, style, rng) + [f"{article(name)}, {style} style"]
    extra = [t for t in tags if t not in name]
    if extra:
        chosen = rng.sample(extra, min(2, len(extra)))
        captions.append(f"{name}, {', '.join(chosen)}, {style} style")
    return captions
