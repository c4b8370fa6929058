"""Recipes of synthesised pictures, so that colour, place, count and binding can be learnt.

Every picture stays within one style. Held-out (concept, style) pictures are
never used, nor recoloured relatives of them, nor held-out combinations.
"""

import random
from collections import Counter
from dataclasses import dataclass

import numpy as np

from .captions import NUMBERS, article, of_original, plural, spread
from .colour import BACKGROUNDS, HUES, dominant_hue, hue_name
from .concepts import Concept, family
from .render import SCENES, Layer, Recipe
from .split import composition_held_out

FACE_GROUPS = {
    "face-smiling", "face-affection", "face-tongue", "face-neutral-skeptical", "face-sleepy",
    "face-concerned", "face-negative", "face-costume", "cat-face", "monkey-face",
}  # fmt: skip
EYEWEAR = {"sunglasses": "sunglasses", "glasses": "glasses"}
HEADWEAR = {
    "top hat": "a top hat", "crown": "a crown", "graduation cap": "a graduation cap",
    "billed cap": "a cap", "woman's hat": "a straw hat", "ribbon": "a bow",
    "rescue worker's helmet": "a helmet", "military helmet": "a helmet",
}  # fmt: skip
ROUND = {"food-fruit", "food-vegetable", "sky-weather"}
THINGS = {"animals-nature", "food-drink", "travel-places", "activities", "objects"}


@dataclass(frozen=True)
class Base:
    """One training picture: its row among the originals, and what it shows."""

    row: int
    style: str
    concept: Concept
    box: tuple[float, float, float, float]
    hue: float | None

    @property
    def thing(self) -> bool:
        """Neither a person, a face nor a sign."""
        return self.concept.group in THINGS

    @property
    def face(self) -> bool:
        return self.concept.subgroup in FACE_GROUPS or self.concept.name.endswith(" face")


def bounds(pixels: np.ndarray) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of the visible part, as fractions of the canvas."""
    rows, columns = np.where(pixels[..., 3] > 100)
    side = pixels.shape[0]
    return columns.min() / side, rows.min() / side, (columns.max() + 1) / side, (rows.max() + 1) / side


def describe(row: int, style: str, concept: Concept, pixels: np.ndarray) -> Base:
    return Base(row, style, concept, bounds(pixels), dominant_hue(pixels))


def original_weight(concept: Concept) -> float:
    """People come in many near-equal variants, unnamed icons are least asked for."""
    return {"people-body": 0.25, "": 0.35, "symbols": 0.5}.get(concept.group, 1.0)


class Composer:
    """Draws recipes with a seeded generator; the same inputs give the same recipes."""

    def __init__(self, bases: list[Base], held_families: set[tuple[str, str]], seed: int = 0):
        self.rng = random.Random(seed)
        self.bases = bases
        self.held_families = held_families
        self.by_style: dict[str, list[Base]] = {}
        for base in bases:
            self.by_style.setdefault(base.style, []).append(base)
        self.things = {s: [b for b in bs if b.thing] for s, bs in self.by_style.items()}
        self.things = {s: bs for s, bs in self.things.items() if len(bs) > 20}
        self.worn = {
            s: [b for b in bs if b.concept.name in EYEWEAR or HEADWEAR.get(b.concept.name)]
            for s, bs in self.by_style.items()
        }

    def originals(self) -> list[Recipe]:
        return [
            self._recipe("original", [base], of_original(base.concept.name, base.concept.tags, base.style, self.rng),
                         [Layer(base.row)], weight=original_weight(base.concept))
            for base in self.bases
        ]  # fmt: skip

    def compositions(self, counts: dict[str, int]) -> list[Recipe]:
        """`counts` recipes of each kind; a combination that is held out is drawn again."""
        found = []
        for kind, count in counts.items():
            draw, made, tries = getattr(self, f"_{kind}"), 0, 0
            while made < count and tries < 40 * count:
                tries += 1
                recipe = draw()
                if recipe is not None and not self._held(recipe):
                    found.append(recipe)
                    made += 1
        return found

    def _held(self, recipe: Recipe) -> bool:
        return len(recipe.names) == 2 and composition_held_out(recipe.kind, *recipe.names)

    def _recipe(self, kind, bases, captions, layers, **more) -> Recipe:
        names = [b.concept.name for b in bases]
        return Recipe(kind, bases[0].style, layers, captions, names=names, seed=self.rng.getrandbits(31), **more)

    def _style(self) -> str:
        styles = list(self.things)
        return self.rng.choices(styles, [len(self.things[s]) for s in styles])[0]

    def _two(self) -> tuple[Base, Base]:
        return tuple(self.rng.sample(self.things[self._style()], 2))

    def _one(self) -> Base:
        return self.rng.choice(self.things[self._style()])

    def _recoloured(self, base: Base) -> tuple[str, float] | None:
        """A new colour's name and hue, where the picture has one movable hue."""
        if base.hue is None or (family(base.concept.name), base.style) in self.held_families:
            return None
        name = self.rng.choice([c for c in HUES if c != hue_name(base.hue)])
        return name, HUES[name]

    def _background(self) -> Recipe:
        base = self.rng.choice([b for b in (self._one(), self.rng.choice(self.bases)) if b])
        colour = self.rng.choice(list(BACKGROUNDS))
        size = self.rng.choice([1.0, 0.85, 0.7])
        phrase = f"{base.concept.name} on a {colour} background"
        return self._recipe("background", [base], spread(phrase, base.style, self.rng), [Layer(base.row, size=size)],
                            background=BACKGROUNDS[colour], weight=0.4 * original_weight(base.concept))  # fmt: skip

    def _recolour(self) -> Recipe | None:
        base = self._one()
        colour = self._recoloured(base)
        if colour is None:
            return None
        phrase = f"{colour[0]} {family(base.concept.name)}"
        layer = Layer(base.row, hue_from=base.hue, hue_to=colour[1])
        if self.rng.random() < 0.25:
            ground = self.rng.choice(list(BACKGROUNDS))
            captions = spread(f"{phrase} on a {ground} background", base.style, self.rng)
            return self._recipe("recolour", [base], captions, [layer], background=BACKGROUNDS[ground], weight=0.4)
        return self._recipe("recolour", [base], spread(phrase, base.style, self.rng), [layer], weight=0.4)

    def _pair(self) -> Recipe:
        a, b = self._two()
        x, y = a.concept.name, b.concept.name
        size = self.rng.choice([0.46, 0.5])
        layout = self.rng.random()
        if layout < 0.6:
            phrase, mirrors = self.rng.choice([(f"{x} and {y}", True), (f"{x} next to {y}", True),
                                               (f"{x} to the left of {y}", False)])  # fmt: skip
            layers = [Layer(a.row, 0.26, 0.5, size), Layer(b.row, 0.74, 0.5, size)]
        else:
            phrase, mirrors = f"{x} above {y}", True
            layers = [Layer(a.row, 0.5, 0.26, size), Layer(b.row, 0.5, 0.74, size)]
        return self._recipe("pair", [a, b], spread(phrase, a.style, self.rng), layers, weight=0.35, mirrors=mirrors)

    def _coloured_pair(self) -> Recipe | None:
        a, b = self._two()
        first, second = self._recoloured(a), self._recoloured(b)
        if first is None or second is None:
            return None
        phrase = f"{first[0]} {family(a.concept.name)} and {second[0]} {family(b.concept.name)}"
        layers = [Layer(a.row, 0.26, 0.5, 0.48, a.hue, first[1]), Layer(b.row, 0.74, 0.5, 0.48, b.hue, second[1])]
        return self._recipe("coloured_pair", [a, b], spread(phrase, a.style, self.rng), layers, weight=0.35)

    def _count(self) -> Recipe:
        base = self._one()
        number = self.rng.choice(list(NUMBERS))
        places = {
            2: [(0.27, 0.5), (0.73, 0.5)],
            3: [(0.5, 0.27), (0.27, 0.73), (0.73, 0.73)],
            4: [(0.27, 0.27), (0.73, 0.27), (0.27, 0.73), (0.73, 0.73)],
        }[number]
        layers = [Layer(base.row, x, y, 0.46) for x, y in places]
        phrase = f"{NUMBERS[number]} {plural(base.concept.name)}"
        return self._recipe("count", [base], spread(phrase, base.style, self.rng), layers, weight=0.35)

    def _worn(self) -> Recipe | None:
        style = self.rng.choice([s for s in self.things if self.worn[s]])
        wearer, item = self.rng.choice(self.by_style[style]), self.rng.choice(self.worn[style])
        name = wearer.concept.name
        if not (wearer.face or wearer.concept.subgroup in ROUND):
            return None
        left, top, right, _ = wearer.box
        if right - left < 0.6 or "hat" in name or "glasses" in name:
            return None
        wide = item.box[2] - item.box[0]
        if item.concept.name in EYEWEAR:
            size, phrase = 0.72 * (right - left) / wide, f"{name} wearing {EYEWEAR[item.concept.name]}"
            layers = [Layer(wearer.row), self._at(item, (left + right) / 2, top + 0.4 * (1 - top), size)]
        else:
            phrase = f"{name} wearing {HEADWEAR[item.concept.name]}"
            size = 0.56 * (right - left) / wide
            height = (item.box[3] - item.box[1]) * size
            layers = [
                Layer(wearer.row, 0.5, 0.6, 0.8),
                self._at(item, 0.5, 0.6 - 0.8 * (0.5 - top) + 0.1 - height / 2, size),
            ]
        return self._recipe("worn", [wearer, item], spread(phrase, style, self.rng), layers, weight=0.7)

    def _at(self, base: Base, x: float, y: float, size: float) -> Layer:
        """A layer whose visible part, not its canvas, is centred at (x, y)."""
        left, top, right, bottom = base.box
        return Layer(base.row, x + size * (0.5 - (left + right) / 2), y + size * (0.5 - (top + bottom) / 2), size)

    def _on(self) -> Recipe:
        a, b = self._two()
        below = 0.62
        top_of_b = 1 - below + below * b.box[1]
        size = 0.45
        height = size * (a.box[3] - a.box[1])
        layers = [Layer(b.row, 0.5, 1 - below / 2, below), self._at(a, 0.5, top_of_b + 0.05 - height / 2, size)]
        phrase = f"{a.concept.name} on top of {article(b.concept.name)}"
        return self._recipe("on", [a, b], spread(phrase, a.style, self.rng), layers, weight=0.35)

    def _scene(self) -> Recipe:
        base = self._one()
        place = self.rng.choice(list(SCENES))
        size = self.rng.choice([0.55, 0.65, 0.75])
        y = 0.55 if "sky" in place or "water" in place or "night" in place else 0.62
        phrase = f"{base.concept.name} {place}"
        return self._recipe("scene", [base], spread(phrase, base.style, self.rng), [Layer(base.row, 0.5, y, size)],
                            background=place, weight=0.45)  # fmt: skip

    def _accessory_scene(self) -> Recipe | None:
        worn = self._worn()
        if worn is None:
            return None
        colour = self.rng.choice(list(BACKGROUNDS))
        phrase = f"{worn.captions[-1]} on a {colour} background"
        captions = spread(phrase, worn.style, self.rng)
        return Recipe("accessory_scene", worn.style, worn.layers, captions, BACKGROUNDS[colour], 0.5,
                      seed=worn.seed, names=worn.names)  # fmt: skip


def summary(recipes: list[Recipe]) -> dict[str, int]:
    """Number of recipes of each kind."""
    return dict(Counter(r.kind for r in recipes))
