"""Distils guidance into one evaluation a step (Meng et al. 2023, arXiv:2210.03142, first stage).

The student starts as the denoiser and learns, beside the velocity under the
prompt, how far that is from the velocity without; the guidance scale then only
weighs the second.
"""

import torch
from torch import Tensor

from .config import Config
from .denoiser import Denoiser
from .device import autocast, device
from .parallel import Group
from .train_denoiser import INNER, Pairs, load_denoiser, noised
from .trainer import Trainer

# Weight of the difference's squared error: guidance scales s have a mean (s - 1)^2 of about this.
DIFFERENCE = 4.0


def student_of(teacher: Denoiser, settings: dict) -> Denoiser:
    """A guided denoiser with the teacher's weights; at first it knows no difference."""
    student = Denoiser(**settings)
    missing, unexpected = student.load_state_dict(teacher.state_dict(), strict=False)
    if unexpected or any(not name.startswith("guide.") for name in missing):
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
    """Squared errors of the velocity and of the difference that the prompt makes.

    latents f32 [n,16,8,8], text f32 [n,16,384], mask bool [n,16]; `empty` is text and mask of the empty prompt.
    """
    x, timestep, _ = noised(latents, chance)
    nothing, short = empty[0].expand_as(text), empty[1].expand_as(mask)
    with autocast():
        with torch.no_grad():
            prompted, unprompted = teacher(
                torch.cat([x, x]), timestep.repeat(2), torch.cat([text, nothing]), torch.cat([mask, short])
            ).chunk(2)
        velocity, difference = student.both(x, timestep, text, mask)
    wrong = (velocity - prompted).square() + DIFFERENCE * (difference - (prompted - unprompted)).square()
    return wrong.mean()


def train(config: Config, resume: bool, seconds: float | None) -> None:
    """Writes `student.pt` in the run's folder."""
    stage, group = config.distil, Group()
    pairs = Pairs(config.folder)
    teacher, _ = load_denoiser(config.folder / "denoiser.pt")
    empty = pairs.table.batch(torch.tensor([pairs.table.empty]))
    torch.manual_seed(stage.seed)
    student = student_of(teacher, stage.model).to(device(), memory_format=torch.channels_last)
    if stage.compile:
        teacher.compile()
    trainer = Trainer(student, stage, group, config.folder / "student.pt", INNER)
    if resume:
        trainer.resume()

    def loss_of(chance: torch.Generator) -> Tensor:
        latents, text, mask = pairs.draw(stage.batch, chance, dropped=0.0)
        return distil_loss(student, teacher, latents, text, mask, empty, chance)

    trainer.run(loss_of, seconds)
    group.close()
