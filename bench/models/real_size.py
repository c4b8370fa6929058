# /// script
# requires-python = ">=3.10"
# dependencies = ["torch", "diffusers", "transformers", "numpy"]
# ///
"""A pipeline of a published model's real size with generated finite weights, laid out as its author's folder.

Configurations are those of crates/architectures/tests/published; the names and shapes of the weights are those of diffusers' and
transformers' own classes. What is tested is whether files of that size are fetched, packed, downloaded and run within bounds, so no
trained weights are needed. Weights are written one tensor at a time. The tokenizer is a small one of the same kind.
usage: real_size.py sd-turbo|klein OUT_DIR [--seed N] [--golden]
`--golden` runs diffusers on the folder (SD-Turbo only, one step, 32 bits) and writes OUT_DIR.golden.png beside it.
"""
import argparse
import json
import struct
import sys
import time
from pathlib import Path

import torch

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "bench/fixtures"))
PUBLISHED = REPOSITORY / "crates/architectures/tests/published"
NAMES = {torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64"}
PROMPT, SEED = "a red apple on a wooden table, painting", 7


def configuration(name):
    return json.loads((PUBLISHED / f"{name}.json").read_text())


def of_diffusers(kind, config):
    import diffusers

    return getattr(diffusers, kind).from_config(config)


def of_transformers(kind, config):
    import transformers

    config = transformers.AutoConfig.for_model(**config)
    return getattr(transformers, kind)(config)


def values(name, weight, generator):
    """Norms keep their scale; others are small enough that 16 bits do not overflow through hundreds of layers."""
    if weight.dim() < 2:
        is_scale = name.endswith("running_var") or (name.endswith("weight") and "norm" in name)
        return torch.full(weight.shape, 1.0 if is_scale else 0.0)
    return torch.randn(weight.shape, generator=generator) * weight[0].numel() ** -0.5


def write(network, path, dtype, generator):
    """A safetensors file of a network that has shapes and no numbers, one tensor at a time."""
    # Weights that are tied are stored once, as save_pretrained does.
    tied = set(getattr(network, "_tied_weights_keys", None) or ())
    tensors = {name: tensor for name, tensor in network.state_dict().items() if name not in tied}
    header, end = {"__metadata__": {"format": "pt"}}, 0
    # Counters, as batch normalization has one, stay integers.
    kept = {name: dtype if tensor.is_floating_point() else tensor.dtype for name, tensor in tensors.items()}
    for name, tensor in tensors.items():
        size = tensor.numel() * kept[name].itemsize
        header[name] = {"dtype": NAMES[kept[name]], "shape": list(tensor.shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, tensor in tensors.items():
            numbers = values(name, tensor, generator).to(kept[name]).contiguous()
            file.write(numbers.reshape(-1).view(torch.uint8).numpy().tobytes())
    print(f"{path.name}: {len(tensors)} tensors, {end / 1e6:.1f} MB")


def config_json(folder, config):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2))


def part(out, folder, loader, kind, config, file, dtype, generator):
    with torch.device("meta"):
        network = loader(kind, config)
    write(network, out / folder / file, dtype, generator)
    config_json(out / folder, config)


def sd_turbo(out, generator):
    from families import vocabulary

    half = lambda *parts: part(out, *parts, torch.float16, generator)
    half("text_encoder", of_transformers, "CLIPTextModel", configuration("sd-turbo-text_encoder"), "model.fp16.safetensors")
    half("unet", of_diffusers, "UNet2DConditionModel", configuration("sd-turbo-unet"), "diffusion_pytorch_model.fp16.safetensors")
    half("vae", of_diffusers, "AutoencoderKL", configuration("sd-turbo-vae"), "diffusion_pytorch_model.fp16.safetensors")
    vocabulary.write(out / "tokenizer", "!")
    scheduler = {"_class_name": "EulerDiscreteScheduler", "beta_end": 0.012, "beta_schedule": "scaled_linear", "beta_start": 0.00085,
                 "interpolation_type": "linear", "num_train_timesteps": 1000, "prediction_type": "epsilon", "set_alpha_to_one": False,
                 "steps_offset": 1, "timestep_spacing": "trailing", "trained_betas": None, "use_karras_sigmas": False,
                 "clip_sample": False, "skip_prk_steps": True, "sigma_max": None, "sigma_min": None, "timestep_type": "discrete"}
    index = {"_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.24.0.dev0", "feature_extractor": [None, None],
             "safety_checker": [None, None], "requires_safety_checker": False, "scheduler": ["diffusers", "EulerDiscreteScheduler"],
             "text_encoder": ["transformers", "CLIPTextModel"], "tokenizer": ["transformers", "CLIPTokenizer"],
             "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"]}
    return scheduler, index


def klein(out, generator):
    from families import language

    whole = lambda *parts: part(out, *parts, torch.bfloat16, generator)
    whole("text_encoder", of_transformers, "Qwen3ForCausalLM", configuration("qwen3-4b"), "model.safetensors")
    whole("transformer", of_diffusers, "Flux2Transformer2DModel", configuration("klein-transformer"),
          "diffusion_pytorch_model.safetensors")
    whole("vae", of_diffusers, "AutoencoderKLFlux2", configuration("klein-vae"), "diffusion_pytorch_model.safetensors")
    language.tokenizer().save_pretrained(out / "tokenizer")
    scheduler = {"_class_name": "FlowMatchEulerDiscreteScheduler", "_diffusers_version": "0.37.0.dev0", "base_image_seq_len": 256,
                 "base_shift": 0.5, "invert_sigmas": False, "max_image_seq_len": 4096, "max_shift": 1.15, "num_train_timesteps": 1000,
                 "shift": 3.0, "shift_terminal": None, "stochastic_sampling": False, "time_shift_type": "exponential",
                 "use_beta_sigmas": False, "use_dynamic_shifting": True, "use_exponential_sigmas": False, "use_karras_sigmas": False}
    index = {"_class_name": "Flux2KleinPipeline", "_diffusers_version": "0.37.0.dev0", "is_distilled": True,
             "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"], "text_encoder": ["transformers", "Qwen3ForCausalLM"],
             "tokenizer": ["transformers", "Qwen2TokenizerFast"], "transformer": ["diffusers", "Flux2Transformer2DModel"],
             "vae": ["diffusers", "AutoencoderKLFlux2"]}
    return scheduler, index


def golden(out):
    """One step of diffusers with the noise of this repository."""
    import diffusers
    from families import cases
    from PIL import Image

    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(out, variant="fp16", torch_dtype=torch.float32)
    started = time.monotonic()
    case = {"prompt": PROMPT, "negative_prompt": None, "width": 512, "height": 512, "steps": 1, "guidance_scale": 0.0, "seed": SEED}
    image, _ = cases.generate(pipeline, case, {})
    Image.fromarray(image).save(f"{out}.golden.png")
    print(f"diffusers: one step of 512 x 512 in {time.monotonic() - started:.1f} s")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model", choices=["sd-turbo", "klein"])
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--golden", action="store_true")
    args = parser.parse_args()
    if not (args.out / "model_index.json").exists():
        args.out.mkdir(parents=True, exist_ok=True)
        generator = torch.Generator().manual_seed(args.seed)
        scheduler, index = {"sd-turbo": sd_turbo, "klein": klein}[args.model](args.out, generator)
        (args.out / "scheduler").mkdir()
        (args.out / "scheduler/scheduler_config.json").write_text(json.dumps(scheduler, indent=2))
        (args.out / "README.md").write_text("---\nlicense: mit\n---\n# Generated weights\n")
        (args.out / "model_index.json").write_text(json.dumps(index, indent=2))
    if args.golden:
        assert args.model == "sd-turbo"
        golden(args.out)


if __name__ == "__main__":
    main()
