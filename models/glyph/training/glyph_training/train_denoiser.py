"""Trains the denoiser on cached latents and caption embeddings."""

from pathlib import Path

import torch
from torch import Tensor

from . import checkpoint
from .config import Config
from .dataset import load_recipes
from .denoiser import Denoiser
from .device import array, autocast, device
from .parallel import Group
from .text import Captions, TextTable
from .train_autoencoder import KEPT
from .trainer import Trainer

DROPPED_CAPTIONS = 0.1
# Timesteps follow the logistic of a normal with this mean: a little more noise than signal.
TIMESTEP_SHIFT = 0.2
# Names of the weights that Muon trains.
INNER = r"blocks|before.*(first|second)|after.*(first|second)"


class Pairs:
    """Latents with their captions; rows kept for measuring are never drawn."""

    def __init__(self, folder: Path):
        self.latents = array(folder / "latents.npy")
        self.table = TextTable.load(folder)
        recipes = load_recipes(folder / "data")
        self.captions = Captions(recipes, self.table)
        weights = torch.tensor([r.weight for r in recipes], dtype=torch.double)
        weights[::KEPT] = 0
        self.weights = weights.to(device())
        self.kept = torch.arange(0, len(recipes), KEPT, device=device())

    def draw(
        self, size: int, chance: torch.Generator, dropped: float = DROPPED_CAPTIONS
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Latents f32 [n,16,8,8], text f32 [n,16,384], mask bool [n,16]; a share of `dropped` captions is empty."""
        rows = torch.multinomial(self.weights, size, replacement=True, generator=chance)
        mirror = torch.randint(2, (size,), generator=chance, device=device())
        empty = torch.rand(size, generator=chance, device=device()) < dropped
        words = self.captions.drawn(rows, chance).masked_fill(empty, self.table.empty)
        text, mask = self.table.batch(words)
        return self.latents[rows, mirror].float(), text, mask

    def plain(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As `draw`, of these rows int64 [n], unmirrored and with their first captions."""
        return self.latents[rows, 0].float(), *self.table.batch(self.captions.plain(rows))


def noised(latents: Tensor, chance: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Latents f32 [n,16,8,8] at random timesteps, the timesteps f32 [n], and the velocity there."""
    noise = torch.randn(latents.shape, generator=chance, device=chance.device).to(latents.device)
    timestep = torch.randn(len(latents), generator=chance, device=chance.device).to(latents.device)
    timestep = torch.sigmoid(timestep + TIMESTEP_SHIFT)
    t = timestep.view(-1, 1, 1, 1)
    noisy = ((1 - t) * latents + t * noise).contiguous(memory_format=torch.channels_last)
    return noisy, timestep, noise - latents


def flow_loss(model: Denoiser, latents: Tensor, text: Tensor, mask: Tensor, chance: torch.Generator) -> Tensor:
    """Mean squared error of the velocity at random timesteps."""
    noisy, timestep, velocity = noised(latents, chance)
    with autocast():
        found = model(noisy, timestep, text, mask)
    return (found - velocity).square().mean()


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
    for some in rows.split(128):
        total += float(flow_loss(model, *pairs.plain(some), chance)) * len(some)
    return total / len(rows), seen
