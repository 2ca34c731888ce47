"""What the benchmarks of decoding have spoken: models, prompts, and the calls of both sides."""

import json
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, HiggsAudioV2Config

import studio.codecs  # noqa: F401  it makes torchaudio importable, which transformers needs

# isort: split
from transformers import HiggsAudioV2ForConditionalGeneration

from studio.codecs.higgs import HiggsCodec
from studio.engine.decoder import Request
from studio.engine.prompt import Prompt
from studio.sampling import Sampling

MINI = Path(__file__).parent.parent / "assets" / "mini" / "higgs-audio-v2-mini"
FRAME_RATE = 25  # Hz
BUNDLED_VOCABULARY, FULL_VOCABULARY = 297, 128_256  # text tokens
FIRST_SOUND_FRAMES = 8
SAMPLING = Sampling()
THEIRS = {
    "do_sample": True,
    "temperature": SAMPLING.temperature,
    "top_k": SAMPLING.top_k,
    "top_p": SAMPLING.top_p,
    "ras_win_len": SAMPLING.ras_window,
    "ras_win_max_num_repeat": SAMPLING.ras_max_repeats,
}
LINE = "The sun rises in the east and sets in the west."
ROLE = "<|start_header_id|>{}<|end_header_id|>\n\n"
CLONED = (
    "<|begin_of_text|>" + ROLE.format("system") + "Generate audio following instruction.\n\n<|scene_desc_start|>\n"
    "Audio is recorded from a quiet room.\n\nSPEAKER0: <|audio_out_bos|>{audio}<|audio_eos|>\n<|scene_desc_end|>"
    "<|eot_id|>" + ROLE.format("user") + LINE + "<|eot_id|>" + ROLE.format("assistant") + "<|audio_out_bos|>"
)
PLAIN = CLONED.replace("\n\nSPEAKER0: <|audio_out_bos|>{audio}<|audio_eos|>", "")
REFERENCE_FRAMES = 100


def bundled() -> HiggsAudioV2ForConditionalGeneration:
    """The bundled checkpoint in float32. Its end of stream weighs what codes weigh on average, so it does not come."""
    model = HiggsAudioV2ForConditionalGeneration.from_pretrained(MINI, dtype=torch.float32).eval()
    heads = model.audio_lm_head.weight.data.view(model.config.num_codebooks, model.config.codebook_size, -1)
    heads[:, model.config.audio_stream_eos_id] = heads.mean(1).bfloat16()
    return model


def random_3b(device: str, tiny: bool) -> HiggsAudioV2ForConditionalGeneration:
    """The published architecture with random weights: speed does not depend on their values."""
    sizes = (
        {"hidden_size": 192, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 6,
         "num_key_value_heads": 2, "head_dim": 32, "vocab_size": BUNDLED_VOCABULARY}
        if tiny
        else {"hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 28, "num_attention_heads": 24,
              "num_key_value_heads": 8, "head_dim": 128, "vocab_size": FULL_VOCABULARY}
    )  # fmt: skip
    own_ids = json.loads((MINI / "config.json").read_text())
    ids = {name: own_ids[name] for name in own_ids if name.endswith("_token_id") or name.startswith("audio_stream")}
    config = HiggsAudioV2Config(**sizes, **ids, num_codebooks=8, codebook_size=1026, max_position_embeddings=8192)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(device):
            model = HiggsAudioV2ForConditionalGeneration(config).eval()
    finally:
        torch.set_default_dtype(before)
    heads = model.audio_lm_head.weight.data.view(config.num_codebooks, config.codebook_size, -1)
    heads[:, config.audio_stream_eos_id] = heads.mean(1)
    model.generation_config.ras_win_len = model.generation_config.ras_win_max_num_repeat = None  # THEIRS may set it
    return model


def random_higgs(tiny: bool, device: str) -> HiggsCodec:
    """Random weights in the published shape: transformers' defaults but for the last stride (hop 960) and 2 kbit/s."""
    from transformers import HiggsAudioV2TokenizerConfig, HiggsAudioV2TokenizerModel

    ratios = [8, 5, 4, 2, 3]
    acoustic = {"model_type": "dac", "downsampling_ratios": ratios, "upsampling_ratios": ratios}
    widths = (
        {"encoder_hidden_size": 4, "decoder_hidden_size": 64, "hidden_size": 32}
        if tiny
        else {"encoder_hidden_size": 64, "decoder_hidden_size": 1024, "hidden_size": 256}
    )
    semantic: dict[str, Any] = {"model_type": "hubert", "mask_time_prob": 0.0}
    if tiny:
        semantic |= {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
        semantic |= {"conv_dim": [16] * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}
    config = HiggsAudioV2TokenizerConfig(
        target_bandwidths=[0.5, 1, 1.5, 2], acoustic_model_config=acoustic | widths, semantic_model_config=semantic
    )
    return HiggsCodec(built(lambda: HiggsAudioV2TokenizerModel(config), device))


def built(make: Callable[[], Any], device: str) -> Any:
    """A model with weights drawn where they are to be: on a CPU that takes longer than all that is measured."""
    try:
        with torch.device(device):
            return make().to(device)
    except Exception:  # some part of it can be built on a CPU only
        traceback.print_exc()
        return make().to(device)


def bundled_prompt(template: str, frames: int = 0) -> Prompt:
    """A prompt in the bundled checkpoint's tokens, with a reference of `frames` random frames."""
    audio = "<|AUDIO_OUT|>" * (frames + 2) + "<|reserved_special_token_6|>" * 7
    text = template.format(audio=audio) if frames else template
    ids = AutoTokenizer.from_pretrained(MINI)(text, add_special_tokens=False, return_tensors="pt").input_ids[0]
    return Prompt(ids, delayed(frames))


def random_prompt(vocab_size: int, length: int, frames: int) -> Prompt:
    """A prompt of `length` positions, `frames` + 9 of them audio, in any vocabulary."""
    own_ids = json.loads((MINI / "config.json").read_text())
    rows = delayed(frames)
    ids = torch.randint(20, vocab_size, (length,), generator=torch.Generator().manual_seed(2))
    ids[10 : 10 + len(rows)] = own_ids["audio_token_id"]
    ids[-1] = own_ids["audio_bos_token_id"]
    return Prompt(ids, rows)


def delayed(frames: int) -> torch.Tensor:
    """Random frames in the delay pattern with begin and end, [frames + 9, 8]; none for 0."""
    if not frames:
        return torch.zeros(0, 8, dtype=torch.int64)
    rows = torch.full((frames + 9, 8), 1025)
    codes = torch.randint(0, 1024, (frames, 8), generator=torch.Generator().manual_seed(1))
    for k in range(8):
        rows[: k + 1, k] = 1024
        rows[k + 1 : k + 1 + frames, k] = codes[:, k]
    return rows


def generate(model: Any, prompt: Prompt, steps: int, device: str, how: dict[str, Any] = THEIRS) -> torch.Tensor:
    """Let transformers speak. Returns the frames it drew, int64 [F, K]."""
    given = {"input_ids": prompt.token_ids[None].to(device)}
    given["attention_mask"] = torch.ones_like(given["input_ids"])
    if len(prompt.audio_rows):
        given["audio_input_ids"] = prompt.audio_rows[None].to(device)
        given["audio_input_ids_mask"] = torch.ones(1, len(prompt.audio_rows), dtype=torch.bool, device=device)
    return model.generate(**given, **how, max_new_tokens=steps)[0, len(prompt.audio_rows) :]


def requests(prompt: Prompt, frames: int, rows: int = 1) -> list[Request]:
    """The same prompt with a seed for each row."""
    return [Request(prompt, SAMPLING.with_seed(seed), frames) for seed in range(rows)]
