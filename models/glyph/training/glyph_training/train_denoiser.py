"""Trains the denoiser on cached latents and caption embeddings."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from . import checkpoint
from .config import Config
from .dataset import load_recipes
from .denoiser import Denoiser
from .parallel import Group
from .text import TextTable
from .train_autoencoder import KEPT, autocast, device
from .trainer import Trainer

DROPPED_CAPTIONS = 0.1
# Timesteps follow the logistic of a normal with this mean: a little more noise than signal.
TIMESTEP_SHIFT = 0.2
# Names of the weights that Muon trains.
INNER = r"blocks|before.*(first|second)|after.*(first|second)"


class Pairs:
    """Latents with their captions; rows kept for measuring are never drawn."""

    def __init__(self, folder: Path):
        self.latents = np.load(folder / "latents.npy", mmap_mode="r")
        self.table = TextTable.load(folder)
        index = self.table.index()
        recipes = load_recipes(folder / "data")
        self.captions = [[index[c] for c in r.captions] for r in recipes]
        weights = torch.tensor([r.weight for r in recipes], dtype=torch.double)
        weights[::KEPT] = 0
        self.weights = weights
        self.kept = list(range(0, len(recipes), KEPT))

    def draw(
        self, size: int, chance: torch.Generator, dropped: float = DROPPED_CAPTIONS
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Latents f32 [n,16,8,8], text f32 [n,16,384], mask bool [n,16]; a share of `dropped` captions is empty."""
        rows = torch.multinomial(self.weights, size, replacement=True, generator=chance).tolist()
        mirror = torch.randint(2, (size,), generator=chance).tolist()
        pick = torch.rand(size, generator=chance).tolist()
        empty = (torch.rand(size, generator=chance) < dropped).tolist()
        words = [
            self.table.empty if d else self.captions[r][int(p * len(self.captions[r]))]
            for r, p, d in zip(rows, pick, empty, strict=True)
        ]
        latents = np.stack([self.latents[r, m] for r, m in zip(rows, mirror, strict=True)])
        return torch.from_numpy(latents).float(), *self.table.batch(words)


def flow_loss(model: Denoiser, latents: Tensor, text: Tensor, mask: Tensor, chance: torch.Generator) -> Tensor:
    """Mean squared error of the velocity at random timesteps."""
    noise = torch.randn(latents.shape, generator=chance)
    timestep = torch.sigmoid(torch.randn(len(latents), generator=chance) + TIMESTEP_SHIFT)
    t = timestep.view(-1, 1, 1, 1)
    noisy = ((1 - t) * latents + t * noise).contiguous(memory_format=torch.channels_last)
    where = device()
    with autocast():
        velocity = model(noisy.to(where), timestep.to(where), text.to(where), mask.to(where))
    return (velocity - (noise - latents).to(where)).square().mean()


def train(config: Config, resume: bool, seconds: float | None) -> None:
    """Writes `denoiser.pt` in the run's folder."""
    stage, group = config.denoiser, Group()
    pairs = Pairs(config.folder)
    torch.manual_seed(stage.seed)
    model = Denoiser(**stage.model).to(device(), memory_format=torch.channels_last)
    trainer = Trainer(model, stage, group, config.folder / "denoiser.pt", INNER)
    if resume:
        trainer.resume()
    trainer.run(lambda chance: flow_loss(model, *pairs.draw(stage.batch, chance), chance), seconds)
    group.close()


def load_denoiser(path: Path) -> tuple[Denoiser, int]:
    """The averaged weights of a checkpoint, and the samples it has seen."""
    state = checkpoint.load(path)
    model = Denoiser(**state["settings"])
    model.load_state_dict(state["ema"])
    model.eval().requires_grad_(False).to(device(), memory_format=torch.channels_last)
    return model, state["samples"]


@torch.no_grad()
def measure(config: Config, limit: int = 768) -> tuple[float, int]:
    """Loss on pairs kept from training at fixed noise and timesteps, and the samples seen."""
    pairs = Pairs(config.folder)
    model, seen = load_denoiser(config.folder / "denoiser.pt")
    chance = torch.Generator().manual_seed(0)
    total, rows = 0.0, pairs.kept[:limit]
    for start in range(0, len(rows), 128):
        some = rows[start : start + 128]
        latents = torch.from_numpy(np.stack([pairs.latents[r, 0] for r in some])).float()
        text, mask = pairs.table.batch([pairs.captions[r][0] for r in some])
        total += float(flow_loss(model, latents, text, mask, chance)) * len(some)
    return total / len(rows), seen
