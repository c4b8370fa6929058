"""The tests run with the versions that the training is pinned to."""

import tomllib
from importlib.metadata import version
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def test_installed_versions_are_the_pinned_ones():
    project = tomllib.loads(PROJECT.read_text())
    pinned = dict(line.split("==") for line in project["project"]["dependencies"] + project["dependency-groups"]["dev"])
    installed = {name: version(name).split("+")[0] for name in pinned}
    assert installed == pinned
