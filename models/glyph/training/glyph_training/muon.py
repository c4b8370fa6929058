"""Muon (Jordan et al. 2024) for matrices and convolution kernels.

A kernel [out, in, h, w] counts as the matrix [out, in*h*w]. The update's scale
matches AdamW's root mean square (Liu et al. 2025, arXiv:2502.16982), so that
one learning rate suits both optimisers.
"""

import torch
from torch import Tensor

from .parallel import Group

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 4


def orthogonalise(matrix: Tensor) -> Tensor:
    """Newton-Schulz iteration in bf16: singular values move close to one. Any matrix -> bf16 of its shape."""
    a, b, c = COEFFICIENTS
    x = (matrix / (matrix.norm() + 1e-7)).bfloat16()
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised; weight decay is decoupled. The processes of a group share the work."""

    def __init__(self, parameters, lr: float, group: Group, momentum: float = 0.95, weight_decay: float = 0.0):
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self.group = group

    @torch.no_grad()
    def step(self, closure=None) -> None:
        for settings in self.param_groups:
            parameters = [p for p in settings["params"] if p.grad is not None]
            updates = self._orthogonal([self._momentum(p, settings["momentum"]) for p in parameters])
            for parameter, update in zip(parameters, updates, strict=True):
                scale = 0.2 * max(update.shape) ** 0.5
                parameter.mul_(1 - settings["lr"] * settings["weight_decay"])
                parameter.add_(update.view_as(parameter), alpha=-settings["lr"] * scale)

    def _momentum(self, parameter: Tensor, momentum: float) -> Tensor:
        state = self.state[parameter]
        if not state:
            state["average"] = torch.zeros_like(parameter)
        average = state["average"].lerp_(parameter.grad, 1 - momentum)
        return parameter.grad.lerp(average, momentum).flatten(1)

    def _orthogonal(self, matrices: list[Tensor]) -> list[Tensor]:
        """Each process takes every n-th matrix in the order of sizes; a sum with zeros hands them round exactly."""
        sizes = [m.numel() for m in matrices]
        largest_first = sorted(range(len(matrices)), key=lambda i: -sizes[i])
        flat = torch.zeros(sum(sizes), dtype=torch.bfloat16, device=matrices[0].device)
        for i in largest_first[self.group.rank :: self.group.size]:
            flat.split(sizes)[i].copy_(orthogonalise(matrices[i]).reshape(-1))
        parts = self.group.sum(flat).split(sizes)
        return [part.view(m.shape) for part, m in zip(parts, matrices, strict=True)]
