"""Names, held-out pairs, colours, near-duplicates, integrity."""

import colorsys
from pathlib import Path

import numpy as np
import pytest
from conftest import COLOURS, draw

from glyph_training.attribution import credits
from glyph_training.captions import plural
from glyph_training.card import replaced
from glyph_training.colour import dominant_hue, recolour, to_hsv, to_rgb
from glyph_training.compose import Composer, describe
from glyph_training.concepts import Concept, family, squash, wanted
from glyph_training.fetch import Source, fetch, integrity_of, load_sources
from glyph_training.pictures import near_duplicates
from glyph_training.render import render
from glyph_training.split import composition_held_out, families_held_out


def test_colours_agree_with_the_standard_library():
    rgb = np.random.default_rng(0).random((64, 3))
    hue, saturation, value = to_hsv(rgb)
    expected = np.array([colorsys.rgb_to_hsv(*p) for p in rgb])
    np.testing.assert_allclose(np.stack([hue / 360, saturation, value], 1), expected, atol=1e-3)
    np.testing.assert_allclose(to_rgb(hue, saturation, value), rgb, atol=1e-3)


def test_recolour_moves_the_dominant_hue():
    picture = draw("circle", COLOURS["red"])
    moved = recolour(picture, dominant_hue(picture), 215)
    assert abs(dominant_hue(moved) - 215) < 2
    np.testing.assert_array_equal(moved[..., 3], picture[..., 3])


def test_names_meet_and_signs_are_dropped():
    assert squash("Broken Heart") == squash("broken-heart") == "brokenheart"
    assert family("red apple") == family("green apple") == "apple"
    assert family("black") == "black"
    assert plural("cherry") == "cherries" and plural("house with garden") == "houses with garden"
    assert not wanted("flag-france", Concept("flag France", "flags"))
    assert not wanted("waving-hand-dark-skin-tone", None)
    assert not wanted("input-latin-letters", Concept("input latin letters", "symbols", "alphanum"))
    assert wanted("red-apple", Concept("red apple", "food-drink", "food-fruit"))


def test_near_duplicates_keep_the_first_of_a_style():
    circle, square = draw("circle", COLOURS["red"]), draw("square", COLOURS["blue"])
    pictures = np.stack([circle, square, circle, circle])
    found = near_duplicates(pictures, ["flat", "flat", "flat", "3d"])
    assert found.tolist() == [False, False, True, False]


def test_no_composition_touches_what_is_held_out():
    names = [f"{c} thing{i}" for i in range(12) for c in COLOURS]
    pictures = [draw("square", colour) for _ in range(12) for colour in COLOURS.values()]
    held = {("red thing3", "flat"), ("blue thing7", "flat")}
    bases = [
        describe(i, "flat", Concept(name, "objects"), picture)
        for i, (name, picture) in enumerate(zip(names, pictures, strict=True))
        if (name, "flat") not in held
    ]
    counts = {"recolour": 300, "pair": 300, "coloured_pair": 200, "count": 50, "on": 100, "scene": 50, "background": 50}
    recipes = Composer(bases, families_held_out(held), seed=1).compositions(counts)
    assert len(recipes) == sum(counts.values())
    held_rows = {i for i, name in enumerate(names) if (name, "flat") in held}
    for recipe in recipes:
        assert not held_rows & {layer.base for layer in recipe.layers}
        if len(recipe.names) == 2:
            assert not composition_held_out(recipe.kind, *recipe.names)
        for layer in recipe.layers:
            if layer.hue_to is not None:
                assert family(names[layer.base]) not in {"thing3", "thing7"}
    assert render(recipes[0], np.stack(pictures)).shape == (128, 128, 3)


def test_every_source_is_pinned_and_credited():
    names, sources = load_sources()
    for source in [names, *sources]:
        assert source.integrity.startswith("sha512-") and source.title and source.authors
        assert source.license in {"MIT", "Apache-2.0", "CC-BY-4.0"}
        assert source.url.startswith("https://")


def test_third_party_names_every_source():
    text = (Path(__file__).parents[2] / "THIRD_PARTY.md").read_text()
    assert replaced(text, "sets", credits(*load_sources())) == text, "run: glyph-training credit ../THIRD_PARTY.md"


def test_a_changed_tarball_is_refused(tmp_path, monkeypatch):
    tarball = tmp_path / "tampered.tgz"
    tarball.write_bytes(b"not what was pinned")

    def pack(command, **_):
        target = command[command.index("--pack-destination") + 1]
        (Path(target) / "x.tgz").write_bytes(tarball.read_bytes())

    monkeypatch.setattr("subprocess.run", pack)
    source = Source("x", "x", "1.0.0", "sha512-AAAA", "MIT", "x", "https://example.org", "nobody")
    assert integrity_of(tarball) != source.integrity
    with pytest.raises(ValueError, match="pinned"):
        fetch(source, tmp_path / "cache")
    assert not (tmp_path / "cache" / "x-1.0.0").exists()
