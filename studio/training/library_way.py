"""Training as transformers documents it, and the one thing its labels leave out.

The documented way: the processor's chat template with `output_labels`, a model with `use_text_head`, and
`loss.backward()`. The loss is the sum over codebooks of the audio cross-entropy, and that of the text.

The processor sets every end of stream to -100 in `audio_labels` (transformers 5.23). A model trained on these labels is
taught at each frame that the stream goes on and never that it ends, so it forgets how to stop.
`keep_end_of_stream` gives the labels it needs; what trains the bundled checkpoints keeps the same ones.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoTokenizer,
    BatchFeature,
    DacFeatureExtractor,
    HiggsAudioV2ForConditionalGeneration,
    HiggsAudioV2Processor,
    HiggsAudioV2TokenizerModel,
)

IGNORED = -100


def load_processor(folder: Path, audio_tokenizer: HiggsAudioV2TokenizerModel) -> HiggsAudioV2Processor:
    """The processor of a checkpoint directory, around an audio tokenizer that is loaded already."""
    return HiggsAudioV2Processor(
        DacFeatureExtractor.from_pretrained(folder, local_files_only=True),
        AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False),
        audio_tokenizer,
        chat_template=(folder / "chat_template.jinja").read_text("utf-8"),
    )


def load_with_text_head(folder: Path) -> HiggsAudioV2ForConditionalGeneration:
    """A checkpoint ready to train, text head included; where the checkpoint has none, it begins at random."""
    model = HiggsAudioV2ForConditionalGeneration.from_pretrained(
        folder, dtype=torch.float32, use_safetensors=True, local_files_only=True, use_text_head=True
    )
    return model.train()


def documented_batch(processor: HiggsAudioV2Processor, conversations: Sequence[list[dict[str, Any]]]) -> BatchFeature:
    """Conversations whose last turn is speech, as inputs and labels of the model.

    Args:
        processor: of the checkpoint.
        conversations: chat messages in transformers' form (`studio.messages.to_messages` writes it), each with an
            assistant turn that holds audio: `{"type": "audio", "url": path}`.

    Returns:
        `input_ids` and `labels` `[B, L]`, `audio_input_ids` and `audio_labels` `[B, R, K]` in the delay pattern, and
        their masks.
    """
    return processor.apply_chat_template(  # type: ignore[return-value]
        list(conversations),
        tokenize=True,
        return_dict=True,
        processor_kwargs={
            "output_labels": True,
            "return_tensors": "pt",
            "sampling_rate": processor.audio_tokenizer.config.sample_rate,  # type: ignore[attr-defined]
        },
    )


def keep_end_of_stream(batch: BatchFeature, stream_end: int) -> BatchFeature:
    """The same batch with the first end of stream of each codebook and clip as a label.

    The later ones of a codebook stay ignored: generation forces them, and so does the padding.
    """
    rows: Tensor = batch["audio_input_ids"]  # [B, R, K]
    ends = rows == stream_end
    first = ends & ~torch.nn.functional.pad(ends, (0, 0, 1, 0))[:, :-1]
    labels = torch.where(first & batch["audio_input_ids_mask"][..., None], rows, batch["audio_labels"])
    return BatchFeature({**batch, "audio_labels": labels})


def learn(model: HiggsAudioV2ForConditionalGeneration, batch: BatchFeature, optimiser: torch.optim.Optimizer) -> float:
    """One step of the optimiser; returns the loss before it."""
    loss: Tensor = model(**batch).loss
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
    return float(loss.detach())
