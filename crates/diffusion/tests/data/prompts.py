# /// script
# requires-python = ">=3.10"
# dependencies = ["lark==1.1.2", "numpy==2.4.6", "torch==2.15.0", "transformers==5.23.0"]
# ///
"""What the web UI of AUTOMATIC1111 makes of prompts, for tests/prompt.rs: its own modules, run on the vocabulary of clip.py.

usage: prompts.py WEBUI
WEBUI is a checkout of stable-diffusion-webui v1.10.1. Writes prompts.json:

spans    [text, [[text, weight], ...]]: parse_prompt_attention; null where the schedule of 20 steps is not that text
chunks   texts laid into chunks together, with the ids and weights of each, padded with `pad`
states   hidden states of a chunk before and after its weights, the latter by NumPy in float64, too
"""
import json
import random
import sys
import types
from pathlib import Path

import numpy as np
import torch
from transformers import CLIPTokenizer

HERE = Path(__file__).resolve().parent
SPANS = [
    "", " ", "normal text", "an (important) word", "(unbalanced", r"\(literal\]", "(unnecessary)(parens)",
    "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).", "[less]", "[[less]]", "((more))", "[(both)]", "([both])", "(a:1.3)", "(a:.5)",
    "(a:1.)", "(a: 1.3 )", "(a\n:\t1.3\n)", "(a:+1.3)", "(a:-0.5)", "(a:0)", "(a:1)", "(a:1.3 b)", "(a:b)", "(a:b:1.3)", "(a : 1.3)",
    "(a:--1)", "(a:)", "(a:1,3)", "a:1.3)", "a)", "a]", "a))((b", "a]][[b", "(a]b)", "[a)b]", "(a[b)c]", "((a)", "[[a]", "(a (b:1.2)", "()",
    "[]", "(:1.3)", "(())", "(a)(b)", "(a:1.1)(b)", "(a:1.0) b", r"\\(a)", r"\a \: \n", "\\", "a\\", r"\[a\] \(b\) \\", r"(a\))", r"(a\:1.2)",
    "a BREAK b", "a\n BREAK\tb", "BREAK", "BREAK a", "a BREAK", "BREAK BREAK", "a BREAK BREAK b", "a break b", "aBREAK BREAKb", "a_BREAK", "éBREAK",
    "a,BREAK,b", "BREAK's", "(a BREAK b)", "(a BREAK b:1.0)", "[a BREAK b]", "(a:1.2)BREAK(b:0.8)", "(BREAK)", "((a) BREAK", r"\BREAK",
    "(cafe\u0301 \u5317\u4eac:1.2) \U0001f34e", "\u201cred\u201d (dog\u2019s:1.1)", "a\u00a0BREAK\u3000b", "a\x1cBREAK\x1fb", "1:2 (3:4", "{a|b}", "(a|b)", "a | b",
    "[a:b]", "[a:0.5]", "[a:b:0.5]", "[a::0.5]", "[:a:5]", "[a : b : 10 ]", "[a|b]", "[a|b|c]", "[a|]", "[(a:1.2):0.5]", "[(a:1.2)|b]", "[[a:3]]",
    "(a [b:0.5]:1.2)", r"\[a:0.5\]", r"[a\|b]", r"[a\:0.5]", r"[a\|b|c]", r"[\a|b]", "[a:+.5]", "[a:5.]", "[a:1e0]", "[(a:1.2)]", "[a (b:0.5)]", "[(a:0.5]", "[a:x0.5]", "[a:0.5 b]",
]
ALPHABET = ["(", "(", "(", ")", ")", "[", "]", "]", ":", ":1.2)", ": .5 )", "\\", "a", "b ", ",", " BREAK ", "BREAK", "1", "."]
SD1 = [
    ["", "a"], ["a photo of (an apple:1.3), [cat]"], ["a " * 75], ["a " * 76], ["a BREAK b"], ["BREAK", "BREAK a", "a BREAK"],
    ["a " * 54 + ", " + "b " * 25], ["a " * 55 + ", " + "b " * 25], ["a " * 74 + ", b"], ["a " * 75 + ", b"], ["a " * 60 + ", " + "b " * 10 + ", " + "(the dog:1.2) " * 9],
    ["a " * 70 + "(red apple, red apple, red apple:1.2)", "cat"], ["a " * 70 + ", BREAK " + "b " * 76 + ", a"], ["(the (red:0.5) " + "[dog] " * 40],
    ["a (dog) BREAK (cat BREAK apple:1.0) BREAK (cat BREAK apple)"], ["a <|endoftext|> b"], ["caf\u00e9 " * 30 + "(\U0001f34e \u5317\u4eac:1.5)"],
]
SD2 = [["", "a"], ["a photo of (an apple:1.3) BREAK the dog"], ["a " * 76], ["a <|endoftext|> b"]]
STATES = ["(the dog:1.3), cat", "[the] (red:0.2) (apple:-1)", "(a:0) photo", "a"]


def modules(webui):
    """The files of the web UI that are about prompts; what else they import is left out."""
    opts = types.SimpleNamespace(emphasis="Original", comma_padding_backtrack=20, use_old_emphasis_implementation=False)
    package = types.ModuleType("modules")
    package.__path__ = [str(Path(webui) / "modules")]
    sys.modules["modules"] = package
    for name, values in {"shared": {"opts": opts}, "devices": {"device": "cpu"}, "sd_hijack": {}}.items():
        module = types.ModuleType(f"modules.{name}")
        module.__dict__.update(values)
        sys.modules[module.__name__] = module
        setattr(package, name, module)
    from modules import prompt_parser, sd_hijack_clip
    return prompt_parser, sd_hijack_clip


def embedder(base, pad, length):
    class Embedder(base):
        def __init__(self):
            database = types.SimpleNamespace(find_embedding_at_position=lambda tokens, position: (None, None))
            super().__init__(None, types.SimpleNamespace(embedding_db=database))
            self.tokenizer = CLIPTokenizer.from_pretrained(HERE / "clip")
            self.comma_token = self.tokenizer.get_vocab()[",</w>"]
            self.id_start, self.id_end = self.tokenizer.bos_token_id, self.tokenizer.eos_token_id
            self.id_pad = self.id_end if pad is None else pad
            self.chunk_length = length

        def tokenize(self, texts):
            return self.tokenizer(texts, truncation=False, add_special_tokens=False)["input_ids"]

        def encode_with_transformers(self, tokens):
            self.seen = tokens.tolist()
            places = torch.arange(tokens.numel() * 3, dtype=torch.float64).reshape(*tokens.shape, 3)
            self.states = (torch.sin(places * 0.7 + tokens[..., None] * 0.1) + 0.2).to(torch.float32)
            return self.states
    return Embedder()


def chunks(it, texts):
    batch, _ = it.process_texts(texts)
    most = max(len(chunks) for chunks in batch)
    out = []
    for chunks in batch:
        chunks = chunks + [it.empty_chunk()] * (most - len(chunks))
        ids = [(it.process_tokens([chunk.tokens], [chunk.multipliers]), it.seen[0])[1] for chunk in chunks]
        out.append({"ids": ids, "weights": [chunk.multipliers for chunk in chunks]})
    return out


def main():
    parser, clip = modules(sys.argv[1])
    draw = random.Random(1)
    drawn = ["".join(draw.choice(ALPHABET) for _ in range(draw.randrange(3, 14))) for _ in range(120)]
    spans = []
    for text in SPANS + drawn:
        schedule = parser.get_learned_conditioning_prompt_schedules([text], 20)[0]
        spans.append([text, parser.parse_prompt_attention(text) if schedule == [[20, text]] else None])
    base = clip.FrozenCLIPEmbedderWithCustomWordsBase
    laid = []
    for pad, groups in ((None, SD1), (0, SD2)):
        it = embedder(base, pad, 75)
        laid += [{"pad": it.id_pad, "texts": texts, "chunks": chunks(it, texts)} for texts in groups]
    states = []
    it = embedder(base, None, 8)
    for text in STATES:
        [[chunk]], _ = it.process_texts([text])
        after = it.process_tokens([chunk.tokens], [chunk.multipliers])
        z, weights = it.states.numpy().astype(np.float64), np.array(chunk.multipliers)[None, :, None]
        precise = z * weights * (z.mean() / (z * weights).mean())
        assert np.abs(precise - after.numpy()).max() < 1e-4 * np.abs(precise).max()
        states.append({"weights": chunk.multipliers, "before": it.states.flatten().tolist(), "after": precise.flatten().tolist()})
    (HERE / "prompts.json").write_text(json.dumps({"spans": spans, "chunks": laid, "states": states}, separators=(",", ":")) + "\n")


main()
