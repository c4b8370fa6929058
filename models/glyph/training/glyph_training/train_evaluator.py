"""Trains the judge on three quarters of the pictures that the generator is trained on.

The judge's "seen" prompts come from the other quarter: the generator knows
their pictures, the judge does not, and held-out pairs are unknown to both.
"""

import json

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from . import checkpoint
from .config import Config
from .dataset import load_originals, load_recipes
from .device import autocast, device
from .drawn import Drawn, as_tensor
from .evaluator import Judge, contrastive_loss
from .parallel import Group
from .render import Layer, Recipe
from .split import kept_from_judge
from .text import Captions, TextTable, sentence
from .train_autoencoder import KEPT
from .trainer import Trainer

# Names of the weights that Muon trains.
INNER = r"body"


def held_out_recipes(config: Config) -> list[Recipe]:
    """The real pictures of held-out (concept, style) pairs, which nothing is trained on."""
    _, records = load_originals(config.folder / "data")
    held = {tuple(pair) for pair in json.loads((config.folder / "data" / "heldout.json").read_text())}
    return [
        Recipe(
            "held_out", r["style"], [Layer(i)], [f"{r['concept'].name}, {r['style']} style"], names=[r["concept"].name]
        )
        for i, r in enumerate(records)
        if (r["concept"].name, r["style"]) in held
    ]


def shown(recipe: Recipe, index: int) -> bool:
    """Whether the judge is trained on a recipe: one of its pictures kept from it keeps the whole of it."""
    return index % KEPT != 0 and not any(kept_from_judge(name, recipe.style) for name in recipe.names)


def views(pictures: Tensor, chance: torch.Generator) -> Tensor:
    """64x64 views: shrunk, each shifted by up to six pixels, with a little noise."""
    small, count, where = F.pad(F.avg_pool2d(pictures, 2), (6, 6, 6, 6), value=1.0), len(pictures), pictures.device
    corner = torch.randint(13, (2, count, 1), generator=chance, device=where)
    y, x = corner + torch.arange(64, device=where)
    small = small[torch.arange(count, device=where).view(-1, 1, 1), :, y.unsqueeze(2), x.unsqueeze(1)]
    small = small.permute(0, 3, 1, 2)
    return small + 0.05 * torch.randn(small.shape, generator=chance, device=where)


def plain_views(pictures: np.ndarray) -> Tensor:
    """uint8 RGB [n,128,128,3] or [n,64,64,3] -> what the judge sees of them."""
    return F.adaptive_avg_pool2d(as_tensor(pictures), 64)


def train(config: Config, resume: bool, seconds: float | None) -> None:
    """Writes `evaluator.pt` in the run's folder."""
    stage, group = config.evaluator, Group()
    pictures, table = Drawn(config.folder), TextTable.load(config.folder)
    recipes = load_recipes(config.folder / "data")
    captions = Captions(recipes, table)
    weights = torch.tensor([r.weight * shown(r, i) for i, r in enumerate(recipes)], dtype=torch.double).to(device())
    torch.manual_seed(stage.seed)
    judge = Judge(**stage.model).to(device(), memory_format=torch.channels_last)
    trainer = Trainer(judge, stage, group, config.folder / "evaluator.pt", INNER)
    if resume:
        trainer.resume()

    def loss_of(chance: torch.Generator) -> Tensor:
        rows = torch.multinomial(weights, stage.batch, replacement=True, generator=chance)
        wanted = sentence(*table.batch(captions.drawn(rows, chance)))
        seen = views(pictures.batch(rows), chance).contiguous(memory_format=torch.channels_last)
        with autocast():
            found = judge(seen)
        return contrastive_loss(found.float(), wanted, judge.log_scale.exp().clamp(max=100))

    trainer.run(loss_of, seconds)
    group.close()


def load_judge(config: Config) -> Judge:
    state = checkpoint.load(config.folder / "evaluator.pt")
    judge = Judge(**state["settings"])
    judge.load_state_dict(state["ema"])
    return judge.eval().requires_grad_(False).to(device())
