"""The configuration file, checked on load."""

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path

from .paths import home


@dataclass(frozen=True)
class Data:
    seed: int
    compositions: dict[str, int]
    sets: list[str]


@dataclass(frozen=True)
class Stage:
    """Training of one model. Sizes are per process; lengths are in samples of all processes.

    `learning_rate` is Muon's, for inner matrices; `outer_learning_rate` AdamW's, for the rest.

    The learning rate rises over `warmup_samples`, stays, and falls linearly to
    zero over the last `cooldown_samples` of `total_samples`.

    `compile` fuses the model with torch.compile, which needs a C++ compiler and a minute at every start.
    """

    model: dict
    batch: int
    learning_rate: float
    outer_learning_rate: float
    warmup_samples: int
    cooldown_samples: int
    total_samples: int
    ema_halflife_samples: int
    checkpoint_seconds: float
    log_steps: int
    seed: int = 0
    compile: bool = False


@dataclass(frozen=True)
class Config:
    name: str
    folder: Path
    data: Data
    autoencoder: Stage
    decoder: Stage
    denoiser: Stage
    distil: Stage
    evaluator: Stage


def _make(kind, table: dict, where: str):
    known = {f.name for f in fields(kind)}
    if unknown := set(table) - known:
        raise ValueError(f"{where}: unknown settings {sorted(unknown)}")
    return kind(**table)


def load(path: Path, folder: Path | None = None) -> Config:
    """Reads a TOML file; runs lie in `folder`, by default under `paths.home()` by the config's name."""
    table = tomllib.loads(path.read_text())
    student = table["denoiser"]["model"] | {"guided": True}
    return Config(
        name=table["name"],
        folder=folder or home() / table["name"],
        data=_make(Data, table["data"], "data"),
        autoencoder=_make(Stage, table["autoencoder"], "autoencoder"),
        decoder=_make(Stage, {"model": {}} | table["decoder"], "decoder"),
        denoiser=_make(Stage, table["denoiser"], "denoiser"),
        distil=_make(Stage, {"model": student} | table["distil"], "distil"),
        evaluator=_make(Stage, table["evaluator"], "evaluator"),
    )
