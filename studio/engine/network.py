"""Network: the arithmetic of Higgs Audio V2 on transformers' weights, laid out for decoding.

Two paths: `prefill` runs a stretch of the prompt for one row, `step` runs one frame for every row.
A decode step holds audio only, so it takes the audio norms, the audio MLP and the audio head.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch.nn import functional

from studio.engine.kv_cache import KvCache
from studio.engine.linear import Linear
from studio.engine.prefix_cache import Stretch


class Places(Protocol):
    """Where the rows of a step stand in the cache."""

    cos: torch.Tensor  # [S, 1, D]
    sin: torch.Tensor  # [S, 1, D]

    def attend(self, layer: int, heads: torch.Tensor) -> torch.Tensor:
        """Store the keys and values of this step, then attend over all of each row's own.

        Args:
            heads: [S, query heads + 2 * key heads, D]: queries, keys, values, rotated.

        Returns:
            [S, query heads * D]
        """


@dataclass(frozen=True, eq=False)
class Mlp:
    """A norm and its gated MLP, gate and up merged."""

    norm: torch.Tensor
    gate_up: Linear
    down: Linear


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer: attention is shared by text and audio, norms and MLPs are not."""

    text_norm: torch.Tensor
    audio_norm: torch.Tensor
    qkv: Linear
    out: Linear
    text_mlp: Mlp
    audio_mlp: Mlp


class Network:
    """The weights of a `HiggsAudioV2ForConditionalGeneration`, merged, and what is computed with them."""

    def __init__(self, model: Any) -> None:
        """Take the weights over layer by layer, so that no more than one layer stands in memory twice.

        Args:
            model: it is hollowed out and cannot be used afterwards.
        """
        config = model.config
        core = model.model
        self.num_codebooks: int = config.num_codebooks
        self.codebook_size: int = config.codebook_size
        self.query_heads: int = config.num_attention_heads
        self.key_heads: int = config.num_key_value_heads
        self.head_dim: int = core.layers[0].self_attn.head_dim
        self.hidden_size: int = config.hidden_size
        self.intermediate_size: int = config.intermediate_size
        self.eps: float = config.rms_norm_eps
        self.text_embeddings = _taken(core.embed_tokens)
        self.audio_embeddings = _taken(core.embed_audio_tokens.embed_audio_tokens)
        self.device = self.text_embeddings.device
        self.dtype = self.text_embeddings.dtype
        self._eps_tensor = torch.tensor(self.eps)
        self.offsets = torch.arange(self.num_codebooks, device=self.device) * self.codebook_size
        self.norm = _taken(core.norm)
        self.head = Linear(_taken(model.audio_lm_head))
        self.layers = [_taken_layer(layer) for layer in core.layers]
        self._rotary = core.rotary_emb
        self.cos = self.sin = torch.empty(0)

    def cover(self, positions: int) -> None:
        """Have the rotary tables reach `positions` positions."""
        if len(self.cos) >= positions:
            return
        numbers = torch.arange(positions, device=self.device).unsqueeze(0)
        like = torch.empty(0, dtype=self.dtype, device=self.device)
        cos, sin = self._rotary(like, numbers)  # [1, P, D]
        self.cos = cos[0].unsqueeze(1).contiguous()
        # Rotation takes (a, b) to (a cos - b sin, b cos + a sin); rolling by half gives (b, a), so
        # the sign goes into the table.
        half = self.head_dim // 2
        self.sin = torch.cat((-sin[0, :, :half], sin[0, :, half:]), -1).unsqueeze(1).contiguous()

    def step(self, codes: torch.Tensor, places: Places) -> torch.Tensor:
        """One frame of every row: codes int64 [S, K] of the last frame -> logits of the next, [S, K, V]."""
        hidden = functional.embedding(codes + self.offsets, self.audio_embeddings).sum(-2)
        for number, layer in enumerate(self.layers):
            heads = self._heads(layer, self._normed(hidden, layer.audio_norm), places.cos, places.sin)
            hidden = layer.out.added_to(hidden, places.attend(number, heads))
            hidden = self._mlp(layer.audio_mlp, hidden)
        return self.head(self._normed(hidden, self.norm)).view(-1, self.num_codebooks, self.codebook_size)

    def prefill(self, stretch: Stretch, cache: KvCache, row: int) -> None:
        """Fill the cache of `row` with the keys and values of a stretch of its prompt.

        The positions are put in order once, text first and then audio, and stay so through all
        layers: each kind is then one block, and only the mask needs to know the true order.

        Args:
            stretch: its tokens and rows are on the host; what stands before it is in the cache already.
        """
        texts = int((~stretch.is_audio).sum())
        order = stretch.is_audio.to(torch.int8).argsort(stable=True)
        hidden = self._embedded(stretch.tokens[order[:texts]], stretch.audio_rows)
        positions = (order + stretch.start).to(self.device)
        cos, sin = self.cos[positions], self.sin[positions]
        length = stretch.stop
        mask = torch.arange(length, device=self.device) <= positions.unsqueeze(1)  # [P, length]

        last = len(self.layers) - 1
        for number, layer in enumerate(self.layers):
            normed = torch.cat(
                (self._normed(hidden[:texts], layer.text_norm), self._normed(hidden[texts:], layer.audio_norm))
            )
            heads = self._heads(layer, normed, cos, sin)
            cache.store(number, row, positions, heads[:, self.query_heads :])
            if number == last:
                return  # nobody reads what the last layer says about the prompt
            hidden = layer.out.added_to(hidden, self._attend_prompt(heads, cache, number, row, length, mask))
            blocks = [(layer.text_mlp, hidden[:texts]), (layer.audio_mlp, hidden[texts:])]
            hidden = torch.cat([self._mlp(mlp, block) for mlp, block in blocks if len(block)])

    def _embedded(self, texts: torch.Tensor, audio_rows: torch.Tensor) -> torch.Tensor:
        """Embeddings of text tokens, then of audio rows. Shape: [P, H]."""
        text = functional.embedding(texts.to(self.device), self.text_embeddings)
        audio = functional.embedding(audio_rows.to(self.device) + self.offsets, self.audio_embeddings).sum(-2)
        return torch.cat((text, audio))

    def _normed(self, hidden: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        if hidden.dtype == torch.float32 and hidden.device.type == "cpu":
            # Two thirds of the time torch's own takes on the CPU, and there are 17 in a frame.
            length = torch.linalg.vector_norm(hidden, dim=-1, keepdim=True)
            scale = torch.addcmul(self._eps_tensor, length, length, value=1 / self.hidden_size).rsqrt_()
            return (hidden * scale).mul_(weight)
        return functional.rms_norm(hidden, (self.hidden_size,), weight, self.eps)

    def _heads(self, layer: Layer, normed: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        """Queries, keys and values, rotated. Shape: [M, query heads + 2 * key heads, D]."""
        heads = layer.qkv(normed).view(len(normed), -1, self.head_dim)
        turning = heads[:, : self.query_heads + self.key_heads]
        swapped = turning.roll(self.head_dim // 2, -1).mul_(sin)
        torch.addcmul(swapped, turning, cos, out=turning)
        return heads

    def _mlp(self, mlp: Mlp, hidden: torch.Tensor) -> torch.Tensor:
        gate, up = mlp.gate_up(self._normed(hidden, mlp.norm)).chunk(2, -1)
        return mlp.down.added_to(hidden, functional.silu(gate).mul_(up))

    def _attend_prompt(
        self, heads: torch.Tensor, cache: KvCache, layer: int, row: int, length: int, mask: torch.Tensor
    ) -> torch.Tensor:
        queries = heads[:, : self.query_heads].transpose(0, 1).unsqueeze(0)  # [1, heads, P, D]
        keys, values = cache.prefix(layer, row, length)
        attended = functional.scaled_dot_product_attention(
            queries, keys, values, attn_mask=mask, enable_gqa=self.query_heads != self.key_heads
        )
        return attended[0].transpose(0, 1).reshape(len(heads), -1)


def _taken(module: Any) -> torch.Tensor:
    """The module's weight, which the module then no longer holds."""
    weight = module.weight.detach()
    module.weight = None
    return weight


def _taken_layer(layer: Any) -> Layer:
    attention = layer.self_attn
    return Layer(
        text_norm=_taken(layer.input_layernorm),
        audio_norm=_taken(layer.audio_input_layernorm),
        qkv=_merged(attention.q_proj, attention.k_proj, attention.v_proj),
        out=Linear(_taken(attention.o_proj)),
        text_mlp=_taken_mlp(layer.post_attention_layernorm, layer.mlp),
        audio_mlp=_taken_mlp(layer.audio_post_attention_layernorm, layer.audio_mlp),
    )


def _taken_mlp(norm: Any, mlp: Any) -> Mlp:
    return Mlp(norm=_taken(norm), gate_up=_merged(mlp.gate_proj, mlp.up_proj), down=Linear(_taken(mlp.down_proj)))


def _merged(*projections: Any) -> Linear:
    return Linear(torch.cat([_taken(projection) for projection in projections]))
