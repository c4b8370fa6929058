"""The three graphs of a package, with the inputs and outputs that its reader expects."""

import copy

import torch
from torch import Tensor, nn

from .text import TOKENS


class TextComponent(nn.Module):
    """input_ids, attention_mask int64 [n,16] -> last_hidden_state f32 [n,16,384]; `kept` rows of the word table."""

    def __init__(self, model: nn.Module, kept: list[int]):
        super().__init__()
        self.model = copy.deepcopy(model)
        embeddings = self.model.embeddings
        embeddings.word_embeddings = nn.Embedding.from_pretrained(embeddings.word_embeddings.weight[kept].clone())
        places = embeddings.position_embeddings.weight[:TOKENS].clone()
        embeddings.position_embeddings = nn.Embedding.from_pretrained(places)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


class DenoiserComponent(nn.Module):
    """Takes the text mask as f32, since browsers have no boolean inputs."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, latents: Tensor, t: Tensor, text: Tensor, text_mask: Tensor, *guidance: Tensor) -> Tensor:
        return self.model(latents, t, text, text_mask > 0.5, *guidance)


class DecoderComponent(nn.Module):
    """Normalised latents f32 [1,16,8,8] -> image f32 [1,3,128,128] in [-1,1]."""

    def __init__(self, model: nn.Module, mean: Tensor, deviation: Tensor):
        super().__init__()
        self.model = model
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)

    def forward(self, latents: Tensor) -> Tensor:
        return self.model.decode(latents * self.deviation + self.mean).clamp(-1, 1)
