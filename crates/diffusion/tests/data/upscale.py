# /// script
# requires-python = ">=3.10"
# dependencies = ["numpy==2.4.6", "onnxruntime==1.32.0", "pillow"]
# ///
"""What ONNX Runtime makes of a picture with the upscaler that comes with the hub, for tests/upscale.rs and tests/gpu_upscale.rs.

usage: upscale.py
Writes to the folder upscale, for parts of models/glyph/example.png, `large` of 72x40 and `small` of 22x18 pixels:
large.png, small.png                           the parts
large_x2.png, large_x4.png, small_x2.png, …    the same two and four times as large
"""
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

MODELS = Path(__file__).parents[4] / "models"
OUT = Path(__file__).parent / "upscale"
PARTS = {"large": (28, 40, 100, 80), "small": (50, 20, 72, 38)}


def main():
    OUT.mkdir(exist_ok=True)
    whole = Image.open(MODELS / "glyph/example.png").convert("RGB")
    for name, box in PARTS.items():
        part = whole.crop(box)
        part.save(OUT / f"{name}.png", optimize=True)
        planes = np.asarray(part, np.float32).transpose(2, 0, 1)[None] / 255
        for factor in (2, 4):
            session = onnxruntime.InferenceSession(str(MODELS / f"esrgan-thick/x{factor}.onnx"), providers=["CPUExecutionProvider"])
            larger = session.run(["larger"], {"picture": planes})[0][0]
            larger = np.round(np.clip(larger, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
            Image.fromarray(larger).save(OUT / f"{name}_x{factor}.png", optimize=True)
            back = np.asarray(Image.fromarray(larger).resize(part.size, Image.Resampling.BOX), float)
            error = ((back - np.asarray(part, float)) ** 2).mean()
            print(name, factor, larger.shape, f"small again: {10 * np.log10(255**2 / error):.1f} dB")


main()
