"""Reads picture sets and rasterises them to 128x128 RGBA with straight alpha."""

import io
import json
from dataclasses import dataclass
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import resvg_py
from PIL import Image

from .concepts import Catalogue, Concept, wanted
from .fetch import Source

SIZE = 128
MINIMUM_COVER = 0.03


@dataclass(frozen=True)
class Original:
    """One picture of a set before rasterising; exactly one of `svg`, `file` is set."""

    set: str
    style: str
    key: str
    concept: Concept
    matched: bool
    svg: str = ""
    file: str = ""


def _iconify_svg(icon: dict, table: dict) -> str:
    get = lambda field, default: icon.get(field, table.get(field, default))
    left, top, width, height = get("left", 0), get("top", 0), get("width", 16), get("height", 16)
    body = icon["body"].replace("currentColor", "#333")
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{left} {top} {width} {height}">{body}</svg>'
    )


def learn_names(folder: Path, catalogue: Catalogue) -> None:
    """Teaches the catalogue the names of a set that states its code points."""
    chars = folder / "chars.json"
    for code, key in json.loads(chars.read_text()).items() if chars.exists() else ():
        catalogue.learn(key, code)


def read_set(source: Source, folder: Path, catalogue: Catalogue) -> list[Original]:
    """Every wanted picture of a set, with its concept."""
    found = []

    def add(key: str, code: str | None, **where: str) -> None:
        concept = catalogue.find(key, code)
        unknown = concept is None and (code is not None or source.names == "catalogue")
        if unknown or not wanted(key, concept):
            return
        name = concept or Concept(key.replace("-", " "))
        found.append(Original(source.id, source.style, key, name, concept is not None, **where))

    if source.layout == "codepoint-files":
        for file in sorted((folder / "assets").glob("*.webp")):
            add(file.stem, file.stem, file=str(file))
    elif source.layout == "iconify":
        table = json.loads((folder / "icons.json").read_text())
        chars = folder / "chars.json"
        codes = {k: c for c, k in json.loads(chars.read_text()).items()} if chars.exists() else {}
        for key, icon in table["icons"].items():
            if not icon.get("hidden"):
                add(key, codes.get(key), svg=_iconify_svg(icon, table))
    else:
        raise ValueError(f"{source.id}: unknown layout {source.layout!r}")
    return found


def rasterise(original: Original) -> np.ndarray | None:
    """uint8 [128,128,4], centred and aspect kept; None for a nearly empty picture."""
    if original.svg:
        png = resvg_py.svg_to_bytes(svg_string=original.svg, width=2 * SIZE, skip_system_fonts=True)
        image = Image.open(io.BytesIO(bytes(png)))
    else:
        image = Image.open(original.file)
    image = image.convert("RGBA")
    image.thumbnail((SIZE, SIZE), Image.Resampling.LANCZOS)
    canvas = Image.new("RGBA", (SIZE, SIZE), (0, 0, 0, 0))
    canvas.paste(image, ((SIZE - image.width) // 2, (SIZE - image.height) // 2))
    pixels = np.asarray(canvas)
    return pixels if (pixels[..., 3] > 40).mean() >= MINIMUM_COVER else None


def rasterise_all(originals: list[Original], processes: int) -> list[np.ndarray | None]:
    """`rasterise` over a pool of processes, in order."""
    with Pool(processes) as pool:
        return pool.map(rasterise, originals, chunksize=32)


def near_duplicates(pixels: np.ndarray, styles: list[str], threshold: float = 0.035) -> np.ndarray:
    """bool [n]: true where an earlier picture of the same style looks the same.

    Pictures are compared as 16x16 RGB thumbnails on white and on black;
    `threshold` is the root mean square difference on a scale of 0 to 1.
    """
    features = np.stack([_thumbnail(p) for p in pixels])
    drop = np.zeros(len(pixels), bool)
    for style in sorted(set(styles)):
        rows = np.flatnonzero(np.array(styles) == style)
        f = features[rows]
        square = (f * f).sum(1)
        distance = np.sqrt(np.maximum(square[:, None] + square - 2 * f @ f.T, 0) / f.shape[1])
        close = np.tril(distance < threshold, -1)
        for i in range(len(rows)):
            drop[rows[i]] = (close[i] & ~drop[rows]).any()
    return drop


def _thumbnail(pixels: np.ndarray) -> np.ndarray:
    colour, alpha = pixels[..., :3] / 255, pixels[..., 3:] / 255
    views = [(colour * alpha + ground * (1 - alpha)).astype(np.float32) for ground in (1, 0)]
    return np.concatenate([v.reshape(16, 8, 16, 8, 3).mean((1, 3)).ravel() for v in views])
