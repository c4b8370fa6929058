# /// script
# requires-python = ">=3.10"
# dependencies = ["numpy==2.4.6", "onnxruntime==1.32.0", "tokenizers==0.23.3"]
# ///
"""Writes the goldens of this folder with ONNX Runtime, NumPy and the Python tokenizers library.

Run from anywhere: uv run golden.py

golden.rgb    RGB bytes: "red apple, flat style", seed 1, 8 steps, guidance 3, empty negative prompt
noise.f32     its initial latents, 16x8x8 little-endian float32, from the specification in src/noise.rs
tokens.json   token ids and masks of texts, [[text, ids, mask], ...]
"""

import json
from pathlib import Path

import numpy as np
import onnxruntime as ort
from tokenizers import Tokenizer

HERE = Path(__file__).parent
PACKAGE = HERE.parents[3] / "models" / "glyph"
PROMPT, SEED, STEPS, GUIDANCE = "red apple, flat style", 1, 8, 3.0
LENGTH = 16
TEXTS = [
    "",
    "red apple, flat style",
    "cat face, cartoon style",
    "Ein Äpfel-Baum im Café, naïve Kunst",
    "a fox wearing sunglasses and riding a very long bicycle through the rainy streets of tokyo at night",
    "snow☃man 雪だるま emoji 🍎",
    "antidisestablishmentarianism",
    "line one\nline two\ttab\u0000nul",
    "(red:1.2) apple -- [green|blue] #42",
    "ABC" * 50,
]


def philox4x32_10(counter, key):
    c = [np.asarray(x, np.uint64) for x in counter]
    k = [np.uint64(x) for x in key]
    mask = np.uint64(0xFFFFFFFF)
    shift = np.uint64(32)
    for _ in range(10):
        p = c[0] * np.uint64(0xD2511F53)
        q = c[2] * np.uint64(0xCD9E8D57)
        c = [(q >> shift) ^ c[1] ^ k[0], q & mask, (p >> shift) ^ c[3] ^ k[1], p & mask]
        k = [(k[0] + np.uint64(0x9E3779B9)) & mask, (k[1] + np.uint64(0xBB67AE85)) & mask]
    return [x.astype(np.uint32) for x in c]


def randn(seed, n):
    zero = np.zeros(n, np.uint32)
    words = philox4x32_10([zero, zero, np.arange(n), zero], [seed & 0xFFFFFFFF, seed >> 32])
    scale = np.float32(2.0**-32)
    turn = np.float32(2 * np.pi) * scale
    u = words[0].astype(np.float32) * scale + scale / np.float32(2)
    v = words[1].astype(np.float32) * turn + turn / np.float32(2)
    u, v = u.astype(np.float64), v.astype(np.float64)
    return (np.sqrt(-2 * np.log(u)) * np.sin(v)).astype(np.float32)


def tokenizer():
    t = Tokenizer.from_file(str(PACKAGE / "tokenizer.json"))
    t.enable_truncation(LENGTH)
    t.enable_padding(length=LENGTH, pad_id=0, pad_token="[PAD]")
    return t


def session(name):
    return ort.InferenceSession(str(PACKAGE / f"{name}.onnx"), providers=["CPUExecutionProvider"])


def main():
    t = tokenizer()
    tokens = [[x, t.encode(x).ids, t.encode(x).attention_mask] for x in TEXTS]
    (HERE / "tokens.json").write_text(json.dumps(tokens, ensure_ascii=False) + "\n")

    noise = randn(SEED, 16 * 8 * 8)
    (HERE / "noise.f32").write_bytes(noise.astype("<f4").tobytes())

    both = [t.encode(PROMPT), t.encode("")]
    ids = np.array([e.ids for e in both], np.int64)
    mask = np.array([e.attention_mask for e in both], np.int64)
    (text,) = session("text_encoder").run(None, {"input_ids": ids, "attention_mask": mask})
    denoiser, decoder = session("denoiser"), session("decoder")
    x = noise.reshape(1, 16, 8, 8)
    times = np.linspace(1, 0, STEPS + 1).astype(np.float32)
    for now, after in zip(times, times[1:]):
        (v,) = denoiser.run(
            None,
            {
                "latents": np.concatenate([x, x]),
                "t": np.full(2, now),
                "text": text,
                "text_mask": mask.astype(np.float32),
            },
        )
        x = x + (after - now) * (v[1:] + np.float32(GUIDANCE) * (v[:1] - v[1:]))
    (image,) = decoder.run(None, {"latents": x})
    rgb = np.round(np.clip(image[0] * 0.5 + 0.5, 0, 1) * 255).astype(np.uint8)
    (HERE / "golden.rgb").write_bytes(rgb.transpose(1, 2, 0).tobytes())


main()
