# /// script
# requires-python = ">=3.10"
# dependencies = ["torch", "diffusers", "onnx", "onnxscript", "numpy"]
# ///
"""The UNet of Stable Diffusion 1.5's real size, random weights, float16, weights in a file of their own (about 1.7 GB).

Sizes are those of the published configuration (diffusers' defaults for UNet2DConditionModel but for `cross_attention_dim` = 768):
what is tested is whether a graph of that size loads and runs within a bounded memory, so no trained weights are needed.
usage: export_sd15_unet.py OUT_DIR [--seed N] [--latent 64]
Writes OUT_DIR/unet.onnx, OUT_DIR/unet.onnx.data and OUT_DIR/{sample,timestep,encoder_hidden_states}.npy.
"""
import argparse
import os

import numpy as np
import torch
from diffusers import UNet2DConditionModel


class Call(torch.nn.Module):
    def __init__(self, unet):
        super().__init__()
        self.unet = unet

    def forward(self, sample, timestep, encoder_hidden_states):
        return self.unet(sample, timestep, encoder_hidden_states, return_dict=False)[0]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--latent", type=int, default=64)
    args = parser.parse_args()
    os.makedirs(args.out, exist_ok=True)
    generator = torch.Generator().manual_seed(args.seed)
    with torch.device("meta"):
        unet = UNet2DConditionModel(cross_attention_dim=768, sample_size=args.latent)
    unet = unet.to(torch.float16).to_empty(device="cpu").eval()
    with torch.no_grad():
        for name, weight in unet.named_parameters():
            # Norms keep their scale; others are small enough that float16 does not overflow through 860 M weights.
            if weight.dim() == 1:
                weight.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.0)
            else:
                fan_in = weight[0].numel()
                weight.copy_(torch.randn(weight.shape, generator=generator) * fan_in**-0.5)
    print(f"{sum(weight.numel() for weight in unet.parameters()) / 1e6:.0f} M parameters")
    inputs = {
        "sample": torch.randn(1, 4, args.latent, args.latent, generator=generator).half(),
        "timestep": torch.tensor([500.0]).half(),
        "encoder_hidden_states": torch.randn(1, 77, 768, generator=generator).half(),
    }
    with torch.no_grad():
        torch.onnx.export(Call(unet), tuple(inputs.values()), os.path.join(args.out, "unet.onnx"), input_names=list(inputs),
                          output_names=["out_sample"], opset_version=18, dynamo=True, external_data=True)
    for name, value in inputs.items():
        np.save(os.path.join(args.out, f"{name}.npy"), value.numpy())
    for file in sorted(os.listdir(args.out)):
        print(file, f"{os.path.getsize(os.path.join(args.out, file)) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
