"""Scores on sets whose value is known."""

import torch
import torch.nn.functional as F

from glyph_training import train_evaluator
from glyph_training.dataset import load_recipes
from glyph_training.drawn import Drawn
from glyph_training.evaluator import contrastive_loss, kernel_distance, nearest, r_precision
from glyph_training.text import TextEncoder, encode_all, sentence


def unit(count: int, seed: int, width: int = 384) -> torch.Tensor:
    return F.normalize(torch.randn(count, width, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_r_precision_of_perfect_and_of_random_pictures():
    captions, distractors = unit(200, 0), unit(99, 1)
    assert r_precision(captions, captions, distractors) == 1.0
    low = r_precision(unit(2000, 2), unit(2000, 3), unit(99, 1))
    assert 0.002 < low < 0.03, "chance is one in a hundred"


def test_repeated_captions_are_no_distractors():
    captions = unit(5, 0)
    assert r_precision(captions, captions, captions) == 1.0


def test_kernel_distance_is_zero_within_and_large_between():
    same = kernel_distance(unit(400, 0, 32), unit(400, 1, 32))
    moved = kernel_distance(unit(400, 0, 32), F.normalize(unit(400, 1, 32) + 0.3, dim=-1))
    assert abs(same) < 0.02
    assert moved > 1


def test_kernel_distance_does_not_count_pairs_of_one_prompt():
    real = unit(400, 0, 32)
    assert abs(kernel_distance(real, real)) < 1e-4
    assert abs(kernel_distance(real, F.normalize(real + 0.1 * unit(400, 1, 32), dim=-1))) < 0.01


def test_nearest_skips_a_row_itself():
    rows = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])
    assert nearest(rows, rows).tolist() == [0.0, 0.0, 0.0]
    assert nearest(rows, rows, skip_self=True).tolist() == [1.0, torch.tensor(18.0).sqrt().item(), 1.0]


def test_contrastive_loss_rewards_the_right_pairs_and_forgives_equal_captions():
    captions = unit(16, 0)
    captions[1] = captions[0]
    scale = torch.tensor(20.0)
    right = contrastive_loss(captions, captions, scale)
    wrong = contrastive_loss(captions.roll(3, 0), captions, scale)
    # Two of the sixteen captions are equal: each of them can be told from its twin half of the time.
    assert abs(float(right) - 2 / 16 * torch.log(torch.tensor(2.0)).item()) < 0.01
    assert wrong > 5


def test_the_judge_learns_which_picture_a_caption_belongs_to(shapes):
    recipes = load_recipes(shapes.folder / "data")
    encode_all([c for r in recipes for c in r.captions], shapes.folder)
    train_evaluator.train(shapes, resume=False, seconds=None)
    judge, pictures = train_evaluator.load_judge(shapes), Drawn(shapes.folder)
    rows = torch.tensor([i for i, r in enumerate(recipes) if train_evaluator.shown(r, i)])
    captions = sentence(*TextEncoder()([recipes[i].captions[0] for i in rows]))
    found = judge(F.avg_pool2d(pictures.batch(rows), 2)).cpu()
    share = r_precision(found, captions, captions)
    print(f"R-precision {share:.2f} among {len(rows)} captions, {1 / len(rows):.2f} by chance")
    assert share > 4 / len(rows)
