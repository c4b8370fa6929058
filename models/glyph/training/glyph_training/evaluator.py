"""A judge that never saw the generator: a picture encoder that predicts a caption's sentence embedding.

Trained on real and composed pictures, with other augmentation than the models
under test. Two captions match as well as their embeddings do, so the score of
real pictures is the ceiling that generated ones are compared with.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Down(nn.Sequential):
    """Halves height and width."""

    def __init__(self, channels: int, out: int):
        super().__init__(
            nn.Conv2d(channels, out, 3, stride=2, padding=1), nn.GroupNorm(8, out), nn.ReLU(),
            nn.Conv2d(out, out, 3, padding=1), nn.GroupNorm(8, out), nn.ReLU(),
        )  # fmt: skip


class Judge(nn.Module):
    """Pictures [n,3,64,64] in [-1,1] -> unit embeddings [n,384] in the space of captions."""

    def __init__(self, width: int = 32):
        super().__init__()
        self.body = nn.Sequential(
            Down(3, width), Down(width, 2 * width), Down(2 * width, 4 * width), Down(4 * width, 8 * width)
        )
        self.features = nn.Linear(8 * width, 256)
        self.head = nn.Linear(256, 384)
        self.log_scale = nn.Parameter(torch.tensor(3.0))

    def describe(self, pictures: Tensor) -> Tensor:
        """Features [n,256], for distances between sets of pictures."""
        return F.relu(self.features(self.body(pictures).mean((2, 3))))

    def forward(self, pictures: Tensor) -> Tensor:
        return F.normalize(self.head(self.describe(pictures)), dim=-1)


def contrastive_loss(pictures: Tensor, captions: Tensor, scale: Tensor) -> Tensor:
    """Each picture against every caption of the batch, and each caption against every picture.

    pictures, captions: unit rows f32 [n,384]. Not for autocast: bf16 cannot tell equal captions.
    """
    logits = scale * pictures @ captions.T
    same = (captions @ captions.T) > 0.999
    target = same.float() / same.sum(1, keepdim=True)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def r_precision(pictures: Tensor, captions: Tensor, distractors: Tensor) -> float:
    """Share of pictures closest to their own caption among it and the distractors.

    pictures, captions [n,384] in order; distractors [m,384] of other captions.
    """
    own = (pictures * captions).sum(-1, keepdim=True)
    other = pictures @ distractors.T
    repeated = (captions @ distractors.T) > 0.999
    return float((own > other.masked_fill(repeated, -2)).all(1).float().mean())


def kernel_distance(real: Tensor, made: Tensor) -> float:
    """Squared maximum mean discrepancy with the cubic kernel of KID (Binkowski et al. 2018) between n pairs.

    Rows are unit features, so that a product is a cosine and needs no division by their width. Row i of both is
    of one prompt: such pairs are left out of the mean between the sets, as in the unbiased statistic of Gretton
    et al. 2012 (lemma 6), or pictures that follow their prompts would count as nearer than the same set.
    """

    def mean(a: Tensor, b: Tensor) -> Tensor:
        kernel = (a @ b.T + 1) ** 3
        return (kernel.sum() - kernel.trace()) / (len(a) * (len(a) - 1))

    return float(mean(real, real) + mean(made, made) - 2 * mean(real, made))


def nearest(made: Tensor, real: Tensor, skip_self: bool = False) -> Tensor:
    """Euclidean distance of each row of `made` to its nearest row of `real`."""
    distance = torch.cdist(made, real)
    if skip_self:
        distance.fill_diagonal_(float("inf"))
    return distance.min(1).values
