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
from .evaluator import Judge, contrastive_loss
from .parallel import Group
from .render import Layer, Recipe, render
from .split import kept_from_judge
from .text import TextTable, sentence
from .train_autoencoder import KEPT, as_tensor, autocast, device
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
    """64x64 views: shrunk, shifted by up to six pixels, with a little noise."""
    small = F.pad(F.avg_pool2d(pictures, 2), (6, 6, 6, 6), value=1.0)
    x, y = torch.randint(13, (2,), generator=chance).tolist()
    small = small[..., y : y + 64, x : x + 64]
    return small + 0.05 * torch.randn(small.shape, generator=chance).to(small)


def plain_views(pictures: np.ndarray) -> Tensor:
    """uint8 RGB [n,128,128,3] or [n,64,64,3] -> what the judge sees of them."""
    return F.adaptive_avg_pool2d(as_tensor(list(pictures)), 64)


def train(config: Config, resume: bool, seconds: float | None) -> None:
    """Writes `evaluator.pt` in the run's folder."""
    stage, group = config.evaluator, Group()
    originals, _ = load_originals(config.folder / "data")
    recipes = load_recipes(config.folder / "data")
    table = TextTable.load(config.folder)
    index = table.index()
    weights = torch.tensor([r.weight * shown(r, i) for i, r in enumerate(recipes)], dtype=torch.double)
    torch.manual_seed(stage.seed)
    judge = Judge(**stage.model).to(device(), memory_format=torch.channels_last)
    trainer = Trainer(judge, stage, group, config.folder / "evaluator.pt", INNER)
    if resume:
        trainer.resume()

    def loss_of(chance: torch.Generator) -> Tensor:
        rows = torch.multinomial(weights, stage.batch, replacement=True, generator=chance).tolist()
        pictures = as_tensor([render(recipes[i], originals) for i in rows])
        picks = torch.rand(len(rows), generator=chance).tolist()
        words = [recipes[i].captions[int(p * len(recipes[i].captions))] for i, p in zip(rows, picks, strict=True)]
        captions = sentence(*table.batch([index[w] for w in words])).to(device())
        seen = views(pictures, chance).contiguous(memory_format=torch.channels_last)
        with autocast():
            found = judge(seen)
        return contrastive_loss(found.float(), captions, judge.log_scale.exp().clamp(max=100))

    trainer.run(loss_of, seconds)
    group.close()


def load_judge(config: Config) -> Judge:
    state = checkpoint.load(config.folder / "evaluator.pt")
    judge = Judge(**state["settings"])
    judge.load_state_dict(state["ema"])
    return judge.eval().requires_grad_(False).to(device())
