"""One of several data-parallel processes: gradient averaging, agreement to stop."""

import os
import signal
import threading

import torch
import torch.distributed as dist
from torch import Tensor


class Group:
    """This process among `size`; alone, nothing is sent."""

    def __init__(self) -> None:
        self.rank = int(os.environ.get("RANK", "0"))
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        self.stopping = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stopping.set())
        if self.size > 1:
            dist.init_process_group("gloo", rank=self.rank, world_size=self.size)

    def average(self, parameters: list[Tensor]) -> bool:
        """Averages gradients over the group in bf16; True when any process was asked to stop."""
        stop = self.stopping.is_set()
        if self.size == 1:
            return stop
        gradients = [p.grad for p in parameters if p.grad is not None]
        flag = torch.tensor([float(stop)], device=gradients[0].device)
        flat = self.sum(torch.cat([g.flatten() for g in gradients] + [flag]).bfloat16()).float()
        start = 0
        for gradient in gradients:
            part = flat[start : start + gradient.numel()]
            gradient.copy_(part.view_as(gradient) / self.size)
            start += gradient.numel()
        return bool(flat[-1] > 0)

    def sum(self, values: Tensor) -> Tensor:
        """The sum over the group, on the same device, perhaps in place; alone, the values themselves."""
        if self.size == 1:
            return values
        total = values.cpu()
        dist.all_reduce(total)
        return total.to(values.device)

    def close(self) -> None:
        if self.size > 1:
            dist.destroy_process_group()
