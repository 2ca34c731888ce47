"""Low-rank adapters (LoRA) by PEFT: a small share of new weights beside frozen ones, merged into them at the end.

Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models", arXiv 2106.09685.
"""

from typing import Any

from transformers import HiggsAudioV2ForConditionalGeneration

from studio.errors import StudioError

RANK = 16
SCALE = 32  # PEFT's alpha: what the adapters say counts alpha / rank
# Attention, and both MLP paths: `mlp` of text and `audio_mlp` of audio hold projections of the same names.
ADAPTED = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def check_peft() -> None:
    """Make sure that PEFT is there.

    Raises:
        StudioError: it is not installed.
    """
    try:
        import peft  # noqa: F401
    except ImportError:
        raise StudioError(
            "LoRA needs the package peft, which is not installed here. Install it with “.venv/bin/python -m pip "
            "install peft”, or train a small checkpoint with --method full."
        ) from None


def with_adapters(model: HiggsAudioV2ForConditionalGeneration, seed: int) -> Any:
    """Put adapters into every layer of a model, which alone can be trained then; drawn by the seed.

    The modules of `model` itself are changed: what it computes from now on includes them. At first they add nothing.

    Raises:
        StudioError: PEFT is not installed.
    """
    check_peft()
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    return get_peft_model(model, LoraConfig(r=RANK, lora_alpha=SCALE, target_modules=list(ADAPTED), lora_dropout=0.0))


def merged(adapted: Any) -> HiggsAudioV2ForConditionalGeneration:
    """The model with its adapters added to its weights: transformers' class again, nothing of PEFT left."""
    model: HiggsAudioV2ForConditionalGeneration = adapted.merge_and_unload()
    return model
