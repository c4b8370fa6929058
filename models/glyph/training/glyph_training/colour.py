"""Hue of a picture, and recolouring by rotating it."""

import numpy as np

HUES = {
    "red": 0, "orange": 28, "yellow": 52, "green": 120,
    "teal": 175, "blue": 215, "purple": 272, "pink": 325,
}  # fmt: skip
BACKGROUNDS = {
    "blue": (150, 190, 245), "green": (165, 220, 160), "yellow": (250, 230, 140),
    "pink": (250, 190, 210), "purple": (200, 175, 240), "black": (35, 35, 40),
    "orange": (250, 200, 140), "red": (235, 120, 110), "gray": (190, 190, 195),
    "teal": (150, 220, 215),
}  # fmt: skip
# Pixels within this many degrees of the main hue move with it.
SPREAD = 75


def to_hsv(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hue in degrees, saturation and value in 0..1, of RGB in 0..1."""
    high, low = rgb.max(-1), rgb.min(-1)
    chroma = high - low + 1e-6
    r, g, b = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    hue = np.where(high == r, ((g - b) / chroma) % 6, np.where(high == g, (b - r) / chroma + 2, (r - g) / chroma + 4))
    return hue * 60, (chroma / (high + 1e-6)) * (high > 0), high


def to_rgb(hue: np.ndarray, saturation: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Inverse of `to_hsv`."""
    sector = (hue % 360) / 60
    k = (np.array([5, 3, 1]) + sector[..., None]) % 6
    fall = np.clip(np.minimum(k, 4 - k), 0, 1)
    return value[..., None] * (1 - saturation[..., None] * fall)


def dominant_hue(pixels: np.ndarray) -> float | None:
    """The one hue of a picture in degrees, or None when it has none or several."""
    hue, saturation, value = to_hsv(pixels[..., :3] / 255)
    alpha = pixels[..., 3] / 255
    weight = alpha * (saturation > 0.35) * (value > 0.25) * saturation
    if weight.sum() < 0.35 * alpha.sum():
        return None
    mean = (weight * np.exp(1j * np.deg2rad(hue))).sum() / weight.sum()
    return float(np.rad2deg(np.angle(mean)) % 360) if abs(mean) >= 0.8 else None


def recolour(pixels: np.ndarray, source: float, target: float) -> np.ndarray:
    """Moves the hues near `source` to `target` (degrees), halving their spread."""
    hue, saturation, value = to_hsv(pixels[..., :3] / 255)
    offset = (hue - source + 180) % 360 - 180
    moved = np.where(np.abs(offset) < SPREAD, target + offset * 0.5, hue)
    rgb = np.clip(to_rgb(moved, saturation, value) * 255, 0, 255)
    return np.concatenate([rgb.round().astype(np.uint8), pixels[..., 3:]], -1)


def hue_name(hue: float) -> str:
    """The colour word nearest to a hue."""
    return min(HUES, key=lambda name: abs((HUES[name] - hue + 180) % 360 - 180))
