"""Writes the package: ONNX components, tokenizer, manifest, golden inputs and outputs of ONNX Runtime."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import ModelProto
from torch import Tensor, nn

from . import latent_rgb, manifest
from .components import DecoderComponent, DenoiserComponent, GuidedComponent, TextComponent
from .config import Config
from .latents import stats
from .package_sampler import PackageSampler
from .quantise import store_half, store_int8
from .sample import Sampler, initial_noise
from .text import MODEL, TOKENS
from .vocabulary import kept_ids, trimmed

OPSET = 18
PROMPT = "red apple, flat style"
# How each component's weights are stored, and the least signal-to-noise ratio in dB that this may leave.
STORED: dict[str, dict[str, tuple[Callable[[ModelProto], None], float]]] = {
    "int8": {"text_encoder": (store_int8, 24), "denoiser": (store_int8, 24), "decoder": (store_half, 40)},
    "half": {name: (store_half, 40) for name in manifest.COMPONENTS},
    "full": {name: (lambda model: None, 60) for name in manifest.COMPONENTS},
}


@dataclass
class Part:
    """A component to export, with one set of inputs."""

    module: nn.Module
    inputs: dict[str, Tensor]
    output: str


def signal_to_noise(found: np.ndarray, expected: np.ndarray) -> float:
    """Decibels."""
    noise = float(np.square(found - expected, dtype=np.float64).mean())
    return 10 * np.log10(float(np.square(expected, dtype=np.float64).mean()) / max(noise, 1e-30))


def export_component(name: str, part: Part, stored: str, path: Path) -> dict[str, np.ndarray]:
    """Exports, stores the weights small, and runs ONNX Runtime against PyTorch.

    Returns the inputs and ONNX Runtime's output; raises ValueError when it
    strays from PyTorch by more than the weights' rounding explains.
    """
    module = part.module.cpu().eval().float()
    with torch.no_grad():
        expected = module(*part.inputs.values()).numpy()
    torch.onnx.export(
        module, tuple(part.inputs.values()), str(path), input_names=list(part.inputs), output_names=[part.output],
        opset_version=OPSET, dynamo=False, do_constant_folding=True,
    )  # fmt: skip
    model = onnx.load(path)
    store, least = STORED[stored][name]
    store(model)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    feeds = {key: value.numpy() for key, value in part.inputs.items()}
    (found,) = session.run([part.output], feeds)
    # Hidden states of padding are never looked at.
    real = feeds["attention_mask"].astype(bool) if "attention_mask" in feeds else ...
    ratio = signal_to_noise(found[real], expected[real])
    if not ratio >= least:
        raise ValueError(f"{path.name}: {ratio:.1f} dB from PyTorch, where {least} are asked for")
    print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB, {ratio:.1f} dB from PyTorch")
    return feeds | {part.output: found}


def write_tokenizer(sampler: Sampler, captions: list[str], path: Path) -> list[int]:
    """Writes the tokenizer.json of the words that are kept; returns their former ids."""
    backend = sampler.encoder.tokenizer.backend_tokenizer
    table = json.loads((MODEL / "tokenizer.json").read_text())
    special = {token["id"] for token in table["added_tokens"]}
    used = {i for encoding in backend.encode_batch(captions) for i in encoding.ids}
    kept = kept_ids(table["model"]["vocab"], used | special)
    path.write_text(json.dumps(trimmed(table, kept), ensure_ascii=False, separators=(",", ":")))
    return kept


def parts(sampler: Sampler, config: Config, kept: list[int]) -> dict[str, Part]:
    """The components with their inputs: the prompt above the empty prompt."""
    guided = sampler.denoiser.guided
    texts = [PROMPT, ""]
    tokens = sampler.encoder.tokenizer(texts, padding="max_length", truncation=True, max_length=TOKENS,
                                       return_tensors="pt")  # fmt: skip
    place = {old: new for new, old in enumerate(kept)}
    ids = torch.tensor([[place[i] for i in row] for row in tokens.input_ids.tolist()])
    hidden, mask = sampler.encoder(texts)
    latents = torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(0)).repeat(2, 1, 1, 1)
    noise = {"latents": latents, "t": torch.full((2,), 0.75), "text": hidden, "text_mask": mask.float()}
    clean = {"latents": sampler.latents([PROMPT], 3.0, 8, initial_noise(1, 0)).cpu().float()}
    return {
        "text_encoder": Part(
            TextComponent(sampler.encoder.model, kept, first_only=guided),
            {"input_ids": ids, "attention_mask": tokens.attention_mask},
            "last_hidden_state",
        ),
        "denoiser": Part((GuidedComponent if guided else DenoiserComponent)(sampler.denoiser), noise, "velocity"),
        "decoder": Part(DecoderComponent(sampler.autoencoder, *stats(config.folder)), clean, "image"),
    }


def export(config: Config, out: Path, stored: str = "int8", checkpoint: str = "denoiser.pt") -> None:
    """Writes NAME.onnx and golden/NAME.npz of each component, tokenizer.json and manifest.json.

    `stored` is a key of `STORED`; `checkpoint` names the denoiser, `denoiser.pt` or `student.pt`.
    """
    (out / "golden").mkdir(parents=True, exist_ok=True)
    sampler = Sampler.load(config, checkpoint)
    captions = json.loads((config.folder / "captions.json").read_text())
    kept = write_tokenizer(sampler, captions, out / "tokenizer.json")
    print(f"tokenizer.json: {len(kept)} tokens")
    for name, part in parts(sampler, config, kept).items():
        golden = export_component(name, part, stored, out / f"{name}.onnx")
        np.savez_compressed(out / "golden" / f"{name}.npz", **golden)
    negative_prompt = not sampler.denoiser.guided
    manifest.write(out, TOKENS, negative_prompt)
    colours, explained = latent_rgb.fit(PackageSampler(out))
    print(f"latent_rgb explains {explained:.3f} of the variance of other pictures")
    written = manifest.write(out, TOKENS, negative_prompt, colours)
    print(f"{sum(f['bytes'] for f in written['files']) / 1e6:.2f} MB in all")
