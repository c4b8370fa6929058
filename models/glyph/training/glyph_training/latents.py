"""Latents of every recipe, computed once with a frozen encoder."""

import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from .config import Config
from .dataset import load_recipes
from .device import autocast, device
from .drawn import Drawn
from .train_autoencoder import load_autoencoder

BATCH = 64


def encode(config: Config, processes: int) -> None:
    """Writes latents.npy and latent_stats.npy in the run's folder."""
    total = len(load_recipes(config.folder / "data"))
    parts = [(config, i * total // processes, (i + 1) * total // processes) for i in range(processes)]
    if processes == 1:
        found = [_encode_part(*parts[0])]
    else:
        with get_context("spawn").Pool(processes, torch.set_num_threads, (1,)) as pool:
            found = pool.starmap(_encode_part, parts, chunksize=1)
    _write(config.folder, torch.from_numpy(np.concatenate(found)).float())


@torch.no_grad()
def _encode_part(config: Config, first: int, end: int) -> np.ndarray:
    """f16 [rows,2,16,8,8], each picture and its mirror image.

    Where a mirror image would belie the caption, the second is the first again.
    """
    recipes, pictures = load_recipes(config.folder / "data"), Drawn(config.folder)
    model = load_autoencoder(config.folder / "autoencoder.pt")
    mirrors = torch.tensor([r.mirrors for r in recipes], device=device()).view(-1, 1, 1, 1)
    found, started = [], time.monotonic()
    for start in range(first, end, BATCH):
        rows = torch.arange(start, min(start + BATCH, end), device=device())
        plain = pictures.batch(rows)
        with autocast():
            one = model.encode(plain).float()
            two = model.encode(plain.flip(-1)).float()
        found.append(torch.stack([one, torch.where(mirrors[rows], two, one)], 1).half().cpu().numpy())
        if (start - first) // BATCH % 50 == 0:
            print(f"latents {start - first}/{end - first} {time.monotonic() - started:.0f}s", flush=True)
    return np.concatenate(found)


def _write(folder: Path, latents: torch.Tensor) -> None:
    """latents.npy, normalised a channel, and latent_stats.npy (mean, deviation)."""
    mean, deviation = latents.mean((0, 1, 3, 4)), latents.std((0, 1, 3, 4))
    latents = (latents - mean.view(-1, 1, 1)) / deviation.view(-1, 1, 1)
    np.save(folder / "latents.npy", latents.half().numpy())
    np.save(folder / "latent_stats.npy", torch.stack([mean, deviation]).numpy())


def stats(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation of each latent channel, shaped [16,1,1]."""
    mean, deviation = torch.from_numpy(np.load(folder / "latent_stats.npy"))
    return mean.view(-1, 1, 1), deviation.view(-1, 1, 1)
