"""Trains the autoencoder on drawn recipes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from . import checkpoint
from .autoencoder import Autoencoder, latent_penalty, psnr, reconstruction_loss
from .config import Config, Stage
from .dataset import load_recipes
from .device import autocast, device
from .drawn import Drawn
from .parallel import Group
from .trainer import Trainer

# Latents are blurred with this much noise, so that the decoder forgives the denoiser's errors.
LATENT_NOISE = 0.1
SWAPPED_COLOURS = 0.3
# One recipe in this many is kept from the autoencoder, to measure it.
KEPT = 97
# Names of the weights that Muon trains.
INNER = r"encoder|decoder"


def augmented(pictures: Tensor, chance: torch.Generator) -> Tensor:
    """Pictures [n,3,h,w] mirrored half of the time, with colour channels swapped some of the time."""
    count, where = len(pictures), pictures.device
    swapped = torch.rand(count, generator=chance, device=where) < SWAPPED_COLOURS
    order = torch.rand(count, 3, generator=chance, device=where).argsort(1)
    order = torch.where(swapped.unsqueeze(1), order, torch.arange(3, device=where))
    pictures = pictures[torch.arange(count, device=where).unsqueeze(1), order]
    mirrored = torch.rand(count, generator=chance, device=where) < 0.5
    pictures = torch.where(mirrored.view(-1, 1, 1, 1), pictures.flip(-1), pictures)
    return pictures.contiguous(memory_format=torch.channels_last)


def train(config: Config, resume: bool, seconds: float | None) -> None:
    """Writes `autoencoder.pt` in the run's folder."""
    torch.manual_seed(config.autoencoder.seed)
    model = Autoencoder(**config.autoencoder.model).to(device(), memory_format=torch.channels_last)
    _train(config, config.autoencoder, model, "autoencoder.pt", resume, seconds)


def train_decoder(config: Config, resume: bool, seconds: float | None) -> None:
    """Goes on with the decoder alone, so that cached latents stay valid; writes `decoder.pt`."""
    model = load_autoencoder(config.folder / "autoencoder.pt")
    model.decoder.requires_grad_(True)
    stage = replace(config.decoder, model=config.autoencoder.model)
    _train(config, stage, model, "decoder.pt", resume, seconds)


def _train(config: Config, stage: Stage, model: Autoencoder, name: str, resume: bool, seconds: float | None) -> None:
    group, pictures = Group(), Drawn(config.folder)
    weights = torch.tensor([0.3 + 0.7 * r.weight for r in load_recipes(config.folder / "data")])
    weights[::KEPT] = 0
    weights = weights.to(device())
    trainer = Trainer(model, stage, group, config.folder / name, INNER)
    if resume:
        trainer.resume()

    def loss_of(chance: torch.Generator) -> Tensor:
        rows = torch.multinomial(weights, stage.batch, replacement=True, generator=chance)
        target = augmented(pictures.batch(rows), chance)
        blur = LATENT_NOISE * torch.randn(stage.batch, *model.latent_shape, generator=chance, device=device())
        with autocast():
            output, latents = model(target, blur)
        return reconstruction_loss(output.float(), target) + latent_penalty(latents.float())

    trainer.run(loss_of, seconds)
    group.close()


def load_autoencoder(path: Path) -> Autoencoder:
    """The averaged weights of a checkpoint, ready to use."""
    state = checkpoint.load(path)
    model = Autoencoder(**state["settings"])
    model.load_state_dict(state["ema"])
    return model.eval().requires_grad_(False).to(device(), memory_format=torch.channels_last)


@torch.no_grad()
def measure(config: Config, name: str, limit: int = 256) -> tuple[float, np.ndarray]:
    """PSNR in dB of checkpoint `name` on recipes kept from training, and a grid with reconstructions."""
    pictures, model = Drawn(config.folder), load_autoencoder(config.folder / name)
    target = pictures.batch(torch.arange(0, len(pictures.pictures), KEPT)[:limit])
    output = torch.cat([model.decode(model.encode(t)) for t in target.split(32)])
    pairs = torch.stack([target, output], 1)[: 64 if limit >= 64 else limit].clamp(-1, 1)
    tiles = ((pairs + 1) * 127.5).round().byte().cpu().numpy()
    rows = len(tiles) // 8
    grid = tiles[: rows * 8].reshape(rows, 16, 3, 128, 128).transpose(0, 3, 1, 4, 2).reshape(rows * 128, 16 * 128, 3)
    return psnr(output, target), grid
