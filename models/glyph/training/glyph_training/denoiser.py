"""Rectified-flow denoiser of 16x8x8 latents: convolutions outside, a transformer inside.

Convolutional blocks at 8x8, a transformer over 16 picture tokens (4x4) and the
text tokens together, and convolutional blocks at 8x8 again over a skip.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TIME_FREQUENCIES = 64


def time_features(timestep: Tensor) -> Tensor:
    """Sinusoids [n,128] of timesteps in 0..1."""
    scale = torch.arange(TIME_FREQUENCIES, device=timestep.device) / TIME_FREQUENCIES
    angles = 100 * timestep[:, None] * torch.exp(-math.log(1000) * scale)
    return torch.cat([angles.cos(), angles.sin()], -1)


class ConvBlock(nn.Module):
    """Residual block, scaled and shifted by the condition; starts as the identity."""

    def __init__(self, channels: int, condition: int):
        super().__init__()
        self.norm = nn.GroupNorm(8, channels)
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.modulation = nn.Linear(condition, 2 * channels)
        for parameter in (*self.second.parameters(), *self.modulation.parameters()):
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        scale, shift = self.modulation(condition)[:, :, None, None].chunk(2, 1)
        hidden = F.silu(self.norm(x) * (1 + scale) + shift)
        return x + self.second(F.silu(self.first(hidden)))


class TransformerBlock(nn.Module):
    """Attention and a squared-ReLU MLP, with scale, shift and gate from the condition."""

    def __init__(self, width: int, heads: int, expansion: int = 4):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, expansion * width)
        self.down = nn.Linear(expansion * width, width)
        self.offset = nn.Parameter(torch.zeros(6, width))
        self.query_gain = nn.Parameter(torch.ones(width // heads))
        self.key_gain = nn.Parameter(torch.ones(width // heads))
        nn.init.normal_(self.out.weight, std=0.02)
        nn.init.normal_(self.down.weight, std=0.02)
        nn.init.zeros_(self.down.bias)

    def forward(self, x: Tensor, modulation: Tensor) -> Tensor:
        parts = (modulation + self.offset).to(x.dtype).unsqueeze(2).unbind(1)
        scale, shift, gate, mlp_scale, mlp_shift, mlp_gate = parts
        x = x + gate * self._attend(F.layer_norm(x, x.shape[-1:]) * (1 + scale) + shift)
        hidden = F.layer_norm(x, x.shape[-1:]) * (1 + mlp_scale) + mlp_shift
        return x + mlp_gate * self.down(F.relu(self.up(hidden)).square())

    def _attend(self, x: Tensor) -> Tensor:
        # bmm and softmax train faster on a CPU than the fused attention.
        batch, tokens, width = x.shape
        size = width // self.heads
        query, key, value = self.qkv(x).view(batch, tokens, 3, self.heads, size).unbind(2)
        query = F.layer_norm(query, (size,)) * (self.query_gain * size**-0.5).to(query.dtype)
        key = F.layer_norm(key, (size,)) * self.key_gain.to(key.dtype)
        query, key, value = (
            z.to(x.dtype).transpose(1, 2).reshape(batch * self.heads, tokens, size) for z in (query, key, value)
        )
        attention = torch.bmm(query, key.transpose(1, 2)).softmax(-1)
        mixed = torch.bmm(attention.to(value.dtype), value).view(batch, self.heads, tokens, size)
        return self.out(mixed.transpose(1, 2).reshape(batch, tokens, width))


class Denoiser(nn.Module):
    """Predicts the velocity `noise - latents` of `(1 - t) latents + t noise`.

    Guidance (Ho & Salimans, arXiv:2207.12598) is linear in its scale, so a `guided` denoiser has a second
    convolution at its end, for the difference that the prompt makes, and needs no second evaluation.
    """

    def __init__(
        self,
        channels: int = 96,
        width: int = 320,
        depth: int = 8,
        heads: int = 5,
        text_tokens: int = 16,
        latent_channels: int = 16,
        text_width: int = 384,
        blocks_before: int = 2,
        blocks_after: int = 3,
        guided: bool = False,
    ):
        super().__init__()
        self.width, self.text_tokens, self.guided = width, text_tokens, guided
        self.enter = nn.Conv2d(latent_channels, channels, 3, padding=1)
        self.before = nn.ModuleList(ConvBlock(channels, width) for _ in range(blocks_before))
        self.shrink = nn.Conv2d(channels, width, 2, stride=2)
        self.position = nn.Parameter(torch.randn(16, width) * 0.02)
        self.text_position = nn.Parameter(torch.randn(text_tokens, width) * 0.02)
        self.text_norm = nn.LayerNorm(text_width)
        self.text = nn.Linear(text_width, width)
        self.padding = nn.Parameter(torch.randn(width) * 0.02)
        self.pooled_text = nn.Linear(text_width, width)
        self.time = nn.Sequential(nn.Linear(2 * TIME_FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))
        self.modulation = nn.Linear(width, 6 * width)
        self.blocks = nn.ModuleList(TransformerBlock(width, heads) for _ in range(depth))
        self.grow = nn.Linear(width, 4 * channels)
        self.merge = nn.Conv2d(2 * channels, channels, 1)
        self.after = nn.ModuleList(ConvBlock(channels, width) for _ in range(blocks_after))
        self.norm = nn.GroupNorm(8, channels)
        self.leave = nn.Conv2d(channels, latent_channels, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)
        nn.init.normal_(self.modulation.weight, std=0.02)
        nn.init.zeros_(self.modulation.bias)
        with torch.no_grad():
            gates = self.modulation.bias.view(6, width)
            gates[2], gates[5] = 0.5, 0.5
        if guided:
            self.guide = nn.Conv2d(channels, latent_channels, 3, padding=1)
            nn.init.zeros_(self.guide.weight)
            nn.init.zeros_(self.guide.bias)

    def compile(self, **options) -> None:
        """Fuses what `forward` and `both` have in common."""
        self._hidden = torch.compile(self._hidden, **options)

    def forward(
        self, latents: Tensor, timestep: Tensor, text: Tensor, mask: Tensor, guidance: Tensor | None = None
    ) -> Tensor:
        """latents f32 [n,16,8,8], timestep f32 [n], text f32 [n,T,384], mask bool [n,T] -> f32 [n,16,8,8].

        guidance: scales f32 [n], for a guided denoiser alone.
        """
        hidden = self._hidden(latents, timestep, text, mask)
        velocity = self.leave(hidden).float()
        if guidance is None:
            return velocity
        return velocity + (guidance - 1).view(-1, 1, 1, 1) * self.guide(hidden).float()

    def both(self, latents: Tensor, timestep: Tensor, text: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """A guided denoiser's velocity under the prompt, and its distance from the one without: each f32 [n,16,8,8]."""
        hidden = self._hidden(latents, timestep, text, mask)
        return self.leave(hidden).float(), self.guide(hidden).float()

    def _hidden(self, latents: Tensor, timestep: Tensor, text: Tensor, mask: Tensor) -> Tensor:
        batch = latents.shape[0]
        text, mask = self.text_norm(text[:, : self.text_tokens]), mask[:, : self.text_tokens].unsqueeze(-1)
        kept = mask.to(text.dtype)
        pooled = (text * kept).sum(1) / kept.sum(1).clamp(min=1)
        condition = F.silu(self.time(time_features(timestep)) + self.pooled_text(pooled))
        modulation = self.modulation(condition).view(batch, 6, self.width)

        x = self.enter(latents)
        for block in self.before:
            x = block(x, condition)
        tokens = self.shrink(x).flatten(2).transpose(1, 2)
        words = torch.where(mask, self.text(text).to(tokens.dtype), self.padding.to(tokens.dtype))
        tokens = torch.cat([tokens + self.position.to(tokens.dtype), words + self.text_position.to(tokens.dtype)], 1)
        for block in self.blocks:
            tokens = block(tokens, modulation)
        grown = self.grow(F.layer_norm(tokens[:, :16], (self.width,)))
        grown = F.pixel_shuffle(grown.transpose(1, 2).reshape(batch, -1, 4, 4), 2)
        x = torch.cat([x, grown.to(x.dtype)], 1).contiguous(memory_format=torch.channels_last)
        x = self.merge(x)
        for block in self.after:
            x = block(x, condition)
        return F.silu(self.norm(x))
