# /// script
# requires-python = ">=3.10"
# dependencies = ["protobuf==7.36.2", "sentencepiece==0.2.3", "tokenizers==0.23.3", "transformers==5.23.0"]
# ///
"""Small tokenizers of the kinds that other text encoders have, and what diffusers' pipelines make of texts with them, for
tests/tokenizer.rs.

usage: texts.py
Writes texts/t5.json (Unigram, with a table of characters as sentencepiece writes it), texts/gemma.json (BPE that falls back to
bytes), texts/qwen.json (BPE of bytes), as `save_pretrained` of transformers writes them; and texts/golden.json: settings, and the ids
and masks that transformers gives for each text as prompt and as negative prompt, in the words of the family's pipeline.
"""
import json
import shutil
import tempfile
from pathlib import Path

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import GemmaTokenizer, Qwen2Tokenizer, T5Tokenizer

OUT = Path(__file__).resolve().parent / "texts"
CORPUS = ["a photo of a red apple", "the cat and the dog in the house", "an illustration of a green tree",
          "a big red dog, a small cat", "user prompt: a photo", "give me an enhanced prompt of the picture"] * 4
RULES = "FB01\t66 69\nFF32\t52\n201C\t22\n201D\t22\n3000\t20\nA0\t20\n2026\t2E 2E 2E\n"
TEXTS = ["", " ", "a photo of a red apple", "  The CAT, and a dog\n", "\u201cRed\u201d \uff32ose\u2026 \ufb01lm", "caf\u00e9 \u5317\u4eac \U0001f34e", "e\u0301clair \u0130stanbul \u03a3\u03a3",
         "<bos> apple </s> <|im_end|> dog", "tab\there\x1c  \u3000", "it's 12 o'clock\r\n\r\n  ok", "word " * 60]
CHAT = ("{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n"
        "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}")
USER, ANSWER, NO_THOUGHT = "<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n", "<think>\n\n</think>\n\n"
INSTRUCTION = "Give me an Enhanced prompt:\nUser Prompt: "


def t5():
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "rules.tsv").write_text(RULES)
        (Path(folder) / "corpus.txt").write_text("\n".join(CORPUS))
        sentencepiece.SentencePieceTrainer.train(
            input=f"{folder}/corpus.txt", model_prefix=f"{folder}/m", vocab_size=60, model_type="unigram", normalization_rule_tsv=f"{folder}/rules.tsv",
            pad_id=0, eos_id=1, unk_id=2, bos_id=-1, hard_vocab_limit=False, num_threads=1, minloglevel=2)
        proto = sentencepiece_model_pb2.ModelProto()
        proto.ParseFromString((Path(folder) / "m.model").read_bytes())
    vocab = [(piece.piece, piece.score) for piece in proto.pieces]
    return T5Tokenizer(vocab=vocab, extra_ids=2, _spm_precompiled_charsmap=proto.normalizer_spec.precompiled_charsmap)


def trained(before, size, alphabet=()):
    tokenizer = Tokenizer(models.BPE())
    for name, step in before.items():
        setattr(tokenizer, name, step)
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=size, initial_alphabet=list(alphabet), show_progress=False))
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [tuple(pair) for pair in model["merges"]]


def gemma():
    vocab, merges = trained({"normalizer": normalizers.Replace(" ", "\u2581")}, 90)
    words = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"] + [f"<0x{byte:02X}>" for byte in range(256)] + sorted(vocab, key=vocab.get)
    tokenizer = GemmaTokenizer(vocab={word: index for index, word in enumerate(words)}, merges=merges, padding_side="right")
    tokenizer._tokenizer.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 2)])
    return tokenizer


def qwen():
    split = pre_tokenizers.Split(Regex(r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""), "isolated")
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    vocab, merges = trained({"pre_tokenizer": pre_tokenizers.Sequence([split, level])}, 300, pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Qwen2Tokenizer(vocab=vocab, merges=merges, chat_template=CHAT)
    tokenizer.add_tokens(["<|im_start|>", "<|im_end|>"], special_tokens=True)
    tokenizer.add_tokens(["<think>", "</think>"])
    return tokenizer


def save(tokenizer, name):
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        shutil.copy(Path(folder) / "tokenizer.json", OUT / f"{name}.json")


def row(encoded, masks=True):
    mask = encoded["attention_mask"]
    return {"ids": encoded["input_ids"], "mask": mask if masks else [1] * len(mask)}


def family(file, settings, encode, negative=None):
    cases = [{"text": text, "prompt": encode(text), "negative": (negative or encode)(text)} for text in TEXTS]
    return {"settings": {"file": file, **settings}, "cases": cases}


def main():
    OUT.mkdir(exist_ok=True)
    t, g, q = t5(), gemma(), qwen()
    for tokenizer, name in ((t, "t5"), (g, "gemma"), (q, "qwen")):
        save(tokenizer, name)
    fixed = {"padding": "max_length", "truncation": True}

    def clean(text):
        return text.lower().strip()

    def chat(text, **options):
        return q.apply_chat_template([{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True, **options)

    instruction = len(g.encode(INSTRUCTION))
    pad = {"to": "max", "token": 0}
    end = q.pad_token_id
    families = [
        family("t5.json", {"length": 24, "padding": pad, "masks": False}, lambda text: row(t(text, max_length=24, **fixed), masks=False)),
        family("t5.json", {"length": 20, "padding": pad, "masks": True, "cleaning": "lower-strip"}, lambda text: row(t(clean(text), max_length=20, **fixed))),
        family("gemma.json",
               {"length": instruction + 18, "padding": pad, "masks": True, "cleaning": "lower-strip", "prefix": INSTRUCTION,
                "negative": {"framed": False, "length": 20}, "keep": {"first": 1, "last": 19}},
               lambda text: row(g(INSTRUCTION + clean(text), max_length=instruction + 20 - 2, **fixed)),
               lambda text: row(g(clean(text), max_length=20, **fixed))),
        family("gemma.json", {"length": 32, "padding": {"to": {"multiple": 8}, "side": "left", "token": 0}, "masks": True},
               lambda text: row(g(text, padding=True, pad_to_multiple_of=8, padding_side="left", truncation=True, max_length=32))),
        family("qwen.json", {"length": 40, "padding": {"to": "max", "token": end}, "masks": True, "prefix": USER, "suffix": ANSWER + NO_THOUGHT},
               lambda text: row(q(chat(text, enable_thinking=False), max_length=40, **fixed))),
        family("qwen.json", {"length": 64, "padding": {"to": "longest", "token": end}, "masks": True, "prefix": USER, "suffix": ANSWER},
               lambda text: row(q(chat(text, enable_thinking=True), padding=True, truncation=True, max_length=64))),
    ]
    (OUT / "golden.json").write_text(json.dumps(families, separators=(",", ":")) + "\n")


main()
