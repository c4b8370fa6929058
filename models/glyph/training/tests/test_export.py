"""A run of a few steps, exported: the package in ONNX Runtime draws what PyTorch draws."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest

from glyph_training import train_autoencoder, train_denoiser, train_distil
from glyph_training.dataset import load_recipes
from glyph_training.evaluate import mean_psnr
from glyph_training.export import export
from glyph_training.latents import encode
from glyph_training.package_sampler import PackageSampler
from glyph_training.sample import Sampler
from glyph_training.text import encode_all

CAPTIONS = ["red circle", "blue bar"]


@pytest.fixture
def run(shapes):
    """Barely trained models of every kind: enough that no output is zero."""
    stage = lambda s: replace(s, total_samples=6 * s.batch, cooldown_samples=s.batch, warmup_samples=0, log_steps=3)
    few = replace(shapes, autoencoder=stage(shapes.autoencoder), denoiser=stage(shapes.denoiser),
                  distil=stage(shapes.distil))  # fmt: skip
    train_autoencoder.train(few, resume=False, seconds=None)
    encode(few, 1)
    encode_all([c for r in load_recipes(few.folder / "data") for c in r.captions], few.folder)
    train_denoiser.train(few, resume=False, seconds=None)
    train_distil.train(few, resume=False, seconds=None)
    return few


@pytest.mark.parametrize(("checkpoint", "stored", "least"), [("denoiser.pt", "full", 45), ("student.pt", "int8", 30)])
def test_the_package_draws_what_pytorch_draws(run, tmp_path, checkpoint, stored, least):
    out = tmp_path / "package"
    export(run, out, stored, checkpoint)
    manifest = json.loads((out / "manifest.json").read_text())
    for entry in manifest["files"]:
        data = (out / entry["name"]).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (entry["bytes"], entry["sha256"])
    assert manifest["image"] == {"width": 128, "height": 128} and manifest["latents"] == [16, 8, 8]
    assert manifest.get("negative_prompt", True) == (checkpoint == "denoiser.pt")
    assert [len(row) for row in manifest["latent_rgb"]["weights"]] == [16] * 3
    assert manifest["components"]["denoiser"]["inputs"][0]["shape"] == [2, 16, 8, 8]

    for name in manifest["components"]:
        golden = dict(np.load(out / "golden" / f"{name}.npz"))
        session = onnxruntime.InferenceSession(out / f"{name}.onnx", providers=["CPUExecutionProvider"])
        (output,) = (port.name for port in session.get_outputs())
        expected = golden.pop(output)
        np.testing.assert_allclose(session.run(None, golden)[0], expected, rtol=1e-4, atol=1e-4)

    made = PackageSampler(out)(CAPTIONS, guidance=2.0, steps=3, seed=5)
    drawn = Sampler.load(run, checkpoint)(CAPTIONS, guidance=2.0, steps=3, seed=5)
    assert made.shape == drawn.shape == (2, 128, 128, 3)
    # PyTorch draws in bf16.
    assert mean_psnr(made, drawn) > least
    assert mean_psnr(made[:1], made[1:]) < 60, "the prompt changes nothing"
