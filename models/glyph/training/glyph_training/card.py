"""Writes measured numbers into the model card, between `<!-- NAME -->` and `<!-- end NAME -->`."""

import re
from pathlib import Path

SPLITS = ("seen", "held-out", "composition")
SHIPPED = "int8"
SETTING = (3.0, 8)
# The run's own models, by the names that `evaluate` gives them.
OWN = {"denoiser": "two evaluations a step", "student": "distilled"}
CHAPTER = Path(__file__).parent / "measured.md"
LIMITS = "## Limits\n"


def replaced(text: str, section: str, body: str) -> str:
    """`text` with a section's body replaced; raises ValueError when it has no such section."""
    pattern = re.compile(rf"(<!-- {section} -->\n).*?(<!-- end {section} -->)", re.S)
    if not pattern.search(text):
        raise ValueError(f"the card has no section <!-- {section} -->")
    return pattern.sub(lambda match: f"{match[1]}{body.rstrip()}\n{match[2]}", text)


def table(heads: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; columns after the first are right-aligned."""
    if not rows:
        return "Not measured for this version.\n"
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "--:|" * (len(heads) - 1)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


class Results:
    """The entries of evaluation.json."""

    def __init__(self, entries: list[dict]):
        self.entries = entries

    def makers(self) -> list[str]:
        return list(dict.fromkeys(e["maker"] for e in self.entries))

    def find(self, maker: str, split: str, setting: tuple[float, int] | None = SETTING) -> dict | None:
        """The maker's entry at a setting; real pictures and chance have none."""
        for entry in self.entries:
            if entry["maker"] == maker and entry["split"] == split:
                if "steps" not in entry or setting in (None, (entry["guidance"], entry["steps"])):
                    return entry
        return None

    def row(self, maker: str, show, setting: tuple[float, int] | None = SETTING) -> list[str]:
        found = (self.find(maker, split, setting) for split in SPLITS)
        return [show(entry) if entry else "–" for entry in found]


def percent(entry: dict) -> str:
    return f"{100 * entry['r_precision']:.1f} %"


def precision(results: Results) -> str:
    """R-precision a split: real pictures, chance, and every package, with the share of the ceiling."""

    def beside_ceiling(entry: dict) -> str:
        ceiling = results.find("real", entry["split"])
        assert ceiling is not None
        return f"{percent(entry)} ({100 * entry['r_precision'] / max(1e-9, ceiling['r_precision']):.0f} % of real)"

    rows = []
    for maker in ("real", "chance", "version 0", SHIPPED):
        if maker in results.makers():
            named = {"real": "real pictures", SHIPPED: "this model"}.get(maker, maker)
            rows.append([named, *results.row(maker, percent if maker in ("real", "chance") else beside_ceiling)])
    counts = [str(e["prompts"]) if (e := results.find("real", split)) else "–" for split in SPLITS]
    return table(["R-precision among 500 captions", *SPLITS], [*rows, ["prompts", *counts]])


def settings(results: Results) -> str:
    """R-precision of the run's models by guidance scale and steps, before their weights are stored small."""
    rows = []
    for maker, named in OWN.items():
        found = sorted({(e["guidance"], e["steps"]) for e in results.entries if e["maker"] == maker})
        rows += [[f"{named}, {g:g}, {s}", *results.row(maker, percent, (g, s))] for g, s in found]
    return table(["model, guidance scale, steps", *SPLITS], rows)


def quantisation(results: Results, sizes: dict[str, int]) -> str:
    """What storing the weights small costs; `sizes` in bytes by package."""

    def shown(entry: dict) -> str:
        decibels = f", {entry['psnr_to_full']:.1f} dB" if "psnr_to_full" in entry else ""
        return percent(entry) + decibels

    rows = [
        [name, f"{size / 1e6:.1f}", *results.row(name, shown)]
        for name, size in sizes.items()
        if name in results.makers()
    ]
    return table(["weights", "MB", *SPLITS], rows)


def closeness(results: Results) -> str:
    """Kernel distance to real pictures, and the share of pictures suspiciously near a training picture."""
    makers = [m for m in results.makers() if m in ("version 0", SHIPPED)]
    distance = [[m, *results.row(m, lambda e: f"{e['kernel_distance']:.4f}")] for m in makers]
    near = [[m, *results.row(m, lambda e: f"{100 * e['closer_than_real']:.0f} %")] for m in makers]
    return table(["kernel distance", *SPLITS], distance) + "\n" + table(["closer than real", *SPLITS], near)


def write(card: Path, entries: list[dict], sizes: dict[str, int]) -> None:
    """Replaces the sections precision, settings, quantisation and closeness of the card.

    A card without them gets the chapter of `measured.md` before its limits.
    """
    results, text = Results(entries), card.read_text()
    if "<!-- precision -->" not in text:
        before, heading, after = text.partition(LIMITS)
        if not heading:
            raise ValueError(f"the card has no heading {LIMITS!r} to put the measurements before")
        text = before + CHAPTER.read_text() + heading + after
    bodies = {
        "precision": precision(results), "settings": settings(results),
        "quantisation": quantisation(results, sizes), "closeness": closeness(results),
    }  # fmt: skip
    for section, body in bodies.items():
        text = replaced(text, section, body)
    card.write_text(text)
