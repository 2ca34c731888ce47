"""What the codec lab offers: families of codecs and the settings of each, handed in by `app.py`."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from studio.audio import Audio
from studio.codes import Codes
from studio.errors import StudioError
from studio.lab.codemap import fits
from studio.lab.compare import Outcome, Setting


@dataclass(frozen=True)
class Offer:
    """One setting of a codec. Loading waits until somebody asks for it."""

    key: str  # as the page and the API name it
    label: str  # with its bitrate
    load: Callable[[], Any]  # the same codec every time
    codebooks: int | None = None
    checkpoint: str = ""  # whose weights these are

    @property
    def setting(self) -> Setting:
        """What the lab runs."""
        return Setting(self.load(), self.codebooks, self.checkpoint)


@dataclass(frozen=True)
class CodecFamily:
    """A codec with its settings, lowest bitrate first."""

    key: str
    title: str
    about: str  # rates and licence, shown beside it
    offers: tuple[Offer, ...]
    revision: str = ""  # of its checkpoint
    neural: bool = False  # has codes

    def load(self) -> Any:
        """The codec itself, of a family that is one codec."""
        return self.offers[-1].load()


def offered(families: Iterable[CodecFamily], keys: Iterable[str]) -> list[tuple[CodecFamily, Offer]]:
    """The settings of these keys with their families, in the families' order. Nothing is loaded.

    Raises:
        StudioError: there is no such setting, or none was asked for.
    """
    known = {offer.key: (family, offer) for family in families for offer in family.offers}
    wanted = set(keys)
    unknown = sorted(wanted - set(known))
    if unknown:
        raise StudioError(f"There is no codec setting “{unknown[0]}”. There are: {', '.join(known)}.")
    if not wanted:
        raise StudioError("Choose at least one codec setting to compare.")
    return [pair for key, pair in known.items() if key in wanted]


def family_for(families: Iterable[CodecFamily], codes: Codes) -> CodecFamily:
    """The neural codec that can turn these codes into sound.

    Raises:
        StudioError: none here can.
    """
    for family in families:
        if family.neural and fits(family.load(), codes):
            return family
    raise StudioError(
        f"No codec here decodes {codes.codebooks} × {codes.codebook_size} codes at {codes.frame_rate:g} frames/s."
    )


class Codecs(Protocol):
    """The families the lab offers, and the work on them, which may be done in another process."""

    families: Sequence[CodecFamily]

    def encode(self, sound: Audio, key: str) -> Codes:
        """Codes of a sound by a neural codec's setting."""
        ...

    def decode(self, codes: Codes, without: Collection[int] = ()) -> Audio:
        """Sound of codes, without some codebooks (from 0). Raises StudioError where no codec fits."""
        ...

    def run(self, clip: Audio, keys: Sequence[str]) -> Iterator[Outcome]:
        """A clip by each of these settings, in the families' order."""
        ...
