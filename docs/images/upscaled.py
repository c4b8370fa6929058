# /// script
# requires-python = ">=3.10"
# dependencies = ["pillow"]
# ///
"""The picture upscaled.png: a part of Glyph's example four times as large, by repeated pixels, by bicubic interpolation and by the network.

usage: upscaled.py path/to/demo-hub
"""
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[2]
FACTOR, PART, GAP = 4, (30, 14, 102, 86), 8


def main(program):
    with tempfile.TemporaryDirectory() as folder:
        large = Path(folder) / "large.png"
        whole = ROOT / "models/glyph/example.png"
        subprocess.run([program, "upscale", whole, large, "--factor", str(FACTOR), "--models-dir", ROOT / "models"], check=True)
        small = Image.open(whole).convert("RGB").crop(PART)
        size = tuple(side * FACTOR for side in small.size)
        panels = [small.resize(size, how) for how in (Image.Resampling.NEAREST, Image.Resampling.BICUBIC)]
        panels.append(Image.open(large).crop(tuple(edge * FACTOR for edge in PART)))
    sheet = Image.new("RGB", (3 * size[0] + 2 * GAP, size[1]), "white")
    for index, panel in enumerate(panels):
        sheet.paste(panel, (index * (size[0] + GAP), 0))
    sheet.save(Path(__file__).parent / "upscaled.png", optimize=True)


main(sys.argv[1])
