"""The manifest's `latent_rgb`: a linear map from a latent to the mean colour of the pixels it stands for, for previews.

Fitted to latents of finished pictures of the package itself, since those are what a preview shows.
"""

from itertools import product

import numpy as np

from .package_sampler import PackageSampler
from .sample import initial_noise

SUBJECTS = ["red apple", "cat face", "green heart", "automobile", "strawberry"]
SUBJECTS += ["tree", "house", "blue bird", "sun", "pizza"]
STYLES = ["flat style", "cartoon style", "3d style", "classic style"]
STEPS, GUIDANCE = 8, 3.0


def fit(sampler: PackageSampler) -> tuple[dict, float]:
    """`{"weights": [3 rows of channels], "bias": [3]}`, and the share of the variance it explains in other pictures."""
    captions = [f"{subject}, {style}" for subject, style in product(SUBJECTS, STYLES)]
    rows, colours = [], []
    for caption, noise in zip(captions, initial_noise(len(captions), 0).numpy(), strict=True):
        latents = sampler.latents(caption, GUIDANCE, STEPS, noise[None])
        image = sampler.decode(latents)[0]
        c, h, w = latents.shape[1:]
        rows.append(latents[0].reshape(c, -1).T)
        colours.append(image.reshape(3, h, image.shape[1] // h, w, image.shape[2] // w).mean((2, 4)).reshape(3, -1).T)
    # Every fifth picture is kept for the check.
    kept = np.arange(len(rows)) % 5 == 0

    def system(which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        latents = np.concatenate([rows[i] for i in which.nonzero()[0]])
        return np.c_[latents, np.ones(len(latents))], np.concatenate([colours[i] for i in which.nonzero()[0]])

    solution, *_ = np.linalg.lstsq(*system(~kept), rcond=None)
    latents, wanted = system(kept)
    explained = 1 - float(np.square(latents @ solution - wanted).sum() / np.square(wanted - wanted.mean(0)).sum())
    weights = [[round(float(v), 4) for v in column] for column in solution[:-1].T]
    return {"weights": weights, "bias": [round(float(v), 4) for v in solution[-1]]}, explained
