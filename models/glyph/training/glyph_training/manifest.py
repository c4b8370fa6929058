"""`manifest.json`: what a package is, with the size and SHA-256 of every file."""

import hashlib
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

FORMAT = 1
ABOUT = Path(__file__).parent / "package.toml"
COMPONENTS = ("text_encoder", "denoiser", "decoder")
TYPES = {onnx.TensorProto.FLOAT: "float32", onnx.TensorProto.INT64: "int64"}
# Buffers are asked for in steps of this many bytes.
STEP = 8 << 20


@dataclass(frozen=True)
class Ports:
    """Inputs and outputs of a graph, and the bytes of its weights as f32: all of them, and the largest."""

    inputs: list[dict]
    outputs: list[dict]
    weights: int
    largest: int

    @classmethod
    def read(cls, path: Path) -> "Ports":
        model = onnx.load(path)
        sizes = [4 * int(np.prod(t.dims)) for t in model.graph.initializer]
        return cls(*([_port(v) for v in side] for side in (model.graph.input, model.graph.output)),
                   sum(sizes), max(sizes, default=0))  # fmt: skip


def _port(value: onnx.ValueInfoProto) -> dict:
    tensor = value.type.tensor_type
    return {
        "name": value.name,
        "dtype": TYPES[tensor.elem_type],
        "shape": [d.dim_value for d in tensor.shape.dim],
    }


def write(
    out: Path, tokens: int, negative_prompt: bool, latent_rgb: dict | None = None, about: Path = ABOUT
) -> dict:
    """Writes manifest.json for the components and the tokenizer.json that lie in `out`."""
    table = tomllib.loads(about.read_text())
    ports = {name: Ports.read(out / f"{name}.onnx") for name in COMPONENTS}
    _, _, height, width = ports["decoder"].outputs[0]["shape"]
    buffer = -(-max(p.largest for p in ports.values()) // STEP) * STEP
    # Bounds that no engine reaches; `demo-hub models needs` puts what is counted from the graphs in their place.
    memory = -(-2 * sum(p.weights for p in ports.values()) // STEP) * STEP
    pad = "[PAD]"
    vocabulary = json.loads((out / "tokenizer.json").read_text())["model"]["vocab"]
    manifest = {
        "format": FORMAT,
        **{key: table[key] for key in ("id", "name", "creator", "version", "summary", "license")},
        "paper": table["paper"],
        "example_prompts": table["example_prompts"],
        "image": {"width": width, "height": height},
        "latents": ports["decoder"].inputs[0]["shape"][1:],
        "tokenizer": {"file": "tokenizer.json", "max_length": tokens, "pad_id": vocabulary[pad], "pad_token": pad},
        "scheduler": table["scheduler"],
        **({"latent_rgb": latent_rgb} if latent_rgb else {}),
        **({} if negative_prompt else {"negative_prompt": False}),
        "components": {
            name: {"file": f"{name}.onnx", "inputs": p.inputs, "outputs": p.outputs} for name, p in ports.items()
        },
        "defaults": table["defaults"],
        "limits": table["limits"],
        "needs": {"max_buffer_size": buffer, "max_storage_buffer_binding_size": buffer, "memory_bytes": memory},
        "files": [_entry(out / name) for name in ("tokenizer.json", *(f"{n}.onnx" for n in COMPONENTS))],
    }
    (out / "manifest.json").write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
    return manifest


def _entry(path: Path) -> dict:
    data = path.read_bytes()
    return {"name": path.name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
