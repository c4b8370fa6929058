"""Checkpoints that survive a kill at any moment."""

import os
from pathlib import Path

import torch


def save(path: Path, state: dict) -> None:
    """Writes beside the target, then renames over it; the one before stays as `.previous`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".writing")
    with fresh.open("wb") as out:
        torch.save(state, out)
        out.flush()
        os.fsync(out.fileno())
    if path.exists():
        previous = path.with_suffix(".previous")
        previous.unlink(missing_ok=True)
        os.link(path, previous)
    os.replace(fresh, path)


def load(path: Path) -> dict:
    """Tensors and plain values alone: a checkpoint cannot run code."""
    return torch.load(path, map_location="cpu", weights_only=True)
