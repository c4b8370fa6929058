"""The three graphs of a package, with the inputs and outputs that its reader expects."""

import copy

import torch
from torch import Tensor, nn

from .text import TOKENS


class TextComponent(nn.Module):
    """input_ids, attention_mask int64 [2,16] -> last_hidden_state f32 [2,16,384]; `kept` rows of the word table.

    With `first_only` the second text, the negative prompt, is not read: its row repeats the first.
    """

    def __init__(self, model: nn.Module, kept: list[int], first_only: bool):
        super().__init__()
        self.first_only = first_only
        self.model = copy.deepcopy(model)
        embeddings = self.model.embeddings
        embeddings.word_embeddings = nn.Embedding.from_pretrained(embeddings.word_embeddings.weight[kept].clone())
        places = embeddings.position_embeddings.weight[:TOKENS].clone()
        embeddings.position_embeddings = nn.Embedding.from_pretrained(places)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        if self.first_only:
            hidden = self.model(input_ids=input_ids[:1], attention_mask=attention_mask[:1]).last_hidden_state
            return torch.cat([hidden, hidden])
        return self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


class DenoiserComponent(nn.Module):
    """Takes the text mask as f32, since browsers have no boolean inputs."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, latents: Tensor, t: Tensor, text: Tensor, text_mask: Tensor) -> Tensor:
        return self.model(latents, t, text, text_mask > 0.5)


class GuidedComponent(nn.Module):
    """A guided denoiser behind the same inputs and outputs, at half the work.

    The first row is evaluated alone; the second is its velocity without the difference that the prompt makes,
    so that a reader's classifier-free guidance between the rows is the student's own.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, latents: Tensor, t: Tensor, text: Tensor, text_mask: Tensor) -> Tensor:
        velocity, difference = self.model.both(latents[:1], t[:1], text[:1], text_mask[:1] > 0.5)
        return torch.cat([velocity, velocity - difference])


class DecoderComponent(nn.Module):
    """Normalised latents f32 [1,16,8,8] -> image f32 [1,3,128,128] in [-1,1]."""

    def __init__(self, model: nn.Module, mean: Tensor, deviation: Tensor):
        super().__init__()
        self.model = model
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)

    def forward(self, latents: Tensor) -> Tensor:
        return self.model.decode(latents * self.deviation + self.mean).clamp(-1, 1)
