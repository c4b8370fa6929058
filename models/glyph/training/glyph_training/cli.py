"""Command line: one sub-command a stage."""

import argparse
import os
import sys
from pathlib import Path

from . import config as settings
from .paths import home

TRAINED = ("train-autoencoder", "train-decoder", "train-denoiser", "train-distil", "train-evaluator")
DENOISERS = ("denoiser.pt", "student.pt")


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
    draw = commands.add_parser("draw", help="draw every recipe")
    draw.add_argument("--processes", type=int, default=os.cpu_count())
    measured = commands.add_parser("measure-autoencoder", help="PSNR on kept pictures, and a grid")
    measured.add_argument("--checkpoint", default="autoencoder.pt", help="autoencoder.pt or decoder.pt")
    commands.add_parser("text", help="embed every caption")
    encode = commands.add_parser("latents", help="encode every recipe; freezes the encoder from here on")
    encode.add_argument("--processes", type=int, default=os.cpu_count())
    commands.add_parser("measure-denoiser", help="loss on kept pairs")
    evaluate = commands.add_parser("evaluate", help="R-precision, distance, originality")
    evaluate.add_argument("--guidance", type=float, nargs="*", default=[1.0, 3.0, 5.0], help="of the run's own models")
    evaluate.add_argument("--steps", type=int, nargs="*", default=[8])
    evaluate.add_argument("--limit", type=int, default=500, help="prompts a split")
    evaluate.add_argument("--checkpoint", choices=DENOISERS, nargs="*", default=DENOISERS, help="the run's own models")
    evaluate.add_argument("--package", type=_named, action="append", default=[], metavar="NAME=FOLDER",
                          help="also an exported package, at guidance 3 and 8 steps; the card shows"
                               " 'version 0', and 'int8' beside 'half' and 'full', of which 'full' comes first")  # fmt: skip
    pack = commands.add_parser("pack", help="a checkpoint's averaged weights as an f16 file, to carry elsewhere")
    pack.add_argument("checkpoint", help="such as autoencoder.pt, of the run's folder")
    pack.add_argument("file", type=Path)
    unpack = commands.add_parser("unpack", help="the other way round")
    unpack.add_argument("file", type=Path)
    unpack.add_argument("checkpoint")
    card = commands.add_parser("card", help="write evaluation.json into the model card's marked sections")
    card.add_argument("card", type=Path)
    card.add_argument("--package", type=_named, action="append", default=[], metavar="NAME=FOLDER")
    credit = commands.add_parser("credit", help="write the picture sets into THIRD_PARTY.md")
    credit.add_argument("file", type=Path)
    export = commands.add_parser("export", help="the package, with golden inputs and outputs")
    export.add_argument("out", type=Path, help="folder; what lies there is replaced file by file")
    export.add_argument("--weights", choices=("int8", "half", "full"), default="int8")
    export.add_argument("--checkpoint", choices=DENOISERS, default="denoiser.pt")
    sample = commands.add_parser("sample", help="a sheet of the fixed prompts")
    sample.add_argument("--guidance", type=float, default=3.0)
    sample.add_argument("--steps", type=int, default=8)
    sample.add_argument("--seed", type=int, default=0)
    sample.add_argument("--checkpoint", choices=DENOISERS, default="denoiser.pt")
    sample.add_argument("--package", type=Path, help="an exported package in place of the run's own models")
    sample.add_argument("--out", type=Path)
    return top


def _named(text: str) -> tuple[str, Path]:
    name, equals, folder = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=FOLDER")
    return name, Path(folder)


def main() -> None:
    arguments = parser().parse_args()
    config = settings.load(arguments.config, arguments.folder)
    if arguments.command in TRAINED and "RANK" not in os.environ:
        from .launch import launch

        sys.exit(
            launch(
                sys.argv[1:],
                arguments.processes,
                config.folder.parent / f"{config.folder.name}-{arguments.command}.pid",
            )
        )
    _run(arguments, config)


def _run(arguments: argparse.Namespace, config: settings.Config) -> None:
    match arguments.command:
        case "data":
            from .dataset import build

            data = config.data
            build(config.folder / "data", home() / "npm", data.compositions, data.seed, arguments.processes, data.sets)
        case "draw":
            from .drawn import draw

            draw(config.folder, arguments.processes)
        case "train-autoencoder":
            from .train_autoencoder import train

            train(config, arguments.resume, arguments.seconds)
        case "train-decoder":
            from .train_autoencoder import train_decoder

            train_decoder(config, arguments.resume, arguments.seconds)
        case "measure-autoencoder":
            from PIL import Image

            from .train_autoencoder import measure

            decibels, grid = measure(config, arguments.checkpoint)
            Image.fromarray(grid).save(config.folder / Path(arguments.checkpoint).with_suffix(".png"))
            print(f"psnr {decibels:.2f} dB")
        case "text":
            from .dataset import load_recipes
            from .text import encode_all

            encode_all([c for r in load_recipes(config.folder / "data") for c in r.captions], config.folder)
        case "latents":
            from .device import device
            from .latents import encode

            encode(config, arguments.processes if device().type == "cpu" else 1)
        case "train-denoiser":
            from .train_denoiser import train

            train(config, arguments.resume, arguments.seconds)
        case "train-distil":
            from .train_distil import train

            train(config, arguments.resume, arguments.seconds)
        case "measure-denoiser":
            from .train_denoiser import measure

            loss, seen = measure(config)
            print(f"loss {loss:.4f} after {seen} samples")
        case "sample":
            from .sample import Sampler, prompts, sheet

            if arguments.package:
                from .package_sampler import PackageSampler

                sampler = PackageSampler(arguments.package)
            else:
                sampler = Sampler.load(config, arguments.checkpoint)
            pictures = sampler(prompts(), arguments.guidance, arguments.steps, arguments.seed)
            sheet(pictures, prompts(), 10, arguments.out or config.folder / "samples.png")
        case "train-evaluator":
            from .train_evaluator import train

            train(config, arguments.resume, arguments.seconds)
        case "evaluate":
            from .evaluate import Maker, evaluate
            from .package_sampler import PackageSampler
            from .sample import Sampler

            makers = [Maker(name, PackageSampler(folder)) for name, folder in arguments.package]
            if settings_ := [(g, s) for g in arguments.guidance for s in arguments.steps]:
                makers += [Maker(Path(c).stem, Sampler.load(config, c), settings_) for c in arguments.checkpoint]
            evaluate(config, makers, arguments.limit)
        case "pack":
            from .weights import pack

            print(f"{pack(config.folder / arguments.checkpoint, arguments.file) / 1e6:.2f} MB")
        case "unpack":
            from .weights import unpack

            unpack(arguments.file, config.folder / arguments.checkpoint)
        case "card":
            import json

            from .card import write

            manifests = {name: json.loads((f / "manifest.json").read_text()) for name, f in arguments.package}
            sizes = {name: sum(f["bytes"] for f in m["files"]) for name, m in manifests.items()}
            write(arguments.card, json.loads((config.folder / "evaluation.json").read_text()), sizes)
        case "credit":
            from .attribution import credits
            from .card import replaced
            from .fetch import load_sources

            text = replaced(arguments.file.read_text(), "sets", credits(*load_sources()))
            arguments.file.write_text(text)
        case "export":
            from .export import export

            export(config, arguments.out, arguments.weights, arguments.checkpoint)
