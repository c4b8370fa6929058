# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy", "onnxruntime", "tokenizers"]
# ///
"""Fits the manifest's `latent_rgb`: a linear map from a latent to the mean colour of the pixels that it stands for.

Usage: fit_latent_rgb.py PACKAGE_DIR. Prints the JSON value, and how well it predicts pictures that it was not fitted to.
The latents are those of finished pictures of the package itself, so that the map fits what a preview shows.
"""

import json
import sys
from itertools import product
from pathlib import Path

import numpy as np
import onnxruntime as ort
from tokenizers import Tokenizer

SUBJECTS = ["red apple", "cat face", "green heart", "automobile", "strawberry", "tree", "house", "blue bird", "sun", "pizza"]
STYLES = ["flat style", "cartoon style", "simple style", "classic style"]
STEPS, GUIDANCE = 8, 3.0


def main(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    sessions = {
        name: ort.InferenceSession(str(folder / part["file"]), options, providers=["CPUExecutionProvider"])
        for name, part in manifest["components"].items()
    }
    settings = manifest["tokenizer"]
    tokenizer = Tokenizer.from_file(str(folder / settings["file"]))
    tokenizer.enable_truncation(settings["max_length"])
    tokenizer.enable_padding(length=settings["max_length"], pad_id=settings["pad_id"], pad_token=settings["pad_token"])
    generator = np.random.default_rng(0)

    def picture(prompt: str) -> tuple[np.ndarray, np.ndarray]:
        encoded = [tokenizer.encode(text) for text in (prompt, "")]
        ids = np.array([e.ids for e in encoded], dtype=np.int64)
        mask = np.array([e.attention_mask for e in encoded], dtype=np.int64)
        (text,) = sessions["text_encoder"].run(None, {"input_ids": ids, "attention_mask": mask})
        x = generator.standard_normal((1, *manifest["latents"]), dtype=np.float32)
        for step in range(STEPS):
            t = np.full(2, 1 - step / STEPS, dtype=np.float32)
            inputs = {"latents": x.repeat(2, 0), "t": t, "text": text, "text_mask": mask.astype(np.float32)}
            (v,) = sessions["denoiser"].run(None, inputs)
            x = x - (v[1:] + GUIDANCE * (v[:1] - v[1:])) / STEPS
        (image,) = sessions["decoder"].run(None, {"latents": x})
        return x[0], np.clip(image[0], -1, 1)

    rows, colours = [], []
    for subject, style in product(SUBJECTS, STYLES):
        latents, image = picture(f"{subject}, {style}")
        c, h, w = latents.shape
        mean = image.reshape(3, h, image.shape[1] // h, w, image.shape[2] // w).mean((2, 4))
        rows.append(latents.reshape(c, -1).T)
        colours.append(mean.reshape(3, -1).T)
    # Every fifth picture is kept for the check.
    train = [i for i in range(len(rows)) if i % 5]
    check = [i for i in range(len(rows)) if i % 5 == 0]

    def system(indices: list[int]) -> tuple[np.ndarray, np.ndarray]:
        latents = np.concatenate([rows[i] for i in indices])
        return np.c_[latents, np.ones(len(latents))], np.concatenate([colours[i] for i in indices])

    solution, *_ = np.linalg.lstsq(*system(train), rcond=None)
    latents, wanted = system(check)
    error = latents @ solution - wanted
    explained = 1 - (error**2).sum() / ((wanted - wanted.mean(0)) ** 2).sum()
    print(f"explains {explained:.3f} of the variance of {len(check)} other pictures", file=sys.stderr)
    weights = [[round(float(v), 4) for v in solution[:-1, k]] for k in range(3)]
    bias = [round(float(v), 4) for v in solution[-1]]
    print(json.dumps({"weights": weights, "bias": bias}))


main(Path(sys.argv[1]))
