# /// script
# requires-python = ">=3.10"
# dependencies = ["transformers==5.23.0", "tokenizers==0.23.3"]
# ///
"""A small CLIP-style tokenizer and the ids that transformers' CLIPTokenizer gives with it, for tests/clip.rs.

usage: clip.py
Writes clip/vocab.json, clip/merges.txt (laid out as CLIP's: 256 bytes, 256 bytes that end a word, merges, two special tokens) and
clip/tokens.json.
"""
import json
from pathlib import Path

from transformers import CLIPTokenizer

MERGES = ["a p", "ap p", "l e</w>", "app le</w>", "r e", "re d</w>", "c a", "ca t</w>", "d o", "do g</w>", "t h", "th e</w>",
          "i n", "in g</w>", "p h", "ph o", "t o</w>", "pho to</w>", "o f</w>", "' s</w>", "1 2", "Ã ©", "Ã ©</w>", "a n</w>"]
PROMPTS = ["", "a photo of an apple", "Red  Apple,\n  the dog's cat!", "café CAFÉ 北京 🍎", "12 1234 x12y", "don't I'll we've",
           "<|startoftext|> apple <|endoftext|> dog", "under_score-dash...dots", "a\u0301pple e\u0301", "\t \u00a0 cat",
           "word " * 100]


def alphabet():
    """The printable stand-ins of the 256 bytes, in CLIP's order (GPT-2's bytes_to_unicode)."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in kept]
    return [chr(b) for b in kept] + [chr(256 + n) for n in range(len(others))]


def main():
    out = Path(__file__).parent / "clip"
    out.mkdir(parents=True, exist_ok=True)
    letters = alphabet()
    words = letters + [f"{c}</w>" for c in letters] + ["".join(m.split()) for m in MERGES]
    words += ["<|startoftext|>", "<|endoftext|>"]
    vocab = {word: i for i, word in enumerate(words)}
    assert len(vocab) == len(words)
    (out / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False))
    (out / "merges.txt").write_text("#version: 0.2\n" + "\n".join(MERGES) + "\n")
    tokenizer = CLIPTokenizer.from_pretrained(out)
    cases = []
    for prompt in PROMPTS:
        encoded = tokenizer(prompt, padding="max_length", max_length=20, truncation=True)
        cases.append({"text": prompt, "ids": encoded["input_ids"], "mask": encoded["attention_mask"]})
    (out / "tokens.json").write_text(json.dumps(cases, ensure_ascii=False))


main()
