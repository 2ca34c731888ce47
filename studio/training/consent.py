"""Where the consent to learn a voice is read from: the command line, or a file in the folder of recordings."""

import json
from pathlib import Path

from studio.consent import Consent
from studio.errors import BadConversation, StudioError

CONSENT = "consent.json"
PARTS = ("whose", "said_by", "date", "statement")  # in the order of the command line

HOW_TO_CONSENT = (
    "State whose voice it is, who says so, when, and that it may be learnt: "
    '--consent "Alma Example; Alma Example; 2026-11-20; A model may learn to speak in my voice.", or a '
    f'{CONSENT} in the folder: {{"whose": "Alma Example", "said_by": "Alma Example", "date": "2026-11-20", '
    '"statement": "A model may learn to speak in my voice."}. Train only on a voice whose owner has agreed.'
)


def read_consent(folder: Path, stated: str = "") -> Consent:
    """The consent stated on the command line as “whose; said by; date; statement”, or the one in the folder.

    Raises:
        StudioError: there is none, or it leaves something out; the sentence says how it is written.
    """
    if stated:
        parts = [part.strip() for part in stated.split(";", len(PARTS) - 1)]
        return _consent(dict(zip(PARTS, parts, strict=False)), "--consent")
    try:
        fields = json.loads((folder / CONSENT).read_text("utf-8"))
    except FileNotFoundError:
        raise StudioError(f"There is no statement of consent. {HOW_TO_CONSENT}") from None
    except (OSError, ValueError, RecursionError):
        raise StudioError(f"{CONSENT} cannot be read as JSON. {HOW_TO_CONSENT}") from None
    return _consent(fields, CONSENT)


def _consent(fields: object, source: str) -> Consent:
    try:
        return Consent.read(fields)
    except BadConversation as problem:
        raise StudioError(f"{source} is not enough. {problem} {HOW_TO_CONSENT}") from None
