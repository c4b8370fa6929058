# /// script
# requires-python = ">=3.10"
# dependencies = ["diffusers==0.42.1", "torch==2.15.0", "onnx", "onnxruntime==1.32.0", "numpy==2.4.6"]
# ///
"""A small package whose decoder takes any height and width, and its pictures by diffusers, for tests/tiles.rs.

usage: tiles.py
Writes to the folder tiles:
decoder.onnx        an AutoencoderKL of random weights, 4x20x28 latents to 80x112 pixels
text_encoder.onnx   hidden states that are the ids, scaled
denoiser.onnx       an answer of latents, timestep and hidden states
latents.f32         latents, little-endian
whole.rgb           what the decoder makes of them, RGB bytes
tiled_8.rgb         the same by `enable_tiling` with tiles of 8 latents
tiled_16.rgb        with tiles of 16
"""
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from diffusers import AutoencoderKL

OUT = Path(__file__).parent / "tiles"
SEED, SCALE, SIDES, PIXELS = 5, 0.18215, (8, 16), 4
HEIGHT, WIDTH, LENGTH = 20, 28, 12


class Decoder(torch.nn.Module):
    def __init__(self, vae):
        super().__init__()
        self.vae = vae

    def forward(self, z):
        return self.vae.decode(z, return_dict=False)[0]


class TextEncoder(torch.nn.Module):
    def forward(self, ids):
        return (ids.float() / 538 - 0.5).unsqueeze(-1) * torch.tensor([1.0, -0.5, 0.25, 2.0])


class Denoiser(torch.nn.Module):
    def forward(self, sample, timestep, states):
        return 0.3 * sample + 0.5 * torch.tanh(sample.roll(1, 3)) + states.mean() + timestep / 10000


def export(module, inputs, name, ports, output, **options):
    path = OUT / f"{name}.onnx"
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(module.eval(), inputs, str(path), input_names=ports, output_names=[output], opset_version=17, dynamo=False, **options)
    return onnxruntime.InferenceSession(str(path))


def rgb(image) -> np.ndarray:
    image = np.asarray(image)[0]
    return np.round(np.clip(image * 0.5 + 0.5, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)


def main():
    OUT.mkdir(exist_ok=True)
    torch.manual_seed(SEED)
    vae = AutoencoderKL(in_channels=3, out_channels=3, latent_channels=4, block_out_channels=(4, 8, 8), layers_per_block=1, norm_num_groups=4,
                        down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3, sample_size=32).eval()
    latents = SCALE * torch.randn(1, 4, HEIGHT, WIDTH)
    z = latents / SCALE
    # As optimum exports it: every dimension has a name.
    open_sizes = {"latent_sample": dict(enumerate(["batch_size", "num_channels_latent", "height_latent", "width_latent"]))}
    session = export(Decoder(vae), (z,), "decoder", ["latent_sample"], "sample", dynamic_axes=open_sizes)
    export(TextEncoder(), (torch.zeros(1, LENGTH, dtype=torch.int64),), "text_encoder", ["input_ids"], "last_hidden_state")
    export(Denoiser(), (latents, torch.tensor([1.0]), torch.zeros(1, LENGTH, 4)), "denoiser", ["sample", "timestep", "encoder_hidden_states"], "out_sample")
    with torch.no_grad():
        whole = vae.decode(z).sample
        vae.enable_tiling()
        tiled = {}
        for side in SIDES:
            vae.tile_latent_min_size, vae.tile_sample_min_size = side, side * PIXELS
            tiled[side] = rgb(vae.decode(z).sample)
    exported = session.run(None, {"latent_sample": z.numpy()})[0]
    assert np.abs(exported - whole.numpy()).max() < 1e-4
    latents.numpy().astype("<f4").tofile(OUT / "latents.f32")
    whole = rgb(whole)
    whole.tofile(OUT / "whole.rgb")
    print(f"spread {whole.std():.1f}")
    for side, picture in tiled.items():
        picture.tofile(OUT / f"tiled_{side}.rgb")
        difference = whole.astype(float) - picture
        print(f"tiles of {side}: PSNR {10 * np.log10(255**2 / (difference**2).mean()):.1f} dB, at most {np.abs(difference).max():.0f} of 255")


main()
