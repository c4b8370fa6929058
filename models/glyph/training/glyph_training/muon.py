"""Muon (Jordan et al. 2024) for matrices and convolution kernels.

A kernel [out, in, h, w] counts as the matrix [out, in*h*w]. The update's scale
matches AdamW's root mean square (Liu et al. 2025, arXiv:2502.16982), so that
one learning rate suits both optimisers.
"""

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 4


def orthogonalise(matrix: Tensor) -> Tensor:
    """Newton-Schulz iteration in bf16: singular values move close to one."""
    a, b, c = COEFFICIENTS
    x = (matrix / (matrix.norm() + 1e-7)).bfloat16()
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.T if tall else x).float()


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised; weight decay is decoupled."""

    def __init__(self, parameters, lr: float, momentum: float = 0.95, weight_decay: float = 0.0):
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None) -> None:
        for group in self.param_groups:
            momentum = group["momentum"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["average"] = torch.zeros_like(parameter)
                average = state["average"].lerp_(parameter.grad, 1 - momentum)
                update = parameter.grad.lerp(average, momentum)
                matrix = update.reshape(update.shape[0], -1)
                scale = 0.2 * max(matrix.shape) ** 0.5
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(orthogonalise(matrix).reshape(parameter.shape), alpha=-group["lr"] * scale)
