"""Builds the data folder: originals.npy, originals.json, recipes.jsonl, heldout.json."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from .compose import Composer, describe, summary
from .concepts import Catalogue, Concept
from .fetch import fetch, load_sources
from .pictures import learn_names, near_duplicates, rasterise_all, read_set
from .render import Layer, Recipe
from .split import families_held_out, held_out_pairs


def build(folder: Path, npm_cache: Path, counts: dict[str, int], seed: int, processes: int, sets: list[str]) -> None:
    """Fetches, rasterises, splits and composes; an existing folder is replaced file by file.

    `sets` names the sets to use; empty means all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names, sources = load_sources()
    catalogue = Catalogue(fetch(names, npm_cache))
    used = [(s, fetch(s, npm_cache)) for s in sources if not sets or s.id in sets]
    for _, where in used:
        learn_names(where, catalogue)
    found = [o for source, where in used for o in read_set(source, where, catalogue)]
    drawn = rasterise_all(found, processes)
    kept = [(o, p) for o, p in zip(found, drawn, strict=True) if p is not None]
    pixels = np.stack([p for _, p in kept])
    duplicate = near_duplicates(pixels, [o.style for o, _ in kept])
    originals = [o for (o, _), d in zip(kept, duplicate, strict=True) if not d]
    pixels = pixels[~duplicate]
    np.save(folder / "originals.npy", pixels)
    records = [
        {"set": o.set, "style": o.style, "key": o.key, "matched": o.matched, "concept": asdict(o.concept)}
        for o in originals
    ]
    (folder / "originals.json").write_text(json.dumps(records))

    held = held_out_pairs([(o.concept.name, o.style) for o in originals])
    (folder / "heldout.json").write_text(json.dumps(sorted(held), indent=1))
    bases = [
        describe(i, o.style, o.concept, pixels[i])
        for i, o in enumerate(originals)
        if (o.concept.name, o.style) not in held
    ]
    composer = Composer(bases, families_held_out(held), seed)
    recipes = composer.originals() + composer.compositions(counts)
    with (folder / "recipes.jsonl").open("w") as out:
        for recipe in recipes:
            out.write(json.dumps(asdict(recipe)) + "\n")
    report = {
        "found": len(found),
        "kept": len(originals),
        "near_duplicates": int(duplicate.sum()),
        "concepts": len({o.concept.name for o in originals}),
        "held_out_pairs": len(held),
        "recipes": len(recipes),
        "distinct_captions": len({c for r in recipes for c in r.captions}),
        "kinds": summary(recipes),
    }
    (folder / "report.json").write_text(json.dumps(report, indent=1))
    print(json.dumps(report), flush=True)


def load_recipes(folder: Path) -> list[Recipe]:
    """The recipes in the order that latents and caption indices follow."""
    recipes = []
    with (folder / "recipes.jsonl").open() as lines:
        for line in lines:
            table = json.loads(line)
            table["layers"] = [Layer(**layer) for layer in table["layers"]]
            if isinstance(table["background"], list):
                table["background"] = tuple(table["background"])
            recipes.append(Recipe(**table))
    return recipes


def load_originals(folder: Path) -> tuple[np.ndarray, list[dict]]:
    """uint8 RGBA [n,128,128,4], memory-mapped, and the record of each."""
    records = json.loads((folder / "originals.json").read_text())
    for record in records:
        record["concept"] = Concept(**record["concept"])
    return np.load(folder / "originals.npy", mmap_mode="r"), records
