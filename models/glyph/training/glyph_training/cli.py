"""Command line: one sub-command a stage."""

import argparse
import os
import sys
from pathlib import Path

from . import config as settings
from .paths import home

TRAINED = ("train-autoencoder", "train-denoiser")


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="glyph-training", description=__doc__)
    top.add_argument("--config", type=Path, default=Path(__file__).parent.parent / "configs" / "glyph.toml")
    top.add_argument("--folder", type=Path, help="run folder; by default under the cache, by the config's name")
    commands = top.add_subparsers(dest="command", required=True)
    data = commands.add_parser("data", help="fetch, rasterise, split and compose")
    data.add_argument("--processes", type=int, default=os.cpu_count())
    for name in TRAINED:
        train = commands.add_parser(name)
        train.add_argument("--resume", action="store_true", help="continue from the checkpoint")
        train.add_argument("--processes", type=int, default=1)
        train.add_argument("--seconds", type=float, help="stop and save after so long")
    commands.add_parser("measure-autoencoder", help="PSNR on kept pictures, and a grid")
    return top


def main() -> None:
    arguments = parser().parse_args()
    config = settings.load(arguments.config, arguments.folder)
    if arguments.command in TRAINED and "RANK" not in os.environ:
        from .launch import launch

        sys.exit(launch(sys.argv[1:], arguments.processes, config.folder.parent / f"{config.folder.name}-{arguments.command}.pid"))
    _run(arguments, config)


def _run(arguments: argparse.Namespace, config: settings.Config) -> None:
    match arguments.command:
        case "data":
            from .dataset import build

            data = config.data
            build(config.folder / "data", home() / "npm", data.compositions, data.seed, arguments.processes, data.sets)
        case "train-autoencoder":
            from .train_autoencoder import train

            train(config, arguments.resume, arguments.seconds)
        case "measure-autoencoder":
            from PIL import Image

            from .train_autoencoder import measure

            decibels, grid = measure(config)
            Image.fromarray(grid).save(config.folder / "autoencoder.png")
            print(f"psnr {decibels:.2f} dB")
