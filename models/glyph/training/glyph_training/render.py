"""Draws a recipe: pictures placed on a background."""

from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw

from .colour import recolour
from .pictures import SIZE


@dataclass
class Layer:
    """One placed picture: centre and size as fractions of the canvas; hues in degrees."""

    base: int
    x: float = 0.5
    y: float = 0.5
    size: float = 1.0
    hue_from: float | None = None
    hue_to: float | None = None
    mirror: bool = False


@dataclass
class Recipe:
    """A picture to draw, with its captions and its weight in training."""

    kind: str
    style: str
    layers: list[Layer]
    captions: list[str]
    background: str | tuple[int, int, int] = (255, 255, 255)
    weight: float = 1.0
    mirrors: bool = True
    seed: int = 0
    names: list[str] = field(default_factory=list)


def _vertical(top: tuple, bottom: tuple) -> np.ndarray:
    t = np.linspace(0, 1, SIZE)[:, None, None]
    row = np.array(top) * (1 - t) + np.array(bottom) * t
    return np.broadcast_to(row, (SIZE, SIZE, 3)).astype(np.uint8).copy()


def _ground(sky: tuple, horizon: tuple, ground: tuple, level: float) -> np.ndarray:
    canvas = _vertical(sky, horizon)
    canvas[int(level * SIZE) :] = ground
    return canvas


def _night(rng: np.random.Generator) -> np.ndarray:
    image = Image.fromarray(_vertical((18, 22, 60), (60, 50, 110)))
    draw = ImageDraw.Draw(image)
    for x, y in rng.integers(0, SIZE, (22, 2)):
        draw.ellipse((x, y, x + 2, y + 2), fill=(250, 245, 210))
    return np.asarray(image)


def _snow(rng: np.random.Generator) -> np.ndarray:
    image = Image.fromarray(_ground((150, 180, 215), (205, 222, 240), (245, 248, 252), 0.78))
    draw = ImageDraw.Draw(image)
    for x, y in rng.integers(0, SIZE, (26, 2)):
        draw.ellipse((x, y, x + 3, y + 3), fill=(255, 255, 255))
    return np.asarray(image)


# Scene phrase -> drawing of its background.
SCENES = {
    "in the sky": lambda rng: _vertical((110, 180, 245), (215, 238, 255)),
    "in a meadow": lambda rng: _ground((140, 200, 250), (215, 238, 255), (125, 195, 95), 0.72),
    "on the beach": lambda rng: _ground((120, 200, 245), (190, 232, 250), (240, 215, 150), 0.75),
    "in the sea": lambda rng: _ground((150, 210, 250), (220, 240, 255), (50, 130, 205), 0.62),
    "under water": lambda rng: _vertical((70, 165, 220), (15, 70, 140)),
    "in the desert": lambda rng: _ground((250, 205, 140), (255, 232, 190), (225, 165, 95), 0.72),
    "at night": _night,
    "in the snow": _snow,
    "at sunset": lambda rng: _vertical((240, 110, 90), (255, 215, 130)),
}


def _placed(pixels: np.ndarray, layer: Layer) -> tuple[Image.Image, tuple[int, int]]:
    if layer.hue_to is not None and layer.hue_from is not None:
        pixels = recolour(pixels, layer.hue_from, layer.hue_to)
    image = Image.fromarray(pixels)
    if layer.mirror:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    side = max(1, round(layer.size * SIZE))
    if side != SIZE:
        image = image.resize((side, side), Image.Resampling.BICUBIC)
    return image, (round(layer.x * SIZE - side / 2), round(layer.y * SIZE - side / 2))


def render(recipe: Recipe, originals: np.ndarray) -> np.ndarray:
    """uint8 RGB [128,128,3]; `originals` is uint8 RGBA [n,128,128,4]."""
    if isinstance(recipe.background, str):
        ground = SCENES[recipe.background](np.random.default_rng(recipe.seed))
    else:
        ground = np.full((SIZE, SIZE, 3), recipe.background, np.uint8)
    canvas = Image.fromarray(ground)
    for layer in recipe.layers:
        image, corner = _placed(np.asarray(originals[layer.base]), layer)
        canvas.paste(image, corner, image)
    return np.array(canvas)
