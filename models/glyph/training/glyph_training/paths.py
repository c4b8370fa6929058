"""Where data, checkpoints and logs lie."""

import os
from pathlib import Path


def home() -> Path:
    """`$XDG_CACHE_HOME/demo-hub/training`, by default under `~/.cache`."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "demo-hub" / "training"
