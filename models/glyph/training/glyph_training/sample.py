"""Draws pictures of prompts with classifier-free guidance and Euler steps."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from .autoencoder import Autoencoder
from .config import Config
from .denoiser import Denoiser
from .device import autocast, device
from .latents import stats
from .text import TextEncoder
from .train_autoencoder import load_autoencoder
from .train_denoiser import load_denoiser


def prompts() -> list[str]:
    """A hundred prompts, fixed before training so that versions compare."""
    return (Path(__file__).parent / "prompts.txt").read_text().splitlines()


def initial_noise(count: int, seed: int) -> Tensor:
    """f32 [n,16,8,8]; the first n rows are the same whatever n is."""
    chance = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randn(16, 8, 8, generator=chance) for _ in range(count)])


def guided_velocity(
    denoiser: Denoiser, x: Tensor, timestep: Tensor, text: Tensor, mask: Tensor, guidance: float | Tensor
) -> Tensor:
    """Velocity f32 [n,16,8,8] under guidance (a number, or f32 [n]), of latents f32 [n,16,8,8].

    text and mask: n rows of the prompts for a guided denoiser; for another one these and then n rows of the
    empty prompt, since it is asked twice (classifier-free guidance, Ho & Salimans, arXiv:2207.12598).
    """
    scale = torch.as_tensor(guidance, dtype=torch.float32, device=x.device).expand(len(x))
    if denoiser.guided:
        return denoiser(x.contiguous(memory_format=torch.channels_last), timestep, text, mask, scale)
    both = torch.cat([x, x]).contiguous(memory_format=torch.channels_last)
    prompted, empty = denoiser(both, timestep.repeat(2), text, mask).chunk(2)
    return empty + scale.view(-1, 1, 1, 1) * (prompted - empty)


class Sampler:
    """Loaded models, ready to draw."""

    def __init__(self, denoiser: Denoiser, autoencoder: Autoencoder, mean: Tensor, deviation: Tensor):
        self.denoiser, self.autoencoder = denoiser, autoencoder
        self.mean, self.deviation = mean.to(device()), deviation.to(device())
        self.encoder = TextEncoder()

    @classmethod
    def load(cls, config: Config, checkpoint: str = "denoiser.pt") -> "Sampler":
        """With the weights of `denoiser.pt`, or of the distilled `student.pt`."""
        decoder = config.folder / "decoder.pt"
        path = decoder if decoder.exists() else config.folder / "autoencoder.pt"
        denoiser, _ = load_denoiser(config.folder / checkpoint)
        return cls(denoiser, load_autoencoder(path), *stats(config.folder))

    @torch.no_grad()
    def latents(self, captions: list[str], guidance: float, steps: int, noise: Tensor) -> Tensor:
        """Normalised latents f32 [n,16,8,8], from noise of that shape."""
        count, x = len(captions), noise.to(device())
        text, mask = (z.to(device()) for z in self.encoder(captions))
        if not self.denoiser.guided:
            empty, short = (z.to(device()) for z in self.encoder([""]))
            text = torch.cat([text, empty.expand(count, -1, -1)])
            mask = torch.cat([mask, short.expand(count, -1)])
        times = torch.linspace(1, 0, steps + 1, device=device())
        for now, following in pairwise(times):
            with autocast():
                velocity = guided_velocity(self.denoiser, x, now.expand(count), text, mask, guidance)
            x = x + (following - now) * velocity
        return x

    @torch.no_grad()
    def decode(self, latents: Tensor) -> np.ndarray:
        """uint8 RGB [n,128,128,3] of normalised latents."""
        raw = (latents * self.deviation + self.mean).contiguous(memory_format=torch.channels_last)
        with autocast():
            pictures = torch.cat([self.autoencoder.decode(part) for part in raw.split(32)]).float()
        return ((pictures.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()

    def __call__(self, captions: list[str], guidance: float = 3.0, steps: int = 8, seed: int = 0) -> np.ndarray:
        start, parts = initial_noise(len(captions), seed), []
        for i in range(0, len(captions), 128):
            parts.append(self.decode(self.latents(captions[i : i + 128], guidance, steps, start[i : i + 128])))
        return np.concatenate(parts)


def sheet(pictures: np.ndarray, titles: list[str], columns: int, path: Path) -> None:
    """Saves captioned pictures as one image."""
    size, top = pictures.shape[1], 14
    rows = -(-len(pictures) // columns)
    image = Image.new("RGB", (columns * (size + 4), rows * (size + top + 4)), (225, 225, 225))
    draw = ImageDraw.Draw(image)
    for i, (picture, title) in enumerate(zip(pictures, titles, strict=True)):
        x, y = i % columns * (size + 4) + 2, i // columns * (size + top + 4)
        image.paste(Image.fromarray(picture), (x, y + top))
        draw.text((x, y + 1), title[:21], fill=(0, 0, 0))
    image.save(path)
