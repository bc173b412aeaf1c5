"""CLIP's text tower: prompts to unit embeddings, at any prompt length.

The mask is causal and the embedding is read at the end token, so tokens after it have no influence, and a batch is cut
to its longest prompt (0.5 s instead of 6 s for the 80 prompts of a word on two cores).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wordmask_export.models.clip_csa import HEAD_WIDTH, require
from wordmask_export.models.transformer import State, Transformer

PARTS = ("token_embedding.", "positional_embedding", "transformer.", "ln_final.", "text_projection")


class ClipText(nn.Module):
    """OpenAI's text transformer with the parameter names of its checkpoints."""

    def __init__(self, state: State, *, heads: int | None, quick_gelu: bool) -> None:
        super().__init__()
        vocabulary, width = state["token_embedding.weight"].shape
        self.token_embedding = nn.Embedding(vocabulary, width)
        self.positional_embedding = nn.Parameter(torch.empty_like(state["positional_embedding"]))
        self.transformer = Transformer(state, "transformer.", heads or width // HEAD_WIDTH, quick_gelu)
        self.ln_final = nn.LayerNorm(width)
        self.text_projection = nn.Parameter(torch.empty_like(state["text_projection"]))

    def forward(self, tokens: Tensor) -> Tensor:
        """Token numbers i32 (T, L) -> embeddings f32 (T, D) of unit length."""
        batch, length = tokens.shape
        position = torch.arange(length, device=tokens.device)
        x = self.token_embedding(tokens) + self.positional_embedding[:length]
        x = self.transformer(x, mask=position[:, None] >= position)
        end = tokens.argmax(-1) + length * torch.arange(batch, device=tokens.device)  # the end token is the largest
        x = self.ln_final(x.flatten(0, 1)[end]) @ self.text_projection
        return F.normalize(x, dim=-1)


def load(state: State, *, heads: int | None = None, quick_gelu: bool = True) -> ClipText:
    """Builds the tower from weights with OpenAI's names; `visual.*` is ignored.

    Raises:
        ValueError: the weights are not those of OpenAI's text transformer.
    """
    text = {name: value for name, value in state.items() if name.startswith(PARTS)}
    require(text, ("token_embedding.weight", "positional_embedding", "text_projection"))
    tower = ClipText(text, heads=heads, quick_gelu=quick_gelu)
    tower.load_state_dict(text)
    return tower.eval().requires_grad_(False)
