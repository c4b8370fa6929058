"""Weights carried to another folder: the same models, and training that goes on."""

from dataclasses import replace

import pytest
import torch

from glyph_training import checkpoint, train_autoencoder
from glyph_training.weights import pack, unpack


def test_packed_weights_come_back_and_train_on(shapes, tmp_path):
    few = replace(shapes.autoencoder, total_samples=12, log_steps=1)
    train_autoencoder.train(replace(shapes, autoencoder=few), resume=False, seconds=None)
    before, file = checkpoint.load(shapes.folder / "autoencoder.pt"), tmp_path / "autoencoder.safetensors"
    numbers = sum(t.numel() for t in before["ema"].values())
    assert 2 * numbers < pack(shapes.folder / "autoencoder.pt", file) < 2.2 * numbers + 10_000
    unpack(file, shapes.folder / "autoencoder.pt")
    after = checkpoint.load(shapes.folder / "autoencoder.pt")
    assert (after["step"], after["samples"], after["settings"]) == (3, 12, before["settings"])
    for name, tensor in before["ema"].items():
        assert torch.equal(after["ema"][name], tensor.half().float()), name

    more = replace(few, total_samples=20)
    train_autoencoder.train(replace(shapes, autoencoder=more), resume=True, seconds=None)
    assert checkpoint.load(shapes.folder / "autoencoder.pt")["step"] == 5

    before["ema"]["decoder.0.bias"][0] = 1e6
    checkpoint.save(tmp_path / "huge.pt", before)
    with pytest.raises(ValueError, match="too large"):
        pack(tmp_path / "huge.pt", file)
