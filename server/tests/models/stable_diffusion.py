# /// script
# requires-python = ">=3.10"
# dependencies = ["diffusers==0.42.1", "transformers==5.23.0", "onnxruntime==1.32.0", "numpy==2.4.6", "pillow==13.0.0", "torch==2.15.0"]
# ///
"""Pictures of a package that `demo-hub models add` made, against diffusers, transformers and ONNX Runtime.

usage: stable_diffusion.py check PROGRAM SET WORK   add, list, verify, generate, remove; fails on any difference
       stable_diffusion.py layout SET FOLDER SCHEDULER   the folder alone: SCHEDULER is ddim or euler
SET is a folder of export_sd_fixture.py. Its graphs get the folder layout of diffusers, with a scheduler_config.json written by
diffusers and the small CLIP vocabulary of crates/diffusion/tests/data/clip, whose ids a real CLIP text encoder knows too.
"""
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler
from PIL import Image
from transformers import CLIPTokenizer

DATA = Path(__file__).resolve().parents[3] / "crates/diffusion/tests/data"
GRAPHS = ("text_encoder", "unet", "vae_decoder")
NOISE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
SCALE = 0.18215
# The tolerance between engines, diffusion::TOLERANCE.
TOLERANCE = 2
SCHEDULERS = {
    "ddim": DDIMScheduler(**NOISE, clip_sample=False, set_alpha_to_one=False),
    "euler": EulerDiscreteScheduler(**NOISE, timestep_spacing="leading", prediction_type="v_prediction"),
}
# A package's scheduler, and whether its decoder is the one of crates/diffusion/tests/data/tiles.py, which takes any size.
PACKAGES = {"ddim": ("ddim", False), "euler": ("euler", False), "any-size": ("euler", True)}
REQUEST = {"prompt": "a photo of an apple", "negative": "the cat", "seed": 7, "steps": 5, "guidance": 4.0}


def layout(graphs: Path, folder: Path, scheduler: str, any_size: bool = False):
    for name in GRAPHS:
        (folder / name).mkdir(parents=True)
        shutil.copy(graphs / f"{name}.onnx", folder / name / "model.onnx")
    shutil.copytree(DATA / "clip", folder / "tokenizer", ignore=lambda *_: ["tokens.json"])
    config = {"model_max_length": 77, "pad_token": "<|endoftext|>", "tokenizer_class": "CLIPTokenizer"}
    (folder / "tokenizer/tokenizer_config.json").write_text(json.dumps(config))
    SCHEDULERS[scheduler].save_pretrained(folder / "scheduler")
    autoencoder = {"scaling_factor": SCALE}
    if any_size:
        shutil.copy(DATA / "tiles/decoder.onnx", folder / "vae_decoder/model.onnx")
        autoencoder["block_out_channels"] = [4, 8, 8]
    (folder / "vae_decoder/config.json").write_text(json.dumps(autoencoder))
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "OnnxStableDiffusionPipeline"}))
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Random weights\n")


def philox4x32_10(counter, key):
    c = [np.asarray(x, np.uint64) for x in counter]
    k = [np.uint64(x) for x in key]
    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    for _ in range(10):
        p, q = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [(q >> half) ^ c[1] ^ k[0], q & low, (p >> half) ^ c[3] ^ k[1], p & low]
        k = [(k[0] + np.uint64(0x9E3779B9)) & low, (k[1] + np.uint64(0xBB67AE85)) & low]
    return [x.astype(np.uint32) for x in c]


def noise(seed: int, shape):
    """The initial noise as crates/diffusion/src/noise.rs specifies it."""
    n = int(np.prod(shape))
    zero = np.zeros(n, np.uint32)
    words = philox4x32_10([zero, zero, np.arange(n), zero], [seed & 0xFFFFFFFF, seed >> 32])
    unit, turn = np.float32(2.0**-32), np.float32(2 * np.pi) * np.float32(2.0**-32)
    u = (words[0].astype(np.float32) * unit + unit / 2).astype(np.float64)
    v = (words[1].astype(np.float32) * turn + turn / 2).astype(np.float64)
    return (np.sqrt(-2 * np.log(u)) * np.sin(v)).astype(np.float32).reshape(shape)


def expected(folder: Path, request) -> np.ndarray:
    """The picture that diffusers' scheduler, transformers' tokenizer and ONNX Runtime make."""
    run = {n: onnxruntime.InferenceSession(str(folder / n / "model.onnx")) for n in GRAPHS}
    config = json.loads((folder / "scheduler/scheduler_config.json").read_text())
    kind = {"DDIMScheduler": DDIMScheduler, "EulerDiscreteScheduler": EulerDiscreteScheduler}[config["_class_name"]]
    scheduler = kind.from_pretrained(folder / "scheduler")
    scheduler.set_timesteps(request["steps"])
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")

    def encode(text):
        ids = tokenizer(text, padding="max_length", max_length=77, truncation=True)["input_ids"]
        return run["text_encoder"].run(None, {"input_ids": np.array([ids], np.int64)})[0]

    prompt, negative = encode(request["prompt"]), encode(request["negative"])
    shape = run["unet"].get_inputs()[0].shape
    latents = torch.from_numpy(noise(request["seed"], shape)) * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        x = scheduler.scale_model_input(latents, t).numpy()
        time = np.array([float(t)], np.float32)

        def answer(text):
            return run["unet"].run(None, {"sample": x, "timestep": time, "encoder_hidden_states": text})[0]

        unguided = answer(negative)
        guided = unguided + np.float32(request["guidance"]) * (answer(prompt) - unguided)
        latents = scheduler.step(torch.from_numpy(guided), t, latents).prev_sample
    (image,) = run["vae_decoder"].run(None, {"latent_sample": (latents / SCALE).numpy().astype(np.float32)})
    return np.round(np.clip(image[0] * 0.5 + 0.5, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)


def check(program: str, graphs: Path, work: Path):
    if work.exists():
        shutil.rmtree(work)
    models = work / "models"
    models.mkdir(parents=True)

    def hub(*arguments):
        done = subprocess.run([program, *arguments, "--models-dir", str(models)], capture_output=True, text=True)
        print(f"$ demo-hub {' '.join(arguments)}\n{done.stdout}{done.stderr}", end="")
        done.check_returncode()
        return done.stdout

    for name, (scheduler, any_size) in PACKAGES.items():
        folder, model = work / name, f"test/random-{name}"
        layout(graphs, folder, scheduler, any_size)
        hub("models", "add", str(folder), "--id", model)
        assert model in hub("models", "list")
        hub("models", "verify", model)
        out = work / f"{name}.png"
        r = REQUEST
        hub("generate", "--model", model, "--prompt", r["prompt"], "--negative-prompt", r["negative"], "--seed", str(r["seed"]),
            "--steps", str(r["steps"]), "--guidance", str(r["guidance"]), "--renderer", "cpu", "--out", str(out))
        ours, theirs = np.asarray(Image.open(out).convert("RGB")).astype(int), expected(folder, r).astype(int)
        assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
        difference = np.abs(ours - theirs)
        print(f"{name}: {ours.shape[1]}x{ours.shape[0]}, spread {theirs.std():.1f}, largest difference {difference.max()} of 255, "
              f"{(difference > 0).mean():.2%} of the values differ")
        assert theirs.std() > 5, "the reference picture is flat: it would prove nothing"
        assert difference.max() <= TOLERANCE
        hub("models", "remove", model)
    assert "test/" not in hub("models", "list")


def main():
    match sys.argv[1:]:
        case ["check", program, graphs, work]:
            check(program, Path(graphs), Path(work))
        case ["layout", graphs, folder, scheduler]:
            layout(Path(graphs), Path(folder), scheduler)
        case _:
            sys.exit(__doc__)


main()
