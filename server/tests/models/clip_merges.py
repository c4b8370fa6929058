# /// script
# requires-python = ">=3.10"
# dependencies = ["transformers==5.23.0", "open_clip_torch==3.3.0"]
# ///
"""OpenAI's merges of CLIP for src/models/add/checkpoint/clip_merges.txt.gz, and the ids that transformers gives with them for the tests
of src/models/add/checkpoint/clip.rs.

usage: clip_merges.py BPE_SIMPLE_VOCAB_16E6.TXT.GZ
The argument is that file of the package open_clip_torch. Writes both files.
"""
import gzip
import json
import sys
import tempfile
from pathlib import Path

from transformers import CLIPTokenizer

HERE = Path(__file__).resolve().parent
# None has a "!": where that fills texts up, it is a word of its own.
TEXTS = [
    "a photo of a cat", "", "a red apple on a wooden table, painting", "HELLO World", "it's the dog's bowl", "1girl, solo, masterpiece, best quality",
    "hyperrealistic 8k uhd dslr", "caf\u00e9 cr\u00e8me", "\u6771\u4eac\u306e\u591c", "\u043a\u043e\u0442 \u043d\u0430 \u043a\u0440\u044b\u0448\u0435", "a \U0001f431 on the roof",
    "supercalifragilisticexpialidocious", "greg rutkowski and alphonse mucha", "a\tb\n c   d"]


def characters():
    """What stands for the 256 bytes, in CLIP's order."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(byte) for byte in kept] + [chr(256 + n) for n in range(256 - len(kept))]


def main():
    merges = gzip.open(sys.argv[1]).read().decode("utf-8").split("\n")[1 : 49152 - 256 - 2 + 1]
    packed = gzip.compress(("\n".join(merges) + "\n").encode("utf-8"), 9, mtime=0)
    (HERE.parents[1] / "src/models/add/checkpoint/clip_merges.txt.gz").write_bytes(packed)
    words = characters()
    words = [*words, *(f"{word}</w>" for word in words), *("".join(pair.split()) for pair in merges), "<|startoftext|>", "<|endoftext|>"]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}, ensure_ascii=False), encoding="utf-8")
        (Path(folder) / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")
        tokenizer = CLIPTokenizer.from_pretrained(folder)
        ids = {text: tokenizer(text).input_ids for text in TEXTS}
    # What everybody who has used CLIP knows.
    assert ids["a photo of a cat"] == [49406, 320, 1125, 539, 320, 2368, 49407], ids["a photo of a cat"]
    (HERE / "clip_merges.json").write_text(json.dumps(ids, indent=1) + "\n")


main()
