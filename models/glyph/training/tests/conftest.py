"""A run folder with drawn shapes in place of the picture sets: no network needed."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from glyph_training import config as settings
from glyph_training.concepts import Concept
from glyph_training.drawn import draw as draw_all
from glyph_training.render import Layer, Recipe

SMOKE = Path(__file__).parent.parent / "configs" / "smoke.toml"
COLOURS = {"red": (220, 40, 40), "green": (40, 170, 60), "blue": (50, 80, 220), "yellow": (240, 200, 40)}


def draw(shape: str, colour: tuple[int, int, int]) -> np.ndarray:
    image = Image.new("RGBA", (128, 128), (0, 0, 0, 0))
    pen, fill = ImageDraw.Draw(image), (*colour, 255)
    match shape:
        case "circle":
            pen.ellipse((16, 16, 112, 112), fill=fill)
        case "square":
            pen.rectangle((20, 20, 108, 108), fill=fill)
        case "triangle":
            pen.polygon([(64, 12), (116, 112), (12, 112)], fill=fill)
        case "bar":
            pen.rectangle((8, 48, 120, 80), fill=fill)
    return np.asarray(image)


def write_shapes(folder: Path) -> None:
    data = folder / "data"
    data.mkdir(parents=True)
    pictures, records, recipes = [], [], []
    for shape in ("circle", "square", "triangle", "bar"):
        for name, colour in COLOURS.items():
            caption = f"{name} {shape}"
            recipes.append(Recipe("original", "drawn", [Layer(len(pictures))], [caption], names=[caption]))
            pictures.append(draw(shape, colour))
            records.append({"set": "drawn", "style": "drawn", "key": caption, "concept": asdict(Concept(caption))})
    np.save(data / "originals.npy", np.stack(pictures))
    (data / "originals.json").write_text(json.dumps(records))
    (data / "recipes.jsonl").write_text("".join(json.dumps(asdict(r)) + "\n" for r in recipes))


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def shapes(tmp_path) -> settings.Config:
    """The smoke configuration on sixteen drawn shapes."""
    folder = tmp_path / "run"
    write_shapes(folder)
    draw_all(folder, 1)
    return replace(settings.load(SMOKE), folder=folder)
