"""Network: the arithmetic of Higgs Audio V2 on transformers' weights, laid out for decoding.

Two paths: `prefill` runs a stretch of the prompt for one row, `step` runs one frame for every row.
A decode step holds audio only, so it takes the audio norms, the audio MLP and the audio head.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Protocol

import torch
from torch.nn import functional

from studio.engine import cpu_kernels
from studio.engine.cpu_step import CompiledStep
from studio.engine.kv_cache import KvCache, OwnLengths, rotate
from studio.engine.linear import Linear
from studio.engine.prefix_cache import Stretch

MASK_ROW = 16  # numbers: a GPU's attention wants rows of a mask to begin at multiples of 16 bytes at least


class Places(Protocol):
    """Where the rows of a step stand in the cache."""

    def attend(self, layer: int, heads: torch.Tensor) -> torch.Tensor:
        """Rotate queries and keys, store this step's keys and values, then attend over all of each row's own.

        Args:
            heads: [S, query heads + 2 * key heads, D]: queries, keys, values.

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

    def __init__(self, model: Any, quantize: str = "none", fused: bool | None = False) -> None:
        """Take the weights over one by one, so that no more than one of them stands in memory twice.

        Args:
            model: it is hollowed out and cannot be used afterwards.
            quantize: see `Linear`.
            fused: see `fuse`.
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
        # On the CPU all but the weights is float32: only products have quick kernels for bfloat16 there.
        self.dtype = torch.float32 if self.device.type == "cpu" else self.text_embeddings.dtype
        self.offsets = torch.arange(self.num_codebooks, device=self.device) * self.codebook_size
        self.norm = _taken(core.norm).to(self.dtype)
        taking = _Taking(self.dtype, quantize)
        self.head = taking.merged(model.audio_lm_head)
        self.layers = [taking.layer(layer) for layer in core.layers]
        self._rotary = core.rotary_emb
        self.compiled = CompiledStep(self) if all(linear.packed is not None for linear in self._of_a_frame()) else None
        self._fused: Any = None
        self.fuse(fused)
        self.cos = self.sin = torch.empty(0)

    def fuse(self, fused: bool | None) -> None:
        """Take the kernels of `gpu_kernels` in a step, or torch's. What has been recorded stays as it is.

        Args:
            fused: None takes them on a GPU where they run.
        """
        self._fused = None
        if fused is None:
            if self.device.type == "cuda" and find_spec("triton") is not None:
                from studio.engine.gpu_step import tried_step  # needs Triton, which comes with torch for CUDA only

                self._fused = tried_step(self)
        elif fused:
            from studio.engine.gpu_step import FusedStep

            self._fused = FusedStep(self)

    @property
    def fused(self) -> bool:
        """Whether a step takes the kernels of `gpu_kernels`."""
        return self._fused is not None

    def _of_a_frame(self) -> Iterator[Linear]:
        for layer in self.layers:
            yield from (layer.qkv, layer.out, layer.audio_mlp.gate_up, layer.audio_mlp.down)
        yield self.head

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
        if self.compiled is not None and isinstance(places, OwnLengths):
            return self.compiled(codes, places)
        if self._fused is not None:
            return self._fused(codes, places).view(-1, self.num_codebooks, self.codebook_size)
        hidden = self._embedded_codes(codes)
        for number, layer in enumerate(self.layers):
            heads = layer.qkv(self._normed(hidden, layer.audio_norm)).view(len(hidden), -1, self.head_dim)
            hidden = layer.out.added_to(hidden, places.attend(number, heads))
            hidden = self._mlp(layer.audio_mlp, hidden)
        return self.head(self._normed(hidden, self.norm)).view(-1, self.num_codebooks, self.codebook_size)

    def prefill(
        self, stretch: Stretch, cache: KvCache, row: int, stored: Callable[[int], object] = lambda layer: None
    ) -> None:
        """Fill the cache of `row` with the keys and values of a stretch of its prompt.

        Args:
            stretch: its tokens and rows are on the host; what stands before it is in the cache already, of each
                layer at the latest when `stored` returns.
            stored: told each layer whose keys and values are in the cache, before any are looked at.
        """
        self._through(stretch, cache, row, keys_only=True, stored=stored)

    def logits(self, stretch: Stretch, cache: KvCache, row: int) -> torch.Tensor:
        """What the model expects after each audio position of a stretch, while it fills the cache as `prefill` does.

        Returns:
            float32 [R, K, V]: one for each audio row of the stretch, in order.
        """
        hidden = self._through(stretch, cache, row, keys_only=False)[len(stretch.tokens) - len(stretch.audio_rows) :]
        logits = self.head(self._normed(hidden, self.norm))
        return logits.float().view(-1, self.num_codebooks, self.codebook_size)

    def _through(
        self,
        stretch: Stretch,
        cache: KvCache,
        row: int,
        *,
        keys_only: bool,
        stored: Callable[[int], object] = lambda layer: None,
    ) -> torch.Tensor:
        """A stretch through all layers. Returns its hidden states, texts before audio: [P, H].

        The positions are put in order once, text first and then audio, and stay so through all
        layers: each kind is then one block, and only the mask needs to know the true order.

        Args:
            keys_only: end with the last layer's keys and values: nobody reads what it says of a prompt.
            stored: see `prefill`.
        """
        texts = int((~stretch.is_audio).sum())
        order = stretch.is_audio.to(torch.int8).argsort(stable=True)
        hidden = self._embedded(stretch.tokens[order[:texts]], stretch.audio_rows)
        positions = (order + stretch.start).to(self.device)
        cos, sin = self.cos[positions], self.sin[positions]
        length = stretch.stop
        mask = self._mask(positions, length)

        last = len(self.layers) - 1
        for number, layer in enumerate(self.layers):
            parts = [(hidden[:texts], layer.text_norm), (hidden[texts:], layer.audio_norm)]
            normed = _joined([self._normed(part, norm) for part, norm in parts if len(part)])
            heads = layer.qkv(normed).view(len(normed), -1, self.head_dim)
            rotate(heads[:, : self.query_heads + self.key_heads], cos, sin)
            cache.store(number, row, positions, heads[:, self.query_heads :])
            stored(number)
            if number == last and keys_only:
                break
            hidden = layer.out.added_to(hidden, self._attend_prompt(heads, cache, number, row, length, mask))
            blocks = [(layer.text_mlp, hidden[:texts]), (layer.audio_mlp, hidden[texts:])]
            hidden = _joined([self._mlp(mlp, block) for mlp, block in blocks if len(block)])
        return hidden

    def _embedded(self, texts: torch.Tensor, audio_rows: torch.Tensor) -> torch.Tensor:
        """Embeddings of text tokens, then of audio rows. Shape: [P, H]."""
        text = functional.embedding(texts.to(self.device), self.text_embeddings).to(self.dtype)
        return torch.cat((text, self._embedded_codes(audio_rows.to(self.device))))

    def _embedded_codes(self, codes: torch.Tensor) -> torch.Tensor:
        return functional.embedding(codes + self.offsets, self.audio_embeddings).to(self.dtype).sum(-2)

    def _normed(self, hidden: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        if self.device.type == "cpu":
            return cpu_kernels.rms_norm(hidden, weight, self.eps)
        return functional.rms_norm(hidden, (self.hidden_size,), weight, self.eps)

    def _mlp(self, mlp: Mlp, hidden: torch.Tensor) -> torch.Tensor:
        gate_up = mlp.gate_up(self._normed(hidden, mlp.norm))
        if self.device.type == "cpu":
            return mlp.down.added_to(hidden, cpu_kernels.gated(gate_up))
        gate, up = gate_up.chunk(2, -1)
        return mlp.down.added_to(hidden, functional.silu(gate).mul_(up))

    def _attend_prompt(
        self, heads: torch.Tensor, cache: KvCache, layer: int, row: int, length: int, mask: torch.Tensor
    ) -> torch.Tensor:
        keys, values = cache.prefix(layer, row, length)
        if self.device.type != "cpu":
            return attend_in_groups(heads[:, : self.query_heads], keys, values, mask)
        queries = heads[:, : self.query_heads].transpose(0, 1).unsqueeze(0)  # [1, heads, P, D]
        attended = functional.scaled_dot_product_attention(
            queries, keys, values, attn_mask=mask, enable_gqa=self.query_heads != self.key_heads
        )
        return attended[0].transpose(0, 1).reshape(len(heads), -1)

    def _mask(self, positions: torch.Tensor, length: int) -> torch.Tensor:
        """What positions of a prompt see of its first `length`, as `_attend_prompt` takes it."""
        if self.device.type == "cpu":
            return torch.arange(length) <= positions.unsqueeze(1)  # [P, length]
        return mask_for_groups(positions, length, self.query_heads // self.key_heads, self.dtype)


def attend_in_groups(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """Attention under a mask where queries share keys, by a kernel that never writes the scores down.

    No such kernel takes both a mask and fewer keys than queries, so the queries that share a key head stand as its
    query positions.

    Args:
        queries: [P, query heads, D].
        keys: [1, key heads, length, D], as are values.
        mask: see `mask_for_groups`.

    Returns:
        [P, query heads * D]
    """
    count, key_heads, width = len(queries), keys.shape[1], keys.shape[3]
    grouped = queries.view(count, key_heads, -1, width).permute(1, 2, 0, 3).reshape(1, key_heads, -1, width)
    attended = functional.scaled_dot_product_attention(grouped, keys, values, attn_mask=mask)
    return attended.view(key_heads, -1, count, width).permute(2, 0, 1, 3).reshape(count, -1)


def mask_for_groups(positions: torch.Tensor, length: int, sharing: int, dtype: torch.dtype) -> torch.Tensor:
    """Numbers to add, each position's once for each of `sharing` queries: [1, 1, sharing * P, length].

    The rows of the mask stand as far apart as the kernel wants, else it would be copied in every layer.
    """
    mask = torch.zeros(len(positions), -(-length // MASK_ROW) * MASK_ROW, dtype=dtype, device=positions.device)
    numbers = torch.arange(mask.shape[1], device=positions.device)
    mask.masked_fill_(numbers > positions.unsqueeze(1), -torch.inf)
    return mask.repeat(sharing, 1)[None, None, :, :length]


def _joined(parts: list[torch.Tensor]) -> torch.Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _taken(module: Any) -> torch.Tensor:
    """The module's weight, which the module then no longer holds."""
    weight = module.weight.detach()
    module.weight = None
    return weight


@dataclass(frozen=True)
class _Taking:
    """How weights are taken over."""

    dtype: torch.dtype  # of norms
    quantize: str

    def layer(self, layer: Any) -> Layer:
        attention = layer.self_attn
        return Layer(
            text_norm=self.norm(layer.input_layernorm),
            audio_norm=self.norm(layer.audio_input_layernorm),
            qkv=self.merged(attention.q_proj, attention.k_proj, attention.v_proj),
            out=self.merged(attention.o_proj),
            text_mlp=self.mlp(layer.post_attention_layernorm, layer.mlp),
            audio_mlp=self.mlp(layer.audio_post_attention_layernorm, layer.audio_mlp),
        )

    def mlp(self, norm: Any, mlp: Any) -> Mlp:
        gate_up = self.merged(mlp.gate_proj, mlp.up_proj)
        return Mlp(norm=self.norm(norm), gate_up=gate_up, down=self.merged(mlp.down_proj))

    def norm(self, norm: Any) -> torch.Tensor:
        return _taken(norm).to(self.dtype)

    def merged(self, *projections: Any) -> Linear:
        if len(projections) == 1:
            return Linear(_taken(projections[0]), self.quantize)
        return Linear(torch.cat([_taken(projection) for projection in projections]), self.quantize)
