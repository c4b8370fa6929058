"""The training loop shared by autoencoder and denoiser."""

import copy
import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from . import checkpoint
from .config import Stage
from .device import device
from .muon import Muon
from .parallel import Group


def rate_at(samples: int, stage: Stage) -> float:
    """Factor on the learning rate: rise, plateau, linear fall."""
    rise = min(1.0, (samples + 1) / max(1, stage.warmup_samples))
    fall = min(1.0, (stage.total_samples - samples) / max(1, stage.cooldown_samples))
    return max(0.0, min(rise, fall))


def optimizers(model: nn.Module, stage: Stage, matrices: str, group: Group) -> list[torch.optim.Optimizer]:
    """Muon for the weights of two dimensions or more whose names match `matrices`, AdamW for the rest."""
    inner, others = [], []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        fits = parameter.ndim >= 2 and name.endswith("weight") and re.match(matrices, name)
        (inner if fits else others).append(parameter)
    return [
        Muon(inner, lr=stage.learning_rate, group=group, weight_decay=0.02),
        torch.optim.AdamW(others, lr=stage.outer_learning_rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True),
    ]


class Trainer:
    """Steps a model on batches that depend on the step and the rank alone, so that
    a resumed run sees the batches that an unbroken one would have seen."""

    def __init__(self, model: nn.Module, stage: Stage, group: Group, path: Path, matrices: str):
        self.model, self.stage, self.group, self.path = model, stage, group, path
        self.ema = copy.deepcopy(model).requires_grad_(False).eval()
        self.optimizers = optimizers(model, stage, matrices, group)
        if stage.compile:
            model.compile()
        self.base_rates = [[g["lr"] for g in o.param_groups] for o in self.optimizers]
        self.step = 0
        self.samples = 0
        self.extra: dict = {}

    def resume(self) -> None:
        """Continues from the checkpoint; raises FileNotFoundError without one."""
        state = checkpoint.load(self.path)
        self.model.load_state_dict(state["model"])
        self.ema.load_state_dict(state["ema"])
        # Weights that came from another machine come without.
        for optimizer, saved in zip(self.optimizers, state.get("optimizers", ()), strict="optimizers" in state):
            optimizer.load_state_dict(saved)
        self.step, self.samples, self.extra = state["step"], state["samples"], state["extra"]

    def save(self) -> None:
        """Writes the checkpoint; raises FloatingPointError rather than replace a good one with a broken one."""
        for name, parameter in self.model.named_parameters():
            if not parameter.isfinite().all():
                raise FloatingPointError(f"{name} is not finite at step {self.step}")
        state = {
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizers": [o.state_dict() for o in self.optimizers],
            "step": self.step,
            "samples": self.samples,
            "settings": self.stage.model,
            "extra": self.extra,
        }
        checkpoint.save(self.path, state)

    def generator(self) -> torch.Generator:
        """The source of all chance of this step and rank."""
        seed = (self.stage.seed * 1_000_003 + self.step) * 64 + self.group.rank
        return torch.Generator(device()).manual_seed(seed)

    def run(self, loss_of: Callable[[torch.Generator], Tensor], seconds: float | None = None) -> None:
        """Trains until `total_samples`, a signal, or `seconds` have passed; then saves."""
        log = self.path.with_suffix(".log.jsonl")
        log.parent.mkdir(parents=True, exist_ok=True)
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        start = saved = time.monotonic()
        seen_at_start, losses = self.samples, []
        self.model.train()
        while self.samples < self.stage.total_samples:
            factor = rate_at(self.samples, self.stage)
            for optimizer, rates in zip(self.optimizers, self.base_rates, strict=True):
                for group, rate in zip(optimizer.param_groups, rates, strict=True):
                    group["lr"] = rate * factor
            loss = loss_of(self.generator())
            self.model.zero_grad(set_to_none=True)
            loss.backward()
            now = time.monotonic()
            if seconds is not None and now - start > seconds:
                self.group.stopping.set()
            stop = self.group.average(parameters)
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            for optimizer in self.optimizers:
                optimizer.step()
            self.step += 1
            self.samples += self.stage.batch * self.group.size
            self._average_weights()
            losses.append(loss.detach())
            if self.group.rank == 0:
                if self.step % self.stage.log_steps == 0 or stop:
                    self._report(
                        log, losses, factor, (self.samples - seen_at_start) / (now - start + 1e-9), now - start
                    )
                if now - saved > self.stage.checkpoint_seconds:
                    self.save()
                    saved = now
            if len(losses) >= self.stage.log_steps:
                losses.clear()
            if stop:
                break
        if self.group.rank == 0:
            self.save()

    def _average_weights(self) -> None:
        halflife = min(self.stage.ema_halflife_samples, self.samples / 8)
        keep = 0.5 ** (self.stage.batch * self.group.size / max(1.0, halflife))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.ema.parameters()), list(self.model.parameters()), 1 - keep)

    def _report(self, log: Path, losses: list[Tensor], factor: float, speed: float, seconds: float) -> None:
        mean = float(torch.stack(losses).mean())
        if not mean < float("inf"):
            raise FloatingPointError(f"loss {mean} at step {self.step}")
        line = {
            "step": self.step, "samples": self.samples, "loss": round(mean, 5), "rate": round(factor, 4),
            "samples_per_second": round(speed, 1), "seconds": round(seconds, 1),
        }  # fmt: skip
        with log.open("a") as out:
            out.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)
