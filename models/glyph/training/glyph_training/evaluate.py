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
        self.originals = [r for i, r in enumerate(recipes) if r.kind == "original" and i % KEPT]
        self.of: dict[str, list[Recipe]] = {
            "seen": chance.sample(seen, min(limit, len(seen))),
            "held-out": held_out_recipes(config)[:limit],
            "composition": composed[:limit],
        }
        pool = sorted({r.captions[0] for r in seen + composed})
        self.distractors = chance.sample(pool, min(DISTRACTORS, len(pool)))


@torch.no_grad()
def evaluate(config: Config, guidances: list[float], step_counts: list[int], limit: int) -> list[dict]:
    """Prints and writes evaluation.json, one entry a split and setting; guidance None is real pictures.

    `closer_than_real`: share of pictures whose nearest training picture, by the
    judge's features, is closer than the median training picture is to its nearest other.
    """
    originals, _ = load_originals(config.folder / "data")
    splits, judge, sampler, encoder = Splits(config, limit), load_judge(config), Sampler.load(config), TextEncoder()
    distractors = sentence(*encoder(splits.distractors))
    results = []

    def features(pictures: np.ndarray) -> Tensor:
        parts = [judge.describe(plain_views(pictures[i : i + 64])) for i in range(0, len(pictures), 64)]
        return F.normalize(torch.cat(parts), dim=-1).cpu()

    def score(split: str, pictures: np.ndarray, captions: Tensor, **setting: object) -> Tensor:
        seen = torch.cat([judge(plain_views(pictures[i : i + 64])) for i in range(0, len(pictures), 64)])
        precision = r_precision(seen.cpu(), captions, distractors)
        results.append({"split": split, **setting, "prompts": len(pictures), "r_precision": round(precision, 4)})
        return features(pictures)

    training = torch.cat([features(render(r, originals)[None]) for r in splits.originals])
    apart = nearest(training, training, skip_self=True).median()

    for split, recipes in splits.of.items():
        if not recipes:
            continue
        prompts = [r.captions[0] for r in recipes]
        captions = sentence(*encoder(prompts))
        real_pictures = np.stack([render(r, originals) for r in recipes])
        real = score(split, real_pictures, captions, guidance=None, steps=None)
        for guidance in guidances:
            for steps in step_counts:
                made = score(split, sampler(prompts, guidance, steps), captions, guidance=guidance, steps=steps)
                if len(real) > 1:
                    results[-1]["kernel_distance"] = round(kernel_distance(real, made), 5)
                closest = nearest(made, training)
                results[-1]["nearest_training"] = round(float(closest.median()), 4)
                results[-1]["closer_than_real"] = round(float((closest < apart).float().mean()), 4)
                print(json.dumps(results[-1]), flush=True)
    (config.folder / "evaluation.json").write_text(json.dumps(results, indent=1))
    return results
