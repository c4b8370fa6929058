# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.15.0", "diffusers==0.42.1", "transformers==5.23.0", "safetensors==0.8.0"]
# ///
"""Names and shapes of the published checkpoints in one file, of the configurations beside this script: no weights.

usage: checkpoints.py
Writes checkpoint-*.json.gz; bench/fixtures/families/checkpoints.py says what the weights of diffusers' classes are called there.
"""
import gzip
import json
import pathlib
import sys
import types

import diffusers
import torch
import transformers

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[3] / "bench/fixtures"))
from families import checkpoints  # noqa: E402


def network(name):
    config = json.loads((HERE / f"{name}.json").read_text())
    if "architectures" in config:
        kind = getattr(transformers, config["architectures"][0])
        return kind(transformers.CLIPTextConfig(**{key: value for key, value in config.items() if key != "architectures"}))
    return getattr(diffusers, config["_class_name"]).from_config(config)


def main():
    for name, parts in {
        "sd15": {"unet": "sd15-unet", "vae": "sd15-vae", "text_encoder": "sd15-text_encoder"},
        "sd21": {"unet": "sd-turbo-unet", "vae": "sd-turbo-vae", "text_encoder": "sd-turbo-text_encoder"},
        "sdxl": {"unet": "sdxl-unet", "vae": "sdxl-vae", "text_encoder": "sdxl-text_encoder", "text_encoder_2": "sdxl-text_encoder_2"},
    }.items():
        with torch.device("meta"):
            pipeline = types.SimpleNamespace(**{part: network(config) for part, config in parts.items()})
            weights = checkpoints.checkpoint(pipeline)
        shapes = {key: list(weight.shape) for key, weight in sorted(weights.items())}
        packed = gzip.compress(json.dumps(shapes).encode(), 9, mtime=0)
        (HERE / f"checkpoint-{name}.json.gz").write_bytes(packed)
        print(name, len(shapes), len(packed))


main()
