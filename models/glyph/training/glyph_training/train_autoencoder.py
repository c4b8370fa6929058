"""Trains the autoencoder on recipes drawn as they are needed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from . import checkpoint
from .autoencoder import Autoencoder, latent_penalty, psnr, reconstruction_loss
from .config import Config, Stage
from .dataset import load_originals, load_recipes
from .parallel import Group
from .render import Recipe, render
from .trainer import Trainer

# Latents are blurred with this much noise, so that the decoder forgives the denoiser's errors.
LATENT_NOISE = 0.1
SWAPPED_COLOURS = 0.3
# One recipe in this many is kept from the autoencoder, to measure it.
KEPT = 97
# Names of the weights that Muon trains.
INNER = r"encoder|decoder"


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def autocast() -> torch.autocast:
    return torch.autocast(device().type, torch.bfloat16)


def as_tensor(pictures: list[np.ndarray]) -> Tensor:
    """uint8 RGB pictures -> f32 [n,3,h,w] in [-1,1], channels last."""
    batch = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return batch.contiguous(memory_format=torch.channels_last).to(device())


def augmented(recipes: list[Recipe], originals: np.ndarray, chance: torch.Generator) -> Tensor:
    """Pictures mirrored half of the time, with colour channels swapped some of the time."""
    pictures = []
    for recipe in recipes:
        picture = render(recipe, originals)
        if torch.rand((), generator=chance) < SWAPPED_COLOURS:
            picture = picture[..., torch.randperm(3, generator=chance).numpy()]
        if torch.rand((), generator=chance) < 0.5:
            picture = picture[:, ::-1]
        pictures.append(picture)
    return as_tensor(pictures)


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
    group = Group()
    recipes, (originals, _) = load_recipes(config.folder / "data"), load_originals(config.folder / "data")
    recipes = [r for i, r in enumerate(recipes) if i % KEPT]
    weights = torch.tensor([0.3 + 0.7 * r.weight for r in recipes], dtype=torch.double)
    trainer = Trainer(model, stage, group, config.folder / name, INNER)
    if resume:
        trainer.resume()

    def loss_of(chance: torch.Generator) -> Tensor:
        rows = torch.multinomial(weights, stage.batch, replacement=True, generator=chance)
        target = augmented([recipes[i] for i in rows.tolist()], originals, chance)
        with autocast():
            latents = model.encode(target)
            noise = torch.randn(latents.shape, generator=chance).to(latents)
            output = model.decode(latents + LATENT_NOISE * noise)
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
    originals, _ = load_originals(config.folder / "data")
    kept = load_recipes(config.folder / "data")[::KEPT][:limit]
    model = load_autoencoder(config.folder / name)
    target = as_tensor([render(r, originals) for r in kept])
    output = torch.cat([model.decode(model.encode(t)) for t in target.split(32)])
    pairs = torch.stack([target, output], 1)[: 64 if limit >= 64 else limit].clamp(-1, 1)
    tiles = ((pairs + 1) * 127.5).round().byte().cpu().numpy()
    rows = len(tiles) // 8
    grid = tiles[: rows * 8].reshape(rows, 16, 3, 128, 128).transpose(0, 3, 1, 4, 2).reshape(rows * 128, 16 * 128, 3)
    return psnr(output, target), grid
