# /// script
# requires-python = ">=3.10"
# dependencies = ["transformers==5.23.0", "tokenizers==0.23.3"]
# ///
"""Folders of CLIP tokenizers with special and learned words in every place where exports keep them, and the ids that
transformers gives with each, for the tests of src/models/add/tokenizer.rs.

usage: clip_words.py > clip_words.json
Every folder has the vocabulary of crates/diffusion/tests/data/clip beside the files that are listed.
"""
import json
import shutil
import sys
import tempfile
from pathlib import Path

from transformers import CLIPTokenizer

CLIP = Path(__file__).resolve().parents[3] / "crates/diffusion/tests/data/clip"
LENGTH = 16
TOY = ["a photo of <cat-toy>", "a photo of <cat-toy> <cat-toy>_1 the dog", "<Cat-Toy>", "the<cat-toy>dog", "x<cat-toy> y", ""]
PLAIN = {"lstrip": False, "rstrip": False, "single_word": False, "normalized": False, "special": False}


def word(content, **flags):
    return {"content": content, **PLAIN, **flags}


def folders():
    toys = {"<cat-toy>": 538, "<cat-toy>_1": 539}
    yield "learned words", {"added_tokens.json": toys}, TOY
    yield "capitals in a word", {"added_tokens.json": {"<Cat-Toy>": 538}}, TOY
    yield "a table", {"tokenizer_config.json": {"added_tokens_decoder": {"538": word("<cat-toy>"), "539": word("<cat-toy>_1")}}}, TOY
    table = {"538": word("<l>", lstrip=True), "539": word("<r>", rstrip=True), "540": word("toy", single_word=True),
             "541": word("<N>", normalized=True), "542": word("<S>", special=True)}
    texts = ["the <l> dog", "the <r> dog", "a toy of toys atoy toy", "<n> <N>", "<s> <S>", "dog<l><r>cat"]
    yield "every flag", {"tokenizer_config.json": {"added_tokens_decoder": table}}, texts
    yield "a table and the older file", {"tokenizer_config.json": {"added_tokens_decoder": {"538": word("<cat-toy>", lstrip=True)}}, "added_tokens.json": {"<cat-toy>": 538}}, TOY
    yield "special and learned", {"special_tokens_map.json": {"additional_special_tokens": ["<cat-toy>"]}, "added_tokens.json": toys}, TOY
    yield "special without an id", {"special_tokens_map.json": {"additional_special_tokens": ["<cat-toy>", "<dog>"]}}, [*TOY, "the <dog>", "the <DOG>"]
    yield "special in the configuration", {"tokenizer_config.json": {"extra_special_tokens": ["<cat-toy>"]}}, TOY
    yield "padding of Stable Diffusion 2", {"special_tokens_map.json": {"pad_token": "!"}, "tokenizer_config.json": {"pad_token": "<|endoftext|>"}}, ["a dog!", "the !dog", "", "dog !!"]
    start = {"__type": "AddedToken", "content": "<|startoftext|>", "lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
    yield "as Stable Diffusion 1.5 has them", {
        "tokenizer_config.json": {"bos_token": start, "eos_token": {**start, "content": "<|endoftext|>"}, "unk_token": {**start, "content": "<|endoftext|>"},
                                  "pad_token": "<|endoftext|>", "model_max_length": 77, "tokenizer_class": "CLIPTokenizer"},
        "special_tokens_map.json": {"bos_token": word("<|startoftext|>", normalized=True), "eos_token": word("<|endoftext|>", normalized=True), "pad_token": "<|endoftext|>"},
    }, ["a dog", "<|STARTOFTEXT|> dog", "<|endoftext|> dog"]
    # As transformers saves it, with a word that was learned since.
    with tempfile.TemporaryDirectory() as saved:
        tokenizer = load({"added_tokens.json": {"<cat-toy>": 538}})
        tokenizer.save_pretrained(saved)
        ready = json.loads((Path(saved) / "tokenizer.json").read_text())
    yield "a ready file", {"tokenizer.json": ready}, TOY
    yield "a ready file and a table", {"tokenizer.json": ready, "tokenizer_config.json": {"added_tokens_decoder": {"538": word("<cat-toy>"), "539": word("<cat-toy>_1")}}}, TOY


def load(files):
    with tempfile.TemporaryDirectory() as folder:
        for name in ("vocab.json", "merges.txt"):
            shutil.copy(CLIP / name, folder)
        for name, content in files.items():
            (Path(folder) / name).write_text(json.dumps(content))
        return CLIPTokenizer.from_pretrained(folder)


def main():
    cases = []
    for name, files, texts in folders():
        tokenizer = load(files)
        ids = {t: tokenizer(t, padding="max_length", max_length=LENGTH, truncation=True)["input_ids"] for t in texts}
        print(name, ids, file=sys.stderr)
        cases.append({"name": name, "files": files, "ids": ids})
    print(json.dumps(cases, separators=(",", ":"), ensure_ascii=False))


main()
