"""Where models run, and how arrays get there."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def autocast() -> torch.autocast:
    return torch.autocast(device().type, torch.bfloat16)


def array(path: Path) -> Tensor:
    """A saved array: memory-mapped on a CPU, whole on a GPU."""
    return torch.from_numpy(np.load(path, mmap_mode="c")).to(device())
