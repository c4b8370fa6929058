"""Fetch npm packages by name and version, checked against a pinned integrity."""

import base64
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """One npm package. `layout` and `style` are empty for the package of names.

    With `names = "catalogue"` pictures whose file name no catalogue knows are
    left out; with `"own"` they keep the name their set gives them.
    """

    id: str
    package: str
    version: str
    integrity: str
    license: str
    title: str
    url: str
    authors: str
    layout: str = ""
    style: str = ""
    names: str = "catalogue"


def load_sources() -> tuple[Source, list[Source]]:
    """The package of names, and the picture sets in order of preference."""
    table = tomllib.loads((Path(__file__).parent / "sources.toml").read_text())
    return Source(id="names", **table["names"]), [Source(**s) for s in table["set"]]


def integrity_of(path: Path) -> str:
    """The sha512 subresource-integrity string of a file."""
    digest = hashlib.sha512(path.read_bytes()).digest()
    return "sha512-" + base64.b64encode(digest).decode()


def fetch(source: Source, cache: Path) -> Path:
    """Folder of the unpacked package; downloads it when it is not there yet.

    Uses `npm pack`, so the user's registry settings apply.
    Raises ValueError when the tarball's integrity is not the pinned one.
    """
    done = cache / f"{source.id}-{source.version}"
    if done.is_dir():
        return done
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as tmp:
        spec = f"{source.package}@{source.version}"
        subprocess.run(
            ["npm", "pack", spec, "--silent", "--pack-destination", tmp],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        (tarball,) = Path(tmp).glob("*.tgz")
        found = integrity_of(tarball)
        if found != source.integrity:
            raise ValueError(f"{spec}: integrity {found}, pinned {source.integrity}")
        with tarfile.open(tarball) as archive:
            archive.extractall(Path(tmp) / "out")
        shutil.move(Path(tmp) / "out" / "package", done)
    return done
