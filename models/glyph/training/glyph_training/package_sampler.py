"""Draws pictures with an exported package in ONNX Runtime, so that what is shipped is what is measured."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from .manifest import COMPONENTS
from .sample import initial_noise


class PackageSampler:
    """Any version's package: takes and gives what `sample.Sampler` does."""

    def __init__(self, folder: Path):
        self.manifest = json.loads((folder / "manifest.json").read_text())
        settings = self.manifest["tokenizer"]
        self.tokenizer = Tokenizer.from_file(str(folder / settings["file"]))
        self.tokenizer.enable_truncation(settings["max_length"])
        self.tokenizer.enable_padding(
            length=settings["max_length"], pad_id=settings["pad_id"], pad_token=settings["pad_token"]
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.sessions = {
            name: onnxruntime.InferenceSession(
                str(folder / self.manifest["components"][name]["file"]), options, providers=["CPUExecutionProvider"]
            )
            for name in COMPONENTS
        }

    def latents(self, caption: str, guidance: float, steps: int, noise: np.ndarray) -> np.ndarray:
        """f32 [1,c,h,w] of one caption, from such noise."""
        codes = self.tokenizer.encode_batch([caption, ""])
        ids = np.array([c.ids for c in codes])
        mask = np.array([c.attention_mask for c in codes])
        (text,) = self.sessions["text_encoder"].run(None, {"input_ids": ids, "attention_mask": mask})
        fixed, x = {"text": text, "text_mask": mask.astype(np.float32)}, noise
        for now, following in pairwise(np.linspace(1, 0, steps + 1, dtype=np.float32)):
            inputs = fixed | {"latents": np.repeat(x, 2, 0), "t": np.full(2, now)}
            (velocity,) = self.sessions["denoiser"].run(None, inputs)
            prompted, empty = velocity[:1], velocity[1:]
            x = x + (following - now) * (empty + np.float32(guidance) * (prompted - empty))
        return x

    def decode(self, latents: np.ndarray) -> np.ndarray:
        """f32 [1,3,height,width] in -1..1."""
        (image,) = self.sessions["decoder"].run(None, {"latents": latents})
        return image.clip(-1, 1)

    def __call__(self, captions: list[str], guidance: float = 3.0, steps: int = 8, seed: int = 0) -> np.ndarray:
        """uint8 RGB [n,height,width,3], from the noise that `sample.Sampler` starts from."""
        pictures = []
        for caption, start in zip(captions, initial_noise(len(captions), seed).numpy(), strict=True):
            latents = self.latents(caption, guidance, steps, start[None])
            pictures.append(np.rint((self.decode(latents)[0] + 1) * 127.5).astype(np.uint8).transpose(1, 2, 0))
        return np.stack(pictures)
