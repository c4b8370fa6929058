"""A checkpoint's averaged weights as f16 safetensors: a sixth of its size, to carry a run to another machine."""

import json
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file

from . import checkpoint


def pack(source: Path, file: Path) -> int:
    """Writes a checkpoint's averaged weights; returns the bytes written."""
    state = checkpoint.load(source)
    tensors = {name: tensor.half().contiguous() for name, tensor in state["ema"].items()}
    if not all(tensor.isfinite().all() for tensor in tensors.values()):
        raise ValueError(f"{source.name}: a weight is too large for f16")
    about = {"settings": json.dumps(state["settings"]), "samples": str(state["samples"]), "step": str(state["step"])}
    save_file(tensors, file, about)
    return file.stat().st_size


def unpack(file: Path, target: Path) -> None:
    """Writes a checkpoint of packed weights; training resumes from it with new optimiser states."""
    with safe_open(file, "pt") as packed:
        about = packed.metadata()
        weights = {name: packed.get_tensor(name).float() for name in packed.keys()}  # noqa: SIM118
    state = {
        "model": weights,
        "ema": {name: tensor.clone() for name, tensor in weights.items()},
        "settings": json.loads(about["settings"]),
        "samples": int(about["samples"]),
        "step": int(about["step"]),
        "extra": {},
    }
    checkpoint.save(target, state)
