"""Measures makers of pictures on three splits: R-precision, kernel distance, originality.

Makers are the run's own models and exported packages, beside real pictures
(the ceiling) and chance.
"""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .config import Config
from .dataset import load_originals, load_recipes
from .evaluator import kernel_distance, nearest, r_precision
from .render import Recipe, render
from .split import kept_from_judge
from .text import TextEncoder, sentence
from .train_autoencoder import KEPT
from .train_evaluator import held_out_recipes, load_judge, plain_views

COMPOSITIONS = ("worn", "pair", "coloured_pair", "count", "on", "scene")
DISTRACTORS = 499
REFERENCE = "full"


@dataclass
class Maker:
    """`draw(captions, guidance, steps)` gives uint8 RGB [n,height,width,3]."""

    name: str
    draw: Callable[[list[str], float, int], np.ndarray]
    settings: list[tuple[float, int]] = field(default_factory=lambda: [(3.0, 8)])


class Splits:
    """Prompts with their real pictures, none of which the judge was trained on.

    `seen`: the generator was trained on the picture. `held-out`: on the concept in other styles alone.
    `composition`: on other combinations; the judge knows parts of them.
    """

    def __init__(self, config: Config, limit: int):
        chance = random.Random(0)
        recipes = load_recipes(config.folder / "data")
        trained = [r for i, r in enumerate(recipes) if r.kind == "original" and i % KEPT]
        seen = [r for r in trained if r.weight >= 1 and kept_from_judge(r.names[0], r.style)]
        composed = [r for r in recipes[::KEPT] if r.kind in COMPOSITIONS]
        held = held_out_recipes(config)
        self.originals = trained
        self.of: dict[str, list[Recipe]] = {
            name: chance.sample(found, min(limit, len(found)))
            for name, found in (("seen", seen), ("held-out", held), ("composition", composed))
        }
        pool = sorted({r.captions[0] for r in trained if r.weight >= 1} | {r.captions[0] for r in composed})
        self.distractors = chance.sample(pool, min(DISTRACTORS, len(pool)))


class Scorer:
    """What the judge says of pictures."""

    def __init__(self, config: Config, splits: Splits, originals: np.ndarray, encoder: TextEncoder):
        self.judge = load_judge(config)
        self.distractors = sentence(*encoder(splits.distractors))
        self.training = torch.cat([self.features(render(r, originals)[None]) for r in splits.originals])
        self.apart = nearest(self.training, self.training, skip_self=True).median()

    def features(self, pictures: np.ndarray) -> Tensor:
        return F.normalize(self._run(self.judge.describe, pictures), dim=-1)

    def precision(self, pictures: np.ndarray, captions: Tensor) -> float:
        return r_precision(self._run(self.judge, pictures), captions, self.distractors)

    def originality(self, features: Tensor) -> dict[str, float]:
        """`closer_than_real`: share of pictures whose nearest training picture, by the judge's features, is
        closer than the median training picture is to its nearest other."""
        closest = nearest(features, self.training)
        return {
            "nearest_training": round(float(closest.median()), 4),
            "closer_than_real": round(float((closest < self.apart).float().mean()), 4),
        }

    @staticmethod
    def _run(part: Callable[[Tensor], Tensor], pictures: np.ndarray) -> Tensor:
        return torch.cat([part(plain_views(pictures[i : i + 64])).cpu() for i in range(0, len(pictures), 64)])


@torch.no_grad()
def evaluate(config: Config, makers: list[Maker], limit: int) -> list[dict]:
    """Prints entries and writes evaluation.json, one a split, maker and setting.

    A package's entry has the PSNR to the pictures of the package `full` where that came before it.
    """
    originals, _ = load_originals(config.folder / "data")
    splits, encoder = Splits(config, limit), TextEncoder()
    scorer = Scorer(config, splits, originals, encoder)
    results: list[dict] = []

    def note(split: str, maker: str, pictures: int, precision: float, **more: object) -> None:
        results.append(
            {"split": split, "maker": maker, "prompts": pictures, "r_precision": round(precision, 4), **more}
        )
        print(json.dumps(results[-1]), flush=True)

    for split, recipes in splits.of.items():
        if not recipes:
            continue
        prompts = [r.captions[0] for r in recipes]
        captions = sentence(*encoder(prompts))
        real_pictures = np.stack([render(r, originals) for r in recipes])
        real, reference = scorer.features(real_pictures), {}
        note(split, "chance", len(prompts), 1 / (1 + len(splits.distractors)))
        note(split, "real", len(prompts), scorer.precision(real_pictures, captions))
        for maker in makers:
            for guidance, steps in maker.settings:
                pictures = maker.draw(prompts, guidance, steps)
                features = scorer.features(pictures)
                more: dict[str, object] = {"guidance": guidance, "steps": steps}
                if len(real) > 1:
                    more["kernel_distance"] = round(kernel_distance(real, features), 5)
                if maker.name == REFERENCE:
                    reference[guidance, steps] = pictures
                elif (same := reference.get((guidance, steps))) is not None and same.shape == pictures.shape:
                    more["psnr_to_full"] = round(mean_psnr(pictures, same), 2)
                note(split, maker.name, len(prompts), scorer.precision(pictures, captions), **more,
                     **scorer.originality(features))  # fmt: skip
        (config.folder / "evaluation.json").write_text(json.dumps(results, indent=1))
    return results


def mean_psnr(pictures: np.ndarray, expected: np.ndarray) -> float:
    """Decibels, the mean over pictures of uint8 [n,h,w,3]; equal pictures count as 80."""
    error = np.square(pictures.astype(np.float64) - expected).mean((1, 2, 3))
    return float(np.minimum(80, 10 * np.log10(255**2 / np.maximum(error, 1e-9))).mean())
