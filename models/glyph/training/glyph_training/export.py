"""Writes the package's components as ONNX, with golden inputs and outputs of ONNX Runtime."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from .config import Config
from .latents import stats
from .sample import Sampler
from .text import MODEL, TOKENS, WIDTH

OPSET = 18
# Matrices smaller than this stay f32: they weigh little, and biases and gains need the precision.
HALF_FROM = 512


class TextComponent(nn.Module):
    """input_ids, attention_mask int64 [2,16] -> last_hidden_state f32 [2,16,384]."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


class DenoiserComponent(nn.Module):
    """Takes the text mask as f32, since browsers have no boolean inputs."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, latents: Tensor, t: Tensor, text: Tensor, text_mask: Tensor) -> Tensor:
        return self.model(latents, t, text, text_mask > 0.5)


class DecoderComponent(nn.Module):
    """Normalised latents f32 [1,16,8,8] -> image f32 [1,3,128,128] in [-1,1]."""

    def __init__(self, model: nn.Module, mean: Tensor, deviation: Tensor):
        super().__init__()
        self.model = model
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)

    def forward(self, latents: Tensor) -> Tensor:
        return self.model.decode(latents * self.deviation + self.mean).clamp(-1, 1)


def store_half(model: onnx.ModelProto) -> None:
    """Stores large f32 weights as f16 behind a Cast, so that arithmetic stays f32."""
    casts = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.data_type != TensorProto.FLOAT or values.size < HALF_FROM:
            continue
        if np.abs(values).max() > np.finfo(np.float16).max:
            raise ValueError(f"{tensor.name}: too large for f16")
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.f16"))
        casts.append(helper.make_node("Cast", [f"{name}.f16"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def export_component(module: nn.Module, inputs: dict[str, Tensor], output: str, path: Path) -> dict[str, np.ndarray]:
    """Exports, halves the weights' size, and runs ONNX Runtime against PyTorch.

    Returns the inputs and ONNX Runtime's output; raises when it strays from
    PyTorch by more than f16 weights explain.
    """
    module = module.eval().float()
    with torch.no_grad():
        expected = module(*inputs.values()).numpy()
    torch.onnx.export(
        module, tuple(inputs.values()), str(path), input_names=list(inputs), output_names=[output],
        opset_version=OPSET, dynamo=False, do_constant_folding=True,
    )  # fmt: skip
    model = onnx.load(path)
    store_half(model)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    feeds = {name: value.numpy() for name, value in inputs.items()}
    (found,) = session.run([output], feeds)
    strayed = float(np.abs(found - expected).max() / np.abs(expected).max())
    if not strayed < 0.02:
        raise ValueError(f"{path.name}: differs from PyTorch by {strayed:.4f} of the largest value")
    print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB, differs from PyTorch by {strayed:.5f}")
    return feeds | {output: found}


def export(config: Config, out: Path, prompt: str = "red apple, flat style") -> None:
    """Writes text_encoder.onnx, denoiser.onnx, decoder.onnx, tokenizer.json, files.json and golden/*.npz."""
    (out / "golden").mkdir(parents=True, exist_ok=True)
    sampler = Sampler.load(config)
    tokens = sampler.encoder.tokenizer([prompt, ""], padding="max_length", truncation=True, max_length=TOKENS,
                                       return_tensors="pt")  # fmt: skip
    hidden, mask = sampler.encoder([prompt, ""])
    latents = torch.randn(2, 16, 8, 8, generator=torch.Generator().manual_seed(0))
    text = {"input_ids": tokens.input_ids, "attention_mask": tokens.attention_mask}
    noise = {"latents": latents, "t": torch.tensor([0.75, 0.75]), "text": hidden, "text_mask": mask.float()}
    clean = {"latents": sampler.latents([prompt], 3.0, 8, 0).cpu().float()}
    assert hidden.shape == (2, TOKENS, WIDTH)
    parts = [
        ("text_encoder", TextComponent(sampler.encoder.model), text, "last_hidden_state"),
        ("denoiser", DenoiserComponent(sampler.denoiser.cpu()), noise, "velocity"),
        ("decoder", DecoderComponent(sampler.autoencoder.cpu(), *stats(config.folder)), clean, "image"),
    ]
    for name, module, inputs, output in parts:
        np.savez(out / "golden" / f"{name}.npz", **export_component(module, inputs, output, out / f"{name}.onnx"))
    shutil.copy(MODEL / "tokenizer.json", out / "tokenizer.json")
    files = [out / "tokenizer.json", *(out / f"{name}.onnx" for name, *_ in parts)]
    table = [
        {"name": f.name, "bytes": f.stat().st_size, "sha256": hashlib.sha256(f.read_bytes()).hexdigest()} for f in files
    ]
    (out / "files.json").write_text(json.dumps(table, indent=1))
