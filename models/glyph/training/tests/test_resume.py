"""A run that is killed and resumed goes on as if nothing had happened."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import torch
from conftest import SMOKE

from glyph_training import train_autoencoder
from glyph_training.trainer import Trainer


def losses(folder) -> dict[int, float]:
    log = folder / "autoencoder.log.jsonl"
    lines = log.read_text().splitlines() if log.exists() else []
    return {entry["step"]: entry["loss"] for entry in map(json.loads, lines)}


def test_resumed_weights_equal_unbroken_weights(shapes):
    stage = replace(shapes.autoencoder, log_steps=4, batch=8)
    whole = replace(shapes, autoencoder=replace(stage, total_samples=8 * 8))
    train_autoencoder.train(whole, resume=False, seconds=None)
    unbroken = torch.load(shapes.folder / "autoencoder.pt", weights_only=True)

    # The schedule must be the same, so the first half ends by request rather than by length.
    taken, original = [], Trainer.generator

    def stop_after_four(self):
        taken.append(self.step)
        if self.step == 3:
            self.group.stopping.set()
        return original(self)

    Trainer.generator = stop_after_four
    try:
        train_autoencoder.train(whole, resume=False, seconds=None)
    finally:
        Trainer.generator = original
    assert taken == [0, 1, 2, 3]
    train_autoencoder.train(whole, resume=True, seconds=None)
    resumed = torch.load(shapes.folder / "autoencoder.pt", weights_only=True)
    assert resumed["step"] == unbroken["step"] == 8
    for part in ("model", "ema"):
        for name, tensor in unbroken[part].items():
            assert torch.equal(tensor, resumed[part][name]), name


def test_two_processes_killed_without_warning_resume(shapes, tmp_path):
    def start(*more: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "glyph_training", "--config", str(SMOKE), "--folder", str(shapes.folder)]
        command += ["train-autoencoder", "--processes", "2", *more]
        return subprocess.Popen(command, start_new_session=True, env=os.environ | {"OMP_NUM_THREADS": "1"})

    first = start()
    checkpoint = shapes.folder / "autoencoder.previous"
    deadline = time.monotonic() + 240
    while not checkpoint.exists() or max(losses(shapes.folder), default=0) < 30:
        assert first.poll() is None, "ended before it was killed"
        assert time.monotonic() < deadline, "no second checkpoint in time"
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    before = losses(shapes.folder)
    saved = torch.load(shapes.folder / "autoencoder.pt", weights_only=True)["step"]
    assert saved > 0

    second = start("--resume", "--seconds", "20")
    assert second.wait(timeout=240) == 0
    after = losses(shapes.folder)
    ended = torch.load(shapes.folder / "autoencoder.pt", weights_only=True)["step"]
    assert ended > saved
    fresh = [loss for step, loss in after.items() if saved < step <= saved + 60]
    assert fresh, "no loss was logged after resuming"
    assert max(fresh) < 1.5 * before[max(before)]
    assert max(fresh) < before[min(before)]
