"""The card's tables, from entries whose numbers are known."""

import pytest

from glyph_training.card import Results, closeness, precision, quantisation, replaced, settings, write

ENTRIES = [
    {"split": "seen", "maker": "chance", "prompts": 40, "r_precision": 0.002},
    {"split": "seen", "maker": "real", "prompts": 40, "r_precision": 0.8},
    {"split": "seen", "maker": "int8", "prompts": 40, "r_precision": 0.6, "guidance": 3.0, "steps": 8,
     "kernel_distance": 0.0123, "psnr_to_full": 33.21, "closer_than_real": 0.25},
    {"split": "seen", "maker": "student", "prompts": 40, "r_precision": 0.61, "guidance": 3.0, "steps": 8},
    {"split": "seen", "maker": "student", "prompts": 40, "r_precision": 0.31, "guidance": 1.0, "steps": 8},
]  # fmt: skip


def test_tables_hold_the_numbers_and_the_share_of_the_ceiling():
    results = Results(ENTRIES)
    assert "| this model | 60.0 % (75 % of real) | – | – |" in precision(results)
    assert "| real pictures | 80.0 % |" in precision(results)
    assert settings(results).index("| distilled, 1, 8 | 31.0 %") < settings(results).index("| distilled, 3, 8 | 61.0 %")
    assert "| int8 | 38.5 | 60.0 %, 33.2 dB |" in quantisation(results, {"int8": 38_500_000, "unknown": 1})
    assert quantisation(results, {}) == "Not measured for this version.\n"
    assert "| int8 | 0.0123 |" in closeness(results) and "| int8 | 25 % |" in closeness(results)


def test_only_marked_sections_change(tmp_path):
    names = ("precision", "settings", "quantisation", "closeness")
    sections = "".join(f"before {n}\n<!-- {n} -->\nold\n<!-- end {n} -->\n" for n in names)
    card = tmp_path / "README.md"
    card.write_text("# Title\n" + sections + "after\n")
    write(card, ENTRIES, {})
    once = card.read_text()
    assert once.startswith("# Title\nbefore precision\n") and once.endswith("after\n") and "old" not in once
    write(card, ENTRIES, {})
    assert card.read_text() == once


def test_a_card_without_measurements_gets_the_chapter(tmp_path):
    card = tmp_path / "README.md"
    card.write_text("# Title\n## Limits\n- many\n")
    write(card, ENTRIES, {"int8": 38_500_000})
    text = card.read_text()
    assert text.startswith("# Title\n## Measured\n") and text.endswith("## Limits\n- many\n")
    assert "| this model | 60.0 %" in text and "| int8 | 38.5 | 60.0 %" in text
    with pytest.raises(ValueError, match="no section"):
        replaced("text", "precision", "body")
    card.write_text("# Title\n")
    with pytest.raises(ValueError, match="no heading"):
        write(card, ENTRIES, {})
