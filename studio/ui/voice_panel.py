"""Voices in the conversation tab: the cards its menus are made of, and the way to add one."""

import hashlib
from collections.abc import Sequence
from typing import Any

import gradio as gr

from studio.errors import BadConversation
from studio.ui.studio import Studio
from studio.voice_library import public_id
from studio.voices import LibraryVoice

OWN_VOICES_KEPT = 200

Data = dict[Any, Any]


def voice_panel() -> None:
    """A button that opens the tab *Voices*: words, consent and the doctor need more room than there is here."""
    gr.Button("Add a voice", size="sm", elem_id="hs-add-voice").click(None, js="() => HiggsStudio.Voices.open()")


def own_ids(value: Any) -> list[str]:
    """The ids of the visitor's own voices, as the editor sent them."""
    ids = value.get("own", []) if isinstance(value, dict) else []
    return [item for item in ids if isinstance(item, str) and item.startswith("own:")][:OWN_VOICES_KEPT]


def visible_voices(studio: Studio, ids: Sequence[Any]) -> list[LibraryVoice]:
    """Those of a visitor's voices that are still here, then everybody's of the operator's store."""
    own = []
    for voice_id in own_ids({"own": list(ids)}):
        try:
            own.append(studio.voices.look(voice_id))
        except BadConversation:
            continue  # swept since: the cast says so where it was chosen
    known = {public_id(voice.id) for voice in own}
    return [*own, *(voice for voice in studio.voices.everybodys() if voice.id not in known)]


def own_cards(studio: Studio, ids: Sequence[Any]) -> list[Data]:
    """Cards of those of them that can speak."""
    return [voice.card() for voice in visible_voices(studio, ids) if not voice.missing]


def reference_sound(studio: Studio, voice_id: str) -> str:
    """Where the recording that a voice is cloned from can be heard, as the model is given it: mended, in mono.

    Raises:
        BadConversation: the voice is no longer here, or may not speak.
    """
    reference = studio.voices.find(voice_id).reference
    assert reference.audio is not None
    kind = f"reference {hashlib.sha256(reference.audio.samples.tobytes()).hexdigest()[:16]}"  # a mend makes another
    return studio.sound_of(voice_id, kind, reference.audio)


def voice_cards(studio: Studio, ids: Sequence[str]) -> list[Data]:
    """Cards of all voices a visitor may choose, their own first."""
    return [*own_cards(studio, ids), *(voice.card() for voice in studio.voices.bundled.values())]
