"""Data, training, evaluation and export of the glyph text-to-picture model."""
