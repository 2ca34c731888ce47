"""The training pass of Higgs Audio V2 on transformers' modules, laid out for speed.

transformers parts text and audio by boolean masks in every layer. Here the positions of a whole batch are put in order
once, text first and then audio rows, without padding; only attention sees `[B, L]`. Samples are padded on the right, so
the causal mask alone hides the padding.

Where the training data tells what is said when, some attention heads are led to the letter that is spoken, and the
hidden states of a middle layer are asked for its phone. Both help a small model to read long before its codes alone
would teach it to (for attention: Tachibana and others, 2018, there by the diagonal); neither is part of the model. It
is asked whose voice it is, too, which the codes, mostly noise to it, hardly teach.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import HiggsAudioV2ForConditionalGeneration

from studio.training.coded_voices import VOICE_NUMBERS
from studio.training.speech_samples import IGNORED, Sample
from studio.training.timed_speech import PHONE_CLASSES

CODEBOOK_WEIGHTS = (3.0, 2.0, 1.0, 0.8, 0.6, 0.5, 0.4, 0.4)  # at first: the first carry the words
LAST_CODEBOOK_WEIGHTS = (1.5, 1.2, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)  # at last: the later ones hold the voice
LED_LAYERS = range(2, 6)  # whose first heads are led to the letters that are spoken
TOLD_LAYER = 5  # after which the phone must be known
LETTERS_NEAR = 1.5  # deviation of the window that counts as that letter


@dataclass(frozen=True, eq=False)
class Batch:
    """Samples side by side, packed: T text tokens, then R audio rows; P = T + R."""

    texts: Tensor  # int64 [T]
    audio_rows: Tensor  # int64 [R, K]
    positions: Tensor  # int64 [P]: within the sample
    place: Tensor  # int64 [B * L]: the packed position of each padded one, P for padding
    back: Tensor  # int64 [P]: the padded position of each packed one
    samples: int  # B
    asked: Tensor  # int64 [A]: rows with any label
    labels: Tensor  # int64 [A, K]
    phones: Tensor  # int64 [A, 2]
    voices: Tensor  # float32 [A, V], nan where not known
    led: Tensor  # int64 [G]: the padded positions whose letter is known
    led_to: Tensor  # float32 [G, LED]: where in their sample it stands, and those spoken after it

    def to(self, device: torch.device) -> Self:
        """The same on another device; from pinned memory the host does not wait for it."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Self:
        """The same in memory that a GPU can fetch from by itself."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Self:
        changed = {name: change(each) for name, each in vars(self).items() if isinstance(each, Tensor)}
        return type(self)(**changed, samples=self.samples)


def pack(samples: Sequence[Sample], audio_tokens: tuple[int, int]) -> Batch:
    """Lay samples out. `audio_tokens` are the ids that stand for a row of codes."""
    longest = max(sample.length for sample in samples)
    ids = torch.cat([sample.token_ids for sample in samples])
    positions = torch.cat([torch.arange(sample.length) for sample in samples])
    number = torch.cat([torch.full((sample.length,), index) for index, sample in enumerate(samples)])
    is_audio = (ids == audio_tokens[0]) | (ids == audio_tokens[1])
    order = is_audio.to(torch.int8).argsort(stable=True)
    back = (number * longest + positions)[order]
    place = torch.full((len(samples) * longest,), len(ids))
    place[back] = torch.arange(len(ids))
    labels = torch.cat([sample.labels for sample in samples])
    is_asked = (labels != IGNORED).any(1)
    asked = is_asked.nonzero()[:, 0]
    spoken_at = torch.cat([sample.spoken_at for sample in samples])
    led = (is_asked & ~spoken_at.isnan().any(1)).nonzero()[:, 0]
    texts = ids[~is_audio]
    return Batch(
        texts,
        torch.cat([sample.audio_rows for sample in samples]),
        positions[order],
        place,
        back,
        len(samples),
        asked,
        labels[asked],
        torch.cat([sample.phones for sample in samples])[asked],
        torch.cat([sample.voices for sample in samples])[asked],
        back[led + len(texts)],
        spoken_at[led],
    )


class Questions(nn.Module):
    """What the middle layer is asked for while the model learns; none of it is part of the model."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.phones = nn.Linear(hidden_size, 2 * PHONE_CLASSES)  # of the frame, and of one soon after
        self.voice = nn.Linear(hidden_size, VOICE_NUMBERS)


@dataclass(frozen=True, eq=False)
class Heard:
    """What the layers say at the rows that are asked, not yet normed, and how well they read."""

    last: Tensor  # [A, H]
    middle: Tensor  # [A, H]
    astray: Tensor  # []: how little the led heads look at the letter spoken, in nats


class _Rearranged(torch.autograd.Function):
    """Rows in another order, rows of zeros among them. Both ways are gathers: cheaper than adding up by index."""

    @staticmethod
    def forward(context: Any, rows: Tensor, there: Tensor, back: Tensor) -> Tensor:
        context.save_for_backward(there, back)
        return _gathered(rows, there, len(back))

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        there, back = context.saved_tensors
        return _gathered(gradient, back, len(there)), None, None


def _gathered(rows: Tensor, order: Tensor, ways_back: int) -> Tensor:
    """Shape: `[N, C]` and `[M]` to `[M, C]`. Where there are more places than rows, the extra index N is zeros."""
    if len(order) > ways_back:
        rows = torch.cat((rows, rows.new_zeros(1, rows.shape[1])))
    return rows.index_select(0, order)


class TrainingPass:
    """Losses of a `HiggsAudioV2ForConditionalGeneration`, whose parameters stay where they are."""

    def __init__(self, model: HiggsAudioV2ForConditionalGeneration) -> None:
        config = model.config
        self.model = model
        self.heads: int = config.num_attention_heads
        self.key_heads: int = config.num_key_value_heads
        self.codebooks: int = config.num_codebooks
        self.codebook_size: int = config.codebook_size
        self.audio_tokens: tuple[int, int] = (config.audio_token_id, config.audio_delay_token_id)
        self.eps: float = config.rms_norm_eps
        self._weights = torch.tensor((CODEBOOK_WEIGHTS, LAST_CODEBOOK_WEIGHTS), device=model.device)[
            :, : self.codebooks
        ]

    def losses(self, batch: Batch) -> Tensor:
        """Mean cross entropy of each codebook, in nats. Shape: `[K]`."""
        return self._code_losses(self.heard(batch), batch)

    def logits(self, heard: Heard) -> Tensor:
        """What is said to come next at the rows that are asked. Shape: float32 `[A, K, V]`."""
        hidden = self._norm(heard.last, self.model.model.norm)
        flat = functional.linear(hidden, self.model.audio_lm_head.weight).float()
        return flat.view(len(flat), self.codebooks, self.codebook_size)

    def _code_losses(self, heard: Heard, batch: Batch) -> Tensor:
        flat = self.logits(heard).flatten(0, 1)
        each = functional.cross_entropy(flat, batch.labels.reshape(-1), ignore_index=IGNORED, reduction="none")
        counts = (batch.labels != IGNORED).sum(0).clamp(min=1)
        return each.view(-1, self.codebooks).sum(0) / counts

    def weights(self, evenness: float) -> Tensor:
        """What each codebook's loss counts, from the first weights (0) to the last (1). Shape: `[K]`, their sum 1."""
        weights = self._weights[0].lerp(self._weights[1], evenness)
        return weights / weights.sum()

    def led_loss(
        self, batch: Batch, questions: Questions, lead: float, voice_lead: float, evenness: float = 0.0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The loss to be lowered while the model is led.

        Args:
            batch: Of samples that know what is said when, and perhaps by whom.
            questions: To the middle layer.
            lead: How much reading counts beside the codes.
            voice_lead: How much knowing the voice counts.
            evenness: Of the codebooks' weights, 0..1.

        Returns:
            The loss `[]`, each codebook's share `[K]`, and `[4]`: how far attention is astray, the phone's loss, that
            of the phone ahead, and how far off the voice is, in deviations within a voice.
        """
        heard = self.heard(batch)
        losses = self._code_losses(heard, batch)
        middle = functional.rms_norm(heard.middle, heard.middle.shape[-1:], eps=self.eps)
        said = questions.phones(middle).float().view(-1, 2, PHONE_CLASSES)
        now, soon = (_mean_loss(said[:, index], batch.phones[:, index]) for index in (0, 1))
        voice = _mean_distance(questions.voice(middle).float(), batch.voices)
        loss = (losses * self.weights(evenness)).sum() + lead * (heard.astray + now + 0.5 * soon) + voice_lead * voice
        return loss, losses.detach(), torch.stack((heard.astray, now, soon, voice)).detach()

    def heard(self, batch: Batch) -> Heard:
        """One pass through all layers."""
        core = self.model.model
        texts = len(batch.texts)
        offsets = core.embed_audio_tokens.audio_tokens_offsets
        audio = functional.embedding(batch.audio_rows + offsets, core.embed_audio_tokens.embed_audio_tokens.weight)
        hidden = torch.cat((functional.embedding(batch.texts, core.embed_tokens.weight), audio.sum(1)))
        cos, sin = core.rotary_emb(hidden, batch.positions[None])
        cos, sin = cos[0, :, None], sin[0, :, None]
        last = len(core.layers) - 1
        chosen = batch.asked + texts
        middle, astray = hidden[chosen], list[Tensor]()  # of few layers the first is the middle
        for number, layer in enumerate(core.layers):
            normed = torch.cat(
                (
                    self._norm(hidden[:texts], layer.input_layernorm),
                    self._norm(hidden[texts:], layer.audio_input_layernorm),
                )
            )
            led = astray if number in LED_LAYERS and len(batch.led) else None
            attended = self._attention(layer.self_attn, normed, cos, sin, batch, led)
            if number == last:  # of the last layer only the rows that are asked matter
                audio = hidden[chosen] + functional.linear(attended[chosen], layer.self_attn.o_proj.weight)
                audio = audio + self._mlp(layer.audio_mlp, self._norm(audio, layer.audio_post_attention_layernorm))
                return Heard(audio, middle, torch.stack(astray).mean() if astray else audio.new_zeros(()))
            hidden = hidden + functional.linear(attended, layer.self_attn.o_proj.weight)
            text, audio = hidden[:texts], hidden[texts:]
            hidden = torch.cat(
                (
                    text + self._mlp(layer.mlp, self._norm(text, layer.post_attention_layernorm)),
                    audio + self._mlp(layer.audio_mlp, self._norm(audio, layer.audio_post_attention_layernorm)),
                )
            )
            if number == TOLD_LAYER:
                middle = hidden[chosen]
        raise ValueError("a model needs layers")

    def _norm(self, rows: Tensor, norm: Any) -> Tensor:
        return functional.rms_norm(rows, (rows.shape[-1],), norm.weight, self.eps)

    def _mlp(self, mlp: Any, rows: Tensor) -> Tensor:
        gate, up = functional.linear(rows, torch.cat((mlp.gate_proj.weight, mlp.up_proj.weight))).chunk(2, -1)
        return functional.linear(functional.silu(gate) * up, mlp.down_proj.weight)

    def _attention(
        self, attention: Any, rows: Tensor, cos: Tensor, sin: Tensor, batch: Batch, astray: list[Tensor] | None
    ) -> Tensor:
        """Causal attention within each sample, before the output projection. Shape: `[P, H]` to `[P, heads * D]`.

        How far the first heads are astray is added to the list, if there is one.
        """
        weight = torch.cat((attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight))
        heads = functional.linear(rows, weight).view(len(rows), -1, attention.head_dim)
        turned, values = heads.split((self.heads + self.key_heads, self.key_heads), dim=1)
        half = attention.head_dim // 2
        swapped = torch.cat((-turned[..., half:], turned[..., :half]), dim=-1)
        turned = turned * cos.to(turned.dtype) + swapped * sin.to(turned.dtype)
        heads = torch.cat((turned, values), dim=1).flatten(1)
        padded = _Rearranged.apply(heads, batch.place, batch.back)
        padded = padded.view(batch.samples, -1, self.heads + 2 * self.key_heads, attention.head_dim).transpose(1, 2)
        queries, keys, values = padded.split((self.heads, self.key_heads, self.key_heads), dim=1)
        if astray is not None:
            led = min(self.heads, batch.led_to.shape[1])
            looked_at = keys.repeat_interleave(self.heads // self.key_heads, dim=1)
            astray.append(_astray(queries[:, :led], looked_at[:, :led], batch))
        attended = _causal_attention(queries, keys, values)
        flat = attended.transpose(1, 2).reshape(len(batch.place), -1)
        return _Rearranged.apply(flat, batch.back, batch.place)


def _mean_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross entropy where there is a label, 0 where there is none at all. Shapes: `[N, C]`, `[N]`, to `[]`."""
    total = functional.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum")
    return total / (labels != IGNORED).sum().clamp(min=1)


def _mean_distance(told: Tensor, voices: Tensor) -> Tensor:
    """How far apart rows are, by root mean square, where the second is a number. Shapes: `[N, V]` twice, to `[]`.

    Not the square: what is far off must not drown the small differences that tell similar voices apart.
    """
    known = ~voices.isnan().any(1)
    apart = torch.where(known[:, None], told - voices, 0.0)
    return (apart.square().mean(1) + 1e-6).sqrt().mul(known).sum() / known.sum().clamp(min=1)


def _scores(queries: Tensor, keys: Tensor) -> Tensor:
    """Scaled products with what comes later masked out. Shape: `[B, L, D]` twice, to `[B, L, L]`."""
    length = queries.shape[1]
    later = torch.full((length, length), -torch.inf, dtype=queries.dtype, device=queries.device).triu(1)
    return torch.baddbmm(
        later.expand(len(queries), -1, -1), queries, keys.transpose(1, 2), alpha=queries.shape[-1] ** -0.5
    )


def _astray(queries: Tensor, keys: Tensor, batch: Batch) -> Tensor:
    """How little each head looks where it is led, in nats, mean of heads and rows. Shape: `[B, H, L, D]`, to `[]`."""
    samples, heads, length, _ = queries.shape
    scores = _scores(queries.flatten(0, 1), keys.flatten(0, 1)).view(samples, heads, length, length)
    looks = scores.transpose(1, 2).flatten(0, 1)[batch.led].float().softmax(-1)  # [G, H, L]
    distance = torch.arange(length, device=queries.device) - batch.led_to[:, :heads, None]
    near = (-0.5 * (distance / LETTERS_NEAR).square()).exp()
    return -(looks * near).sum(-1).clamp(min=1e-6).log().mean()


def _causal_attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Attention over what came before. Shape: `[B, heads, L, D]`, keys and values with as many or fewer heads.

    On a CPU, written out: half the time that the library's blockwise kernel takes for lines of some hundred positions.
    """
    count, heads, length, size = queries.shape
    if queries.device.type != "cpu":
        grouped = keys.shape[1] != heads
        return functional.scaled_dot_product_attention(queries, keys, values, is_causal=True, enable_gqa=grouped)
    shared = heads // keys.shape[1]
    if shared > 1:
        keys, values = (each.repeat_interleave(shared, dim=1) for each in (keys, values))
    queries, keys, values = (each.reshape(-1, length, size) for each in (queries, keys, values))
    return torch.bmm(_scores(queries, keys).softmax(-1), values).view(count, heads, length, size)
