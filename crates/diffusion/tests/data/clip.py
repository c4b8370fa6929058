# /// script
# requires-python = ">=3.10"
# dependencies = ["transformers==5.23.0", "tokenizers==0.23.3", "ftfy==6.3.1"]
# ///
"""A small CLIP-style tokenizer and the ids that transformers' CLIPTokenizer gives with it, for tests/clip.rs.

usage: clip.py
Writes clip/vocab.json, clip/merges.txt (laid out as CLIP's: 256 bytes, 256 bytes that end a word, merges, two special tokens) and
clip/tokens.json; and clip/cleaned.json, the ids of text that was cleaned as OpenAI's `simple_tokenizer.py` does it: ftfy,
then HTML entities twice.
"""
import html
import json
from pathlib import Path

import ftfy
from transformers import CLIPTokenizer

MERGES = ["a p", "ap p", "l e</w>", "app le</w>", "r e", "re d</w>", "c a", "ca t</w>", "d o", "do g</w>", "t h", "th e</w>",
          "i n", "in g</w>", "p h", "ph o", "t o</w>", "pho to</w>", "o f</w>", "' s</w>", "1 2", "Ã ©", "Ã ©</w>", "a n</w>"]
PROMPTS = ["", "a photo of an apple", "Red  Apple,\n  the dog's cat!", "café CAFÉ 北京 🍎", "12 1234 x12y", "don't I'll we've",
           "<|startoftext|> apple <|endoftext|> dog", "under_score-dash...dots", "a\u0301pple e\u0301", "\t \u00a0 cat",
           "word " * 100,
           # Nothing in these is cleaned, so OpenAI's ids and those of transformers are the same.
           "Pneumonoultramicroscopicsilicovolcanoconiosis" * 3, "AnImATed MiXeD CaSe İĞ ẞ ΣΑΣ", "日本語の猫 한국어 ภาษาไทย हिन्दी", "a\u0300\u0316\u0301pple Z\u0351\u0321algo",
           "👩\u200d👩\u200d👧 🇩🇪 👍🏽 ❤\ufe0f", "مرحبا \u200fcat\u200e", "x² ½ ٣٤ Ⅷ ①", "soft\u00adhyphen zero\u200bwidth \u2060join", "$100 #tag @name a/b\\c ^_^ ~*~",
           "'S 'LL ''s can't've", "\u00a0\u2003\u2028 dog\u205f\u1680cat"]

# Text as phones, word processors, web pages and terminals give it.
WRITTEN = ["a dog's bowl", "a dog\u2019s bowl", "the \u201cred\u201d apple", "\u2018the\u2019 \u201acat\u201b \u201edog\u201f \u02bc12",
           "caf\u00e9 \ufb01 \ufb02 \ufb03 \ufb04 \ufb00 \ufb05 \ufb06", "\u0132 \u0133 \u0149 \u01f1 \u01c4 \u01c7 \u01cb",
           "\uff52\uff45\uff44 \uff21\u3000\uff11\uff12\uff07\uff53", "\uff76\uff9e\uff71 \uffe5 \uffe3 \uff08\uff09", "the &amp; cat", "&lt;b&gt; &quot;dog&quot; &#39;s &#x27;s &nbsp; &apos;",
           "a dog&rsquo;s &ldquo;bowl&rdquo;", "&amp;amp;amp;lt; &amp cat &ampcat; &EACUTE; &eacute &notacat; &#150; &#xd800; &#1; &semi; &;",
           "<b> &amp; &eacute;s &amp;amp;amp; &EACUTE;", "a\u0000 cat", "the\u0007 \u001b[31mred\u001b[0m \u001b[x \u007fdog", "\ufeffa cat\ufffc", "a\u0092s \u0085 \u0080 \u0081", "e\u0301clair",
           "\u2764\ufe0f cat", "cat\u200bfish", "1\u20442 \u2032 \u2033 \u00ab\u00bb \u2013 \u2014 \u2026 \u2122 \u00b2", "a\r\nb\u2028c\u2029d\u0085e", " I'LL BE ", "\u05d7\u05ea\u05d5\u05dc cat", "", " \u201d "]


def cleaned(text):
    return html.unescape(html.unescape(ftfy.fix_text(text))).strip()


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
        encoded = tokenizer(prompt, padding="max_length", max_length=60, truncation=True)
        cases.append({"text": prompt, "ids": encoded["input_ids"], "mask": encoded["attention_mask"]})
    (out / "tokens.json").write_text(json.dumps(cases, ensure_ascii=False))
    ids = [{"text": t, "ids": tokenizer(cleaned(t))["input_ids"]} for t in WRITTEN]
    (out / "cleaned.json").write_text(json.dumps(ids, separators=(",", ":")))


main()
