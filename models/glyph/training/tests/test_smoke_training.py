"""Trains both models on sixteen shapes. The bounds follow from the data, not from earlier runs."""

import numpy as np
import torch

from glyph_training import train_autoencoder, train_denoiser, train_distil
from glyph_training.dataset import load_recipes
from glyph_training.drawn import Drawn
from glyph_training.latents import encode
from glyph_training.text import encode_all
from glyph_training.train_autoencoder import load_autoencoder
from glyph_training.train_denoiser import Pairs, flow_loss, load_denoiser


def gaussian_bound(latents: np.ndarray, timesteps: torch.Tensor) -> float:
    """Velocity loss of the best predictor that knows only mean and covariance.

    Along an axis of variance `s`, the variance of `noise - x` given
    `(1 - t) x + t noise` is `s / ((1 - t)^2 s + t^2)`.
    """
    flat = torch.from_numpy(latents.reshape(len(latents), -1)).double()
    flat = flat - flat.mean(0)
    spectrum = torch.linalg.svdvals(flat).square() / len(flat)
    t = timesteps.double()[:, None]
    return float((spectrum / ((1 - t) ** 2 * spectrum + t**2)).sum(1).mean() / flat.shape[1])


def test_training_reaches_bounds_that_a_broken_trainer_cannot(shapes):
    train_autoencoder.train(shapes, resume=False, seconds=None)
    pictures = Drawn(shapes.folder).batch(torch.arange(16))
    model = load_autoencoder(shapes.folder / "autoencoder.pt")
    with torch.no_grad():
        output = model.decode(model.encode(pictures))
    error = float((output - pictures).square().mean())
    variance = float(pictures.var(0, unbiased=False).mean())
    print(f"autoencoder's squared error {error:.4f}; of the best constant picture {variance:.4f}")
    assert error < 0.5 * variance

    encode(shapes, 1)
    encode_all([c for r in load_recipes(shapes.folder / "data") for c in r.captions], shapes.folder)
    train_denoiser.train(shapes, resume=False, seconds=None)

    pairs = Pairs(shapes.folder)
    denoiser, seen = load_denoiser(shapes.folder / "denoiser.pt")
    assert seen == shapes.denoiser.total_samples
    rows = torch.arange(1, 16).repeat(16)
    latents, text, mask = pairs.plain(rows)

    def loss_with(captions: torch.Tensor) -> float:
        _, text, mask = pairs.plain(captions)
        with torch.no_grad():
            return float(flow_loss(denoiser, latents, text, mask, torch.Generator().manual_seed(1)))

    right, wrong = loss_with(rows), loss_with(rows % 15 + 1)
    chance = torch.Generator().manual_seed(1)
    torch.randn(latents.shape, generator=chance)
    timesteps = torch.sigmoid(torch.randn(len(latents), generator=chance) + train_denoiser.TIMESTEP_SHIFT)
    bound = gaussian_bound(pairs.latents[1:16, 0].cpu().numpy().astype(np.float32), timesteps)
    print(f"denoiser {right:.3f}, with wrong captions {wrong:.3f}, Gaussian bound {bound:.3f}")
    assert right < bound
    assert right < 0.5 * wrong

    train_distil.train(shapes, resume=False, seconds=None)
    student, _ = load_denoiser(shapes.folder / "student.pt")
    empty, short = pairs.table.batch(torch.full_like(rows, pairs.table.empty))
    t = timesteps.view(-1, 1, 1, 1)
    noisy = (1 - t) * latents + t * torch.randn(latents.shape, generator=chance)
    with torch.no_grad():
        taught = denoiser(noisy, timesteps, text, mask) - denoiser(noisy, timesteps, empty, short)
        _, learnt = student.both(noisy, timesteps, text, mask)
    distance, constant = float((taught - learnt).square().mean()), float(taught.var(0, unbiased=False).mean())
    print(f"difference that the prompt makes: student off by {distance:.4f}, best constant {constant:.4f}")
    assert distance < 0.8 * constant
