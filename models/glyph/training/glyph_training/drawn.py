"""Every recipe's picture, drawn once and read by all that train on pictures."""

import os
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .dataset import load_originals, load_recipes
from .device import array, device
from .pictures import SIZE
from .render import render

PICTURES = "pictures.npy"


def draw(folder: Path, processes: int) -> None:
    """Writes pictures.npy in the run's folder: uint8 RGB [n,128,128,3], in the order of the recipes."""
    total, path = len(load_recipes(folder / "data")), folder / "pictures.writing"
    pictures = np.lib.format.open_memmap(path, "w+", np.uint8, (total, SIZE, SIZE, 3))
    del pictures
    parts = [range(i * total // processes, (i + 1) * total // processes) for i in range(processes)]
    if processes == 1:
        _draw_part(folder, path, parts[0])
    else:
        with get_context("spawn").Pool(processes) as pool:
            pool.starmap(_draw_part, [(folder, path, part) for part in parts], chunksize=1)
    os.replace(path, folder / PICTURES)


def _draw_part(folder: Path, path: Path, rows: range) -> None:
    recipes, (originals, _) = load_recipes(folder / "data"), load_originals(folder / "data")
    pictures, started = np.load(path, mmap_mode="r+"), time.monotonic()
    for row in rows:
        pictures[row] = render(recipes[row], originals)
        if (row - rows.start) % 5000 == 0:
            print(f"pictures {row - rows.start}/{len(rows)} {time.monotonic() - started:.0f}s", flush=True)
    pictures.flush()


def as_tensor(pictures: np.ndarray | Tensor) -> Tensor:
    """uint8 RGB [n,h,w,3] -> f32 [n,3,h,w] in [-1,1], channels last, on the device that trains."""
    batch = torch.as_tensor(pictures, device=device()).permute(0, 3, 1, 2).float() / 127.5 - 1
    return batch.contiguous(memory_format=torch.channels_last)


class Drawn:
    """The pictures that `draw` wrote."""

    def __init__(self, folder: Path):
        self.pictures = array(folder / PICTURES)

    def batch(self, rows: Tensor) -> Tensor:
        """f32 [n,3,128,128] in [-1,1] of rows int64 [n]."""
        return as_tensor(self.pictures[rows.to(self.pictures.device)])
