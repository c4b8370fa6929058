"""Measures a run: R-precision of seen, held-out and composed prompts beside real pictures."""

import json
import random

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .config import Config
from .dataset import load_originals, load_recipes
from .evaluator import kernel_distance, nearest, r_precision
from .render import Recipe, render
from .sample import Sampler
from .text import TextEncoder, sentence
from .train_autoencoder import KEPT
from .train_evaluator import held_out_recipes, load_judge, plain_views

COMPOSITIONS = ("worn", "pair", "coloured_pair", "count", "on", "scene")
DISTRACTORS = 499


class Splits:
    """Prompts with their real pictures: seen, held out, and compositions kept from training."""

    def __init__(self, config: Config, limit: int):
        chance = random.Random(0)
        recipes = load_recipes(config.folder / "data")
        seen = [r for i, r in enumerate(recipes) if r.kind == "original" and r.weight >= 1 and i % KEPT]
        composed = [r for r in recipes[::KEPT] if r.kind in COMPOSITIONS]
        self.of: dict[str, list[Recipe]] = {
            "seen": chance.sample(seen, min(limit, len(seen))),
            "held-out": held_out_recipes(config)[:limit],
            "composition": composed[:limit],
        }
        pool = sorted({r.captions[0] for r in seen + composed})
        self.distractors = chance.sample(pool, min(DISTRACTORS, len(pool)))


@torch.no_grad()
def evaluate(config: Config, guidances: list[float], step_counts: list[int], limit: int) -> list[dict]:
    """Prints and writes evaluation.json, one entry a split and setting; guidance None is real pictures."""
    originals, _ = load_originals(config.folder / "data")
    splits, judge, sampler, encoder = Splits(config, limit), load_judge(config), Sampler.load(config), TextEncoder()
    distractors = sentence(*encoder(splits.distractors))
    results = []

    def score(split: str, pictures: np.ndarray, captions: Tensor, **setting: object) -> Tensor:
        seen = torch.cat([plain_views(pictures[i : i + 64]) for i in range(0, len(pictures), 64)])
        precision = r_precision(judge(seen).cpu(), captions, distractors)
        results.append({"split": split, **setting, "prompts": len(pictures), "r_precision": round(precision, 4)})
        return F.normalize(judge.describe(seen), dim=-1).cpu()

    for split, recipes in splits.of.items():
        prompts = [r.captions[0] for r in recipes]
        captions = sentence(*encoder(prompts))
        real_pictures = np.stack([render(r, originals) for r in recipes])
        real = score(split, real_pictures, captions, guidance=None, steps=None)
        between = nearest(real, real, skip_self=True)
        for guidance in guidances:
            for steps in step_counts:
                made = score(split, sampler(prompts, guidance, steps), captions, guidance=guidance, steps=steps)
                results[-1]["kernel_distance"] = round(kernel_distance(real, made), 5)
                results[-1]["nearest_training"] = round(float(nearest(made, real).median()), 4)
                results[-1]["closer_than_real"] = round(float((nearest(made, real) < between.median()).float().mean()), 4)
                print(json.dumps(results[-1]), flush=True)
    (config.folder / "evaluation.json").write_text(json.dumps(results, indent=1))
    return results
