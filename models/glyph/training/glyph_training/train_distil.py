"""Distils guidance into one evaluation a step (Meng et al. 2023, arXiv:2210.03142, first stage).

The student starts as the denoiser, takes the guidance scale as an input, and
learns the velocity that the denoiser gives under that guidance.
"""

import torch
from torch import Tensor

from .config import Config
from .denoiser import Denoiser
from .parallel import Group
from .sample import guided_velocity
from .train_autoencoder import autocast, device
from .train_denoiser import INNER, TIMESTEP_SHIFT, Pairs, load_denoiser
from .trainer import Trainer

# Scales that the student learns, evenly drawn.
GUIDANCE = (1.0, 6.0)


def student_of(teacher: Denoiser, settings: dict) -> Denoiser:
    """A guided denoiser with the teacher's weights; at first it ignores the scale."""
    student = Denoiser(**settings)
    missing, unexpected = student.load_state_dict(teacher.state_dict(), strict=False)
    if unexpected or any(not name.startswith("guidance.") for name in missing):
        raise ValueError(f"the student differs from its teacher: {missing + unexpected}")
    return student.requires_grad_(True).train()


def distil_loss(
    student: Denoiser,
    teacher: Denoiser,
    latents: Tensor,
    text: Tensor,
    mask: Tensor,
    empty: tuple[Tensor, Tensor],
    chance: torch.Generator,
) -> Tensor:
    """Squared error of the guided velocity, relative to the scale, since the error grows with it.

    latents f32 [n,16,8,8], text f32 [n,16,384], mask bool [n,16]; `empty` is text and mask of the empty prompt.
    """
    count, where = len(latents), device()
    noise = torch.randn(latents.shape, generator=chance)
    timestep = torch.sigmoid(torch.randn(count, generator=chance) + TIMESTEP_SHIFT)
    low, high = GUIDANCE
    scale = low + (high - low) * torch.rand(count, generator=chance)
    t = timestep.view(-1, 1, 1, 1)
    x = ((1 - t) * latents + t * noise).contiguous(memory_format=torch.channels_last).to(where)
    timestep, scale, text, mask = (z.to(where) for z in (timestep, scale, text, mask))
    both = torch.cat([text, empty[0].to(where).expand_as(text)]), torch.cat([mask, empty[1].to(where).expand_as(mask)])
    with autocast():
        with torch.no_grad():
            target = guided_velocity(teacher, x, timestep, *both, scale)
        found = student(x, timestep, text, mask, scale)
    return ((found - target).square().mean((1, 2, 3)) / scale).mean()


def train(config: Config, resume: bool, seconds: float | None) -> None:
    """Writes `student.pt` in the run's folder."""
    stage, group = config.distil, Group()
    pairs = Pairs(config.folder)
    teacher, _ = load_denoiser(config.folder / "denoiser.pt")
    empty = pairs.table.batch([pairs.table.empty])
    torch.manual_seed(stage.seed)
    student = student_of(teacher, stage.model).to(device(), memory_format=torch.channels_last)
    trainer = Trainer(student, stage, group, config.folder / "student.pt", INNER)
    if resume:
        trainer.resume()

    def loss_of(chance: torch.Generator) -> Tensor:
        latents, text, mask = pairs.draw(stage.batch, chance, dropped=0.0)
        return distil_loss(student, teacher, latents, text, mask, empty, chance)

    trainer.run(loss_of, seconds)
    group.close()
