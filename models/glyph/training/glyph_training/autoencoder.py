"""Picture autoencoder: 3x128x128 in [-1,1] <-> latents 16x8x8 (f16)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Residual(nn.Module):
    """Pre-activation residual block that starts as the identity."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = nn.GroupNorm(8, channels)
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.silu(self.first(F.silu(self.norm(x)))))


class Upsample(nn.Module):
    """Doubles height and width by pixel shuffle."""

    def __init__(self, channels: int, out: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, 4 * out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.conv(x), 2)


class Autoencoder(nn.Module):
    """`widths` are the channels at 8x8, 16x16, 32x32 and 64x64."""

    def __init__(self, latent_channels: int = 16, widths: tuple[int, ...] = (192, 128, 64, 32)):
        super().__init__()
        a, b, c, d = widths
        self.latent_shape = (latent_channels, 8, 8)
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(4),
            nn.Conv2d(48, c, 3, padding=1),
            Residual(c),
            nn.Conv2d(c, b, 3, stride=2, padding=1),
            Residual(b),
            nn.Conv2d(b, a, 3, stride=2, padding=1),
            Residual(a),
            Residual(a),
            nn.GroupNorm(8, a),
            nn.SiLU(),
            nn.Conv2d(a, latent_channels, 3, padding=1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(latent_channels, a, 3, padding=1),
            Residual(a),
            Residual(a),
            Upsample(a, b),
            Residual(b),
            Residual(b),
            Upsample(b, c),
            Residual(c),
            Residual(c),
            Upsample(c, d),
            Residual(d),
            nn.GroupNorm(8, d),
            nn.SiLU(),
            Upsample(d, 3),
        )

    def forward(self, picture: Tensor, blur: Tensor) -> tuple[Tensor, Tensor]:
        """The picture [n,3,128,128] again, by way of latents blurred with [n,16,8,8]; and these latents."""
        latents = self.encode(picture)
        return self.decode(latents + blur), latents

    def encode(self, picture: Tensor) -> Tensor:
        """[n,3,128,128] in [-1,1] -> raw latents [n,16,8,8] of about unit scale."""
        return self.encoder(picture)

    def decode(self, latents: Tensor) -> Tensor:
        """Raw latents [n,16,8,8] -> [n,3,128,128]."""
        return self.decoder(latents)


def _edges(x: Tensor) -> tuple[Tensor, Tensor]:
    return x[..., 1:, :] - x[..., :-1, :], x[..., :, 1:] - x[..., :, :-1]


def reconstruction_loss(output: Tensor, target: Tensor) -> Tensor:
    """L1 of pixels and of their differences, at three scales."""
    error = output - target
    loss = error.new_zeros(())
    for weight in (1.0, 0.5, 0.5):
        vertical, horizontal = _edges(error)
        loss = loss + weight * (error.abs().mean() + vertical.abs().mean() + horizontal.abs().mean())
        error = F.avg_pool2d(error, 2)
    return loss


def latent_penalty(latents: Tensor) -> Tensor:
    """Keeps latents near unit scale and without outliers."""
    return 1e-4 * latents.square().mean() + 1e-2 * (latents.abs() - 2.5).clamp(min=0).mean()


def psnr(output: Tensor, target: Tensor) -> float:
    """Decibels, for pictures in [-1,1]."""
    return float(-10 * torch.log10(((output.clamp(-1, 1) - target) / 2).square().mean()))
