"""Latents of every recipe, computed once with a frozen encoder."""

import time
from pathlib import Path

import numpy as np
import torch

from .config import Config
from .dataset import load_originals, load_recipes
from .render import render
from .train_autoencoder import as_tensor, autocast, load_autoencoder

BATCH = 64


def _rows(config: Config, part: int, parts: int) -> tuple[int, range]:
    total = len(load_recipes(config.folder / "data"))
    return total, range(part * total // parts, (part + 1) * total // parts)


@torch.no_grad()
def encode_part(config: Config, part: int, parts: int) -> None:
    """Writes latents-PART.npy: f16 [rows,2,16,8,8], each picture and its mirror image.

    Where a mirror image would belie the caption, the second is the first again.
    """
    torch.set_num_threads(1)
    recipes = load_recipes(config.folder / "data")
    originals, _ = load_originals(config.folder / "data")
    model = load_autoencoder(config.folder / "autoencoder.pt")
    _, rows = _rows(config, part, parts)
    found, started = [], time.monotonic()
    for start in range(rows.start, rows.stop, BATCH):
        chosen = recipes[start : min(start + BATCH, rows.stop)]
        plain = as_tensor([render(r, originals) for r in chosen])
        mirrored = torch.tensor([r.mirrors for r in chosen], device=plain.device).view(-1, 1, 1, 1)
        with autocast():
            one = model.encode(plain).float()
            two = model.encode(plain.flip(-1)).float()
        found.append(torch.stack([one, torch.where(mirrored, two, one)], 1).half().cpu().numpy())
        if start // BATCH % 50 == 0:
            print(f"latents {start - rows.start}/{len(rows)} {time.monotonic() - started:.0f}s", flush=True)
    np.save(config.folder / f"latents-{part}.npy", np.concatenate(found))


def join(config: Config, parts: int) -> None:
    """Joins the parts into latents.npy, normalised a channel; writes latent_stats.npy (mean, deviation)."""
    pieces = [np.load(config.folder / f"latents-{part}.npy") for part in range(parts)]
    latents = torch.from_numpy(np.concatenate(pieces)).float()
    mean, deviation = latents.mean((0, 1, 3, 4)), latents.std((0, 1, 3, 4))
    latents = (latents - mean.view(-1, 1, 1)) / deviation.view(-1, 1, 1)
    np.save(config.folder / "latents.npy", latents.half().numpy())
    np.save(config.folder / "latent_stats.npy", torch.stack([mean, deviation]).numpy())
    for part in range(parts):
        (config.folder / f"latents-{part}.npy").unlink()


def stats(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation of each latent channel, shaped [16,1,1]."""
    mean, deviation = torch.from_numpy(np.load(folder / "latent_stats.npy"))
    return mean.view(-1, 1, 1), deviation.view(-1, 1, 1)
