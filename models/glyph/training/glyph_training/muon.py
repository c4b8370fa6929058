"""Muon (Jordan et al. 2024) for matrices and convolution kernels.

A kernel [out, in, h, w] counts as the matrix [out, in*h*w]. The update's scale
matches AdamW's root mean square (Liu et al. 2025, arXiv:2502.16982), so that
one learning rate suits both optimisers.
"""

from collections import defaultdict

import torch
from torch import Tensor

from .parallel import Group

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 4


def orthogonalise(matrices: Tensor) -> Tensor:
    """Newton-Schulz iteration in bf16: singular values move close to one. [k,m,n] -> bf16 of its shape."""
    a, b, c = COEFFICIENTS
    x = (matrices / (matrices.norm(dim=(-2, -1), keepdim=True) + 1e-7)).bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    for _ in range(ITERATIONS):
        gram = torch.bmm(x, x.mT)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised; weight decay is decoupled. The processes of a group share the work."""

    def __init__(self, parameters, lr: float, group: Group, momentum: float = 0.95, weight_decay: float = 0.0):
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self.group = group

    @torch.no_grad()
    def step(self, closure=None) -> None:
        for settings in self.param_groups:
            parameters = [p for p in settings["params"] if p.grad is not None]
            updates = self._orthogonal([m.flatten(1) for m in self._momentum(parameters, settings["momentum"])])
            torch._foreach_mul_(updates, [-settings["lr"] * 0.2 * max(u.shape) ** 0.5 for u in updates])
            torch._foreach_mul_(parameters, 1 - settings["lr"] * settings["weight_decay"])
            torch._foreach_add_(parameters, [u.view_as(p) for u, p in zip(updates, parameters, strict=True)])

    def _momentum(self, parameters: list[Tensor], momentum: float) -> list[Tensor]:
        for parameter in parameters:
            if not self.state[parameter]:
                self.state[parameter]["average"] = torch.zeros_like(parameter)
        averages, gradients = [self.state[p]["average"] for p in parameters], [p.grad for p in parameters]
        torch._foreach_lerp_(averages, gradients, 1 - momentum)
        return torch._foreach_lerp(gradients, averages, momentum)

    def _orthogonal(self, matrices: list[Tensor]) -> list[Tensor]:
        """Each process takes every n-th matrix in the order of sizes, those of one shape together; a sum with
        zeros hands them round exactly."""
        sizes = [m.numel() for m in matrices]
        largest_first = sorted(range(len(matrices)), key=lambda i: -sizes[i])
        flat = torch.zeros(sum(sizes), dtype=torch.bfloat16, device=matrices[0].device)
        places, alike = flat.split(sizes), defaultdict(list)
        for i in largest_first[self.group.rank :: self.group.size]:
            alike[matrices[i].shape].append(i)
        for rows in alike.values():
            for i, update in zip(rows, orthogonalise(torch.stack([matrices[i] for i in rows])), strict=True):
                places[i].copy_(update.reshape(-1))
        parts = self.group.sum(flat).float().split(sizes)
        return [part.view(m.shape) for part, m in zip(parts, matrices, strict=True)]
